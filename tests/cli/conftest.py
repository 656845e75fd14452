"""A home of one's own, the command line run in it, and custodians that answer without a network."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from cli import wiring
from storage.directory import DirectoryBlobs
from storage.memory import MemoryBlobs
from tests.cli.party import LIGHT as LIGHT
from tests.cli.party import PASSWORD as PASSWORD
from tests.cli.party import Party as Party
from tests.cli.services import one_party
from tests.loops import Loop
from tests.people import NOW
from tests.storage.gateway_node import gateway_over
from tests.storage.pinning_node import PinningNode
from tests.storage.web_node import WebNode
from vault.client import CustodyClient
from vault.custodian import SEED_BYTES, CustodianKeys
from vault.custody import Custody
from vault.custody_server import custody_server
from vault.errors import ServiceUnavailable
from vault.manifest import Manifest, ShareDeposit
from vault.rate import PeerLimit
from vault.records.custody import CustodyRecords
from vault.records.database import Records, open_records
from vault.tls import TlsIdentity

PEOPLE = ("alice", "bob", "owner", "issuer", "treasury", "operator", "licensee")


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COFFER_") and "TEST" not in name]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home fresh from `coffer init`, to copy."""
    party = Party(tmp_path_factory.mktemp("first") / "home")
    party.run("init")
    return party.home


@pytest.fixture(scope="session")
def served(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """One party whose enclave serves, for all tests that need no more than that."""
    with one_party(tmp_path_factory.mktemp("services"), first_home) as party:
        yield party


@pytest.fixture(scope="session")
def wallets(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Everybody's wallet, to copy, and everybody's address."""
    home = tmp_path_factory.mktemp("wallets") / "home"
    shutil.copytree(first_home, home)
    return home / "wallets", {name: Party(home).wallet(name) for name in PEOPLE}


@pytest.fixture
def party(tmp_path: Path, first_home: Path) -> Party:
    shutil.copytree(first_home, tmp_path / "home")
    return Party(tmp_path / "home")


@dataclass
class Clock:
    now: int = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(wiring, "clock", clock)
    return clock


class CountingCustody(Custody):
    """A custodian that counts the shares it is handed."""

    deposits = 0

    def deposit_share(self, manifest: Manifest, deposit: ShareDeposit) -> None:
        self.deposits += 1
        super().deposit_share(manifest, deposit)


class LocalCustodian:
    """A real custodian behind its server on the loopback, started when first asked; `is_down` makes it unreachable."""

    def __init__(self, name: str, records: Records, clock: Callable[[], int], loop: Loop) -> None:
        self.name = name
        self.is_down = False
        self.keys = CustodianKeys.from_seed(os.urandom(SEED_BYTES))
        judge = wiring.EvidenceAppraiser(production=False)
        self.custody = CountingCustody(
            self.keys, CustodyRecords(records), MemoryBlobs(), judge, clock=clock, production=False, skew_s=0
        )
        self._loop = loop
        self._address = ""
        self._server: grpc.aio.Server | None = None

    @property
    def deposits(self) -> int:
        """Return how often it was handed a share."""
        return self.custody.deposits

    def reached(self, *, expected: bytes | None) -> CustodyClient:
        """Return a client of it, by the name that its users know."""
        if self._server is None:
            limit = PeerLimit(per_s=1000.0, burst=1000.0)  # one address asks for everybody here
            starting = custody_server(self.custody, TlsIdentity.fresh(), "127.0.0.1:0", limit=limit)
            self._server, port = self._loop.call(starting)
            self._address = f"127.0.0.1:{port}"
        client = REAL_CONNECT(self._address, expected=expected)
        client.address = self.name
        return client

    def stop(self) -> None:
        if self._server is not None:
            self._loop.call(self._server.stop(0))


REAL_CONNECT = CustodyClient.connect


@pytest.fixture
def custodians(tmp_path: Path, first_home: Path, clock: Clock) -> Iterator[dict[str, LocalCustodian]]:
    """Four custodians at `one:1`, `two:1`, `three:1` and `four:1`."""
    with four_custodians(tmp_path, first_home, clock) as known:
        yield known


@contextmanager
def four_custodians(folder: Path, first_home: Path, clock: Clock) -> Iterator[dict[str, LocalCustodian]]:
    """Have `CustodyClient.connect` reach four custodians whose records are in a folder."""
    opened = []
    for n in range(4):
        shutil.copy(first_home / "records.db", folder / f"custodian-{n}.db")
        opened.append(open_records(f"sqlite:///{folder}/custodian-{n}.db"))
    names, loop = ("one:1", "two:1", "three:1", "four:1"), Loop()
    known = {name: LocalCustodian(name, records, clock, loop) for name, records in zip(names, opened, strict=True)}

    def connect(address: str, *, expected: bytes | None = None) -> CustodyClient:
        if address not in known or known[address].is_down:
            raise ServiceUnavailable(f"nothing answers at {address}; is the service running there?")
        return known[address].reached(expected=expected)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CustodyClient, "connect", connect)
        yield known
    for custodian in known.values():
        custodian.stop()
    loop.close()
    for records in opened:
        records.close()


@dataclass
class Founded:
    """A DAO of alice (2 votes) and bob (1), with one custodian, and everybody's address."""

    party: Party
    genesis: str
    addresses: dict[str, str]


AT_ONCE = ("--voting-delay", "0", "--extension", "0", "--round", "1s", "--timelock", "0")


def founded(party: Party, addresses: dict[str, str], custodians: str, *more: object) -> Founded:
    """Found a DAO with custodians by name, parted by commas, that decides without waits; `more` options override."""
    names = custodians.split(",")
    party.env["COFFER_CUSTODIANS"] = json.dumps(names)
    shown = party.json(*("dao", "init", "Harbor", "--treasury", addresses["treasury"]), *AT_ONCE, *more)
    return Founded(party, shown["genesis"], addresses)


@pytest.fixture
def people(party: Party, wallets: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """Everybody's address; their wallets are in the party's home."""
    folder, addresses = wallets
    shutil.copytree(folder, party.home / "wallets")
    return addresses


@pytest.fixture
def dao(party: Party, custodians: dict[str, LocalCustodian], people: dict[str, str]) -> Founded:
    members = ("--member", f"{people['alice']}=2", "--member", people["bob"])
    return founded(party, people, "one:1", *members)


@pytest.fixture
def enclave_file(dao: Founded, tmp_path: Path) -> Path:
    """What `coffer enclave describe --json` prints, in a file."""
    return described(dao, tmp_path)


def described(dao: Founded, folder: Path) -> Path:
    """Return a file with what `coffer enclave describe --json` prints."""
    file = folder / "enclave.json"
    file.write_text(json.dumps(dao.party.json("enclave", "describe", dao.genesis)))
    return file


@pytest.fixture
def manifest(dao: Founded, tmp_path: Path) -> str:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "a.txt").write_text("The harbor closes at noon on Sundays.")
    return str(dao.party.json("dataset", "seal", folder, "--owner", "owner", "--title", "Tides")["manifest"])


@pytest.fixture
def pins(dao: Founded) -> Iterator[PinningNode]:
    with PinningNode() as node:
        yield node
    assert node.broken == []


@pytest.fixture
def gateway(dao: Founded) -> Iterator[WebNode]:
    with gateway_over(DirectoryBlobs(dao.party.home / "blocks")) as web:
        yield web
