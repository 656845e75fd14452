"""One instance after another: leases handed back, and first openings that end halfway (rules F1, F2)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from enclave.status import State
from tests.attacks.release.asking import Asking
from tests.builders import wallet
from tests.deployment import deployed
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from vault.errors import ServiceUnavailable, StaleState, VaultError
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR
from vault.machine import BLANK
from vault.merkle import EMPTY_ROOT
from vault.release import HandBack, StateDeposit

LEASE_S = 600


def setting(**fields: Any) -> World:
    return replace(world(**fields), clock=Clock())


class TestHandBack:
    def test_a_renewal_under_way_does_not_lease_again(self, tmp_path: Path) -> None:
        asked, let_go = Event(), Event()

        class Slow(LocalCustodian):
            is_slow = False

            def challenge(self, instance: bytes, keys: bytes) -> bytes:
                if self.is_slow:
                    asked.set()
                    assert let_go.wait(10)
                return super().challenge(instance, keys)

        with Custodians(setting(), tmp_path) as custodians, ThreadPoolExecutor(2) as pool:
            slow, keys = Slow(custodians.all[0]), InstanceKeys.fresh()
            enclave = opening(custodians.world, [slow], keys=keys)
            grounds, _ = enclave.open(EMPTY_ANCHOR)
            slow.is_slow = True
            renewing = pool.submit(enclave.renew, EMPTY_ANCHOR, EMPTY_ROOT, grounds.history)
            assert asked.wait(10)
            back = HandBack(
                genesis=grounds.terms.genesis,
                ledger=grounds.terms.ledger,
                instance=keys.instance,
                anchor=EMPTY_ANCHOR,
                signature=BLANK,
            ).signed_by(keys.receipt)
            closing_down = pool.submit(enclave.close, back)
            while not enclave._gathering._is_closed:
                time.sleep(0)
            let_go.set()
            with pytest.raises(StaleState, match="handed its leases back"):
                renewing.result(10)
            assert closing_down.result(10) == []
            assert custodians.all[0].station.store.standing(grounds.terms.ledger).instance is None

    def test_what_an_instance_asked_before_it_handed_back_is_not_answered_after(self, tmp_path: Path) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            asking = Asking(custodians.world, custodians)
            asking.release()
            late = asking.binding()
            asking.hand_back(EMPTY_ANCHOR)
            with pytest.raises(VaultError, match="unknown, used or too old"):
                asking.release(late)
            Asking(custodians.world, custodians).release()


class TestFirstOpening:
    """An opening that ends between two deposits of the state key locks nothing."""

    @pytest.mark.parametrize("deposited", [0, 1, 2])
    def test_the_next_one_makes_a_new_state_key(self, tmp_path: Path, deposited: int) -> None:
        made = setting(custodians=3)
        with deployed(tmp_path, made, is_started=False) as deployment:
            left = [deposited]

            class Dying(LocalCustodian):
                def deposit_state(self, deposit: StateDeposit) -> None:
                    if not left[0]:
                        raise ServiceUnavailable("the host pulled the plug")
                    left[0] -= 1
                    super().deposit_state(deposit)

            dying = [Dying(custody) for custody in deployment.custodies.all]
            first = deployment.start_enclave(custodians=dying)
            assert first.settle() is State.STOPPED
            first.kill()
            made.clock.advance(LEASE_S + CLOCK_SKEW_S)
            deployment.enclave = deployment.start_enclave()
            assert deployment.enclave.settle() is State.SERVING
            deployment.add_credit(1_000)
            deployment.enclave.close()
            deployment.enclave = deployment.start_enclave()
            assert deployment.enclave.settle() is State.SERVING
            assert deployment.licensee_credit(wallet("licensee")) == 1_000

    def test_once_used_no_host_has_it_replaced(self, tmp_path: Path) -> None:
        """It shows an empty database, and custodians that claim to hold nothing: the others remember."""
        made = setting(custodians=3)
        with deployed(tmp_path, made) as deployment:
            deployment.add_credit(1_000)
            kept = [
                custody.station.store.kept(deployment.enclave.instance.ledger, ()).state_share
                for custody in deployment.custodies.all
            ]
            deployment.enclave.kill()
            made.clock.advance(LEASE_S + CLOCK_SKEW_S)

            class Forgetful(LocalCustodian):
                def release(self, *asked: Any, **options: Any) -> Any:
                    lease, blocks, shares, _ = super().release(*asked, **options)
                    return lease, blocks, shares, None

            class Empty:
                def append(self, rows: Any) -> None:
                    raise AssertionError("nothing is written")

                def rows(self, *, after: int = 0) -> Any:
                    return iter(())

                def last(self) -> None:
                    return None

            forgetful = [Forgetful(custody) for custody in deployment.custodies.all]
            robbed = deployment.start_enclave(custodians=forgetful, journal=Empty())
            assert robbed.failure() is not None
            for custody, share in zip(deployment.custodies.all, kept, strict=True):
                assert custody.station.store.kept(robbed.instance.ledger, ()).state_share == share
