"""A dataset's copy at a Filecoin provider, its contract and chain, beside a copy in memory to make it from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from storage.http_place import HttpPlace
from storage.pdp import PdpProvider
from storage.warm_storage import EPOCH_S, GENESIS, WarmStorage, data_set_of, prices_of
from tests.copies import Clock, Kept, holding, kept
from tests.migrated import opened_records
from tests.people import wallet
from tests.storage.pdp_node import EPOCH
from tests.storage.warm_node import CHAIN_ID, CONTRACT, PAYEE, WarmNode
from vault.copies.block_place import BlockPlace
from vault.copies.model import CopyState, Kind
from vault.copies.piece_notes import Account
from vault.copies.piece_place import PiecePlace
from vault.records.database import Records

OWNER = wallet("owner")
NOW = GENESIS[CHAIN_ID] + EPOCH * EPOCH_S
PIECE_BYTES = 2_200_000  # so that the dataset takes two


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with opened_records(tmp_path / "records.db") as records:
        yield records


@pytest.fixture
def node() -> Iterator[WarmNode]:
    with WarmNode("0x" + OWNER.address.hex()) as started:
        yield started
    assert started.broken == []


def piece_place(node: WarmNode, folder: Path, *, month_max: int = 100_000, clock: Clock | None = None) -> PiecePlace:
    warm = WarmStorage(chain_id=CHAIN_ID, contract=bytes.fromhex(CONTRACT[2:]))
    chain = HttpPlace(node.web.url + "/rpc", name="chain", timeout_s=5, allow_private=True)
    account = Account(
        warm=warm,
        payee=bytes.fromhex(PAYEE[2:]),
        key=lambda: OWNER,
        prices=lambda: prices_of(chain, warm),
        find=lambda number: data_set_of(chain, warm, payer=OWNER.address, client_data_set=number),
        month_max=month_max,
    )
    provider = PdpProvider(node.web.url, timeout_s=5, allow_private=True)
    spool = folder / "spool"
    return PiecePlace("fil", provider, account, spool=spool, clock=clock or Clock(NOW), piece_bytes=PIECE_BYTES)


@dataclass
class Setting:
    kept: Kept
    node: WarmNode
    place: PiecePlace

    def until(self, state: CopyState = CopyState.VERIFIED, *, looks: int = 12) -> list[str]:
        """Look at the copy until it is in a state, and return what was wrong on the way."""
        faults = []
        for _ in range(looks):
            looked = self.kept.look("fil")
            if looked.state is state:
                return faults
            faults.append(looked.fault)
        raise AssertionError(faults)


@pytest.fixture
def it(records: Records, node: WarmNode, tmp_path: Path) -> Setting:
    place = piece_place(node, tmp_path)
    held = kept(records, [BlockPlace("first", Kind.DIRECTORY, holding()), place], clock=Clock(NOW))
    held.look("first")
    return Setting(held, node, place)
