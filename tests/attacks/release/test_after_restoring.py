"""A restored custodian that has caught up: a clean stop it forgot looks like one, and it says that it is back (F5)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from enclave.status import State
from tests.attacks.release.asking import Asking
from tests.deployment import deployed
from tests.enclaves import Custodians, LocalCustodian, opening, world
from tests.peers import Backup, LocalPeer, others, visit
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.custody_sync import CustodySync
from vault.errors import ServiceUnavailable
from vault.lease import EMPTY_ANCHOR, Anchor
from vault.manifest import Manifest


@pytest.fixture
def custodians(tmp_path: Path) -> Iterator[Custodians]:
    setting = world(custodians=3)
    with Custodians(setting, tmp_path) as made:
        yield made


class Away(LocalCustodian):
    def challenge(self, *_: Any) -> Any:
        raise ServiceUnavailable("no answer")


def test_a_forgotten_hand_back_is_heard_of(custodians: Custodians, tmp_path: Path) -> None:
    """Custodian 2 was away when the instance stopped, and still has its window open; only it and 0 are asked next."""
    setting, at = custodians.world, Anchor(sequence=5, mac=bytes(31) + b"x")
    backup = Backup(setting, custodians, tmp_path)
    first = Asking(setting, custodians)
    for index in range(3):
        asking = Asking(setting, custodians, index=index, keys=first.keys)
        asking.release()
        asking.renew(at)
    for index in (0, 1):
        Asking(setting, custodians, index=index, keys=first.keys).hand_back(at)
    with backup.started() as restored:
        setting.clock.advance(NONCE_LIFETIME_S)
        visit(restored, others(custodians))
        assert first.keys.instance in {
            window.instance for window in restored.station.store.open_windows(ledger(custodians))
        }
        setting.clock.advance(2 * setting.dao.charter.lease_s)
        asked = [LocalCustodian(restored), Away(custodians.all[1]), LocalCustodian(custodians.all[2])]
        grounds, _ = opening(setting, asked).open(at)
        assert grounds.lost == ()
        assert first.keys.instance in {window.instance for window in grounds.reported}


def ledger(custodians: Custodians) -> bytes:
    from vault.lease import ledger_id

    return ledger_id(custodians.world.genesis)


def caught_up(custodians: Custodians, tmp_path: Path) -> Iterator[Custody]:
    with Backup(custodians.world, custodians, tmp_path).started() as restored:
        custodians.world.clock.advance(NONCE_LIFETIME_S)
        visit(restored, others(custodians))
        yield restored


def test_it_says_that_it_signs_again(custodians: Custodians, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for restored in caught_up(custodians, tmp_path):
        assert not restored.catching_up.is_behind(custodians.world.genesis)
    said = [record.message for record in caplog.records if "caught up" in record.message]
    assert len(said) == 1
    assert str(custodians.world.genesis) in said[0]


def test_it_says_that_others_hold_a_state_key_that_it_does_not(
    custodians: Custodians, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backup = Backup(custodians.world, custodians, tmp_path)
    deposit_state(custodians)
    with backup.started() as restored:
        custodians.world.clock.advance(NONCE_LIFETIME_S)
        visit(restored, others(custodians))
    assert any("state key" in record.message for record in caplog.records)


def deposit_state(custodians: Custodians) -> None:
    from enclave.keys import InstanceKeys
    from enclave.state_key import deposit_state_key
    from vault.keys import SecretKey

    setting, keys = custodians.world, InstanceKeys.fresh()
    opening(setting, custodians.local(), keys=keys).open(EMPTY_ANCHOR)
    deposit_state_key(
        SecretKey(bytes(32)),
        keys.receipt,
        setting.dao.charter,
        setting.genesis,
        ledger(custodians),
        custodians.local(),
    )


def test_manifests_are_stored_beside_the_event_loop(custodians: Custodians, tmp_path: Path) -> None:
    where: list[int] = []

    class Noting(LocalPeer):
        def manifests(self, genesis: Any, after: bytes) -> Any:
            found: tuple[list[Manifest], bytes] = super().manifests(genesis, after)
            return found

    with Backup(custodians.world, custodians, tmp_path).started() as restored:
        custodians.world.clock.advance(NONCE_LIFETIME_S)
        put = restored.station.blobs.put
        manifest = custodians.world.dataset.manifest.cid()
        restored.station.blobs.delete(manifest)

        def noted(cid: Any, block: bytes) -> None:
            where.append(threading.get_ident())
            put(cid, block)

        restored.station.blobs.put = noted  # type: ignore[method-assign]

        async def start() -> int:
            sync = CustodySync(restored, ["1", "2"], connect=lambda name: Noting(custodians.all[int(name)]))
            await sync.start()
            await sync.close()
            return threading.get_ident()

        loop = asyncio.run(start())
        assert not restored.catching_up.is_behind(custodians.world.genesis)
        assert restored.station.blobs.get(manifest) == custodians.world.dataset.manifest.encoded()
        assert where
        assert loop not in where


def test_an_enclave_that_serves_again_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with deployed(tmp_path, world()) as deployment:
        deployment.custodians[0].stop()
        deployment.world.clock.advance(deployment.world.dao.charter.lease_s)
        for _ in range(2):  # the lease has run out; then no custodian answers
            assert deployment.enclave.step() is State.STOPPED
        address = deployment.custodians[0].address
        with pytest.raises(ServiceUnavailable) as told:
            deployment.enclave.instance.serving()
        assert address not in str(told.value)
        assert address not in deployment.enclave.instance.status.reason
        assert address in caplog.text
        deployment.custodians[0].start()
        while deployment.enclave.step() is not State.SERVING:
            pass
        deployment.enclave.step()
    assert sum("serving again" in record.message for record in caplog.records) == 1
