"""Custodians that die, hang or are split, hosts that stop clocks and replay leases: real servers (rules F1, F2)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event, local
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from enclave.parallel import Round
from enclave.status import State
from tests import builders
from tests.attacks.release.asking import Asking
from tests.attacks.release.runs import Host, played
from tests.builders import wallet
from tests.deployment import Deployment, RunningEnclave, deployed
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from vault.errors import InvalidSignature, ServiceUnavailable, StaleState, VaultError, WrongKey
from vault.hpke import CLASSIC, HYBRID, seal
from vault.lease import CLOCK_SKEW_S, EMPTY_ANCHOR, Lease
from vault.machine import BLANK
from vault.merkle import EMPTY_ROOT
from vault.release import HandBack, StateDeposit, release_context

LEASE_S = 600
HOUR_S = 3_600


def setting(**fields: Any) -> World:
    return replace(world(**fields), clock=Clock())


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, setting(custodians=3)) as deployment:
        deployment.add_credit(1_000)
        yield deployment


def evidence_of(enclave: RunningEnclave) -> bytes:
    return enclave.instance.last_grounds().terms.evidence


class TestDeadCustodians:
    def test_as_many_as_may_be_away_can_be_killed_and_one_more_ends_serving_within_the_lease(
        self, deployment: Deployment
    ) -> None:
        clock = deployment.world.clock
        deployment.custodians[0].stop()
        for _ in range(6):
            clock.advance(LEASE_S / 3)
            assert deployment.enclave.step() is State.SERVING
        deployment.custodians[1].stop()
        clock.advance(LEASE_S / 3)
        assert deployment.enclave.step() is State.SERVING
        clock.advance(LEASE_S * 2 / 3)
        assert deployment.enclave.step() is State.STOPPED
        with pytest.raises((StaleState, ServiceUnavailable)):
            deployment.client()

    def test_one_that_accepts_connections_and_never_answers_does_not_hold_up_renewals(
        self, deployment: Deployment
    ) -> None:
        port = int(deployment.custodians[0].address.rpartition(":")[2])
        deployment.custodians[0].stop()
        with closing(socket.create_server(("127.0.0.1", port), backlog=100)):
            for _ in range(3):
                before, began = evidence_of(deployment.enclave), time.monotonic()
                assert deployment.enclave.step() is State.SERVING
                assert evidence_of(deployment.enclave) != before
                assert time.monotonic() - began < 10


class _Lingering:
    """What keeps the thread that holds it from ending: threads end some time after their last word."""

    def __init__(self, until: Event) -> None:
        self._until = until

    def __del__(self) -> None:
        self._until.wait(10)


class TestRound:
    def test_whoever_has_answered_is_asked_again_at_once(self) -> None:
        answers, until, held = Round(), Event(), local()

        def answer() -> int:
            held.lingering = _Lingering(until)
            return 7

        for _ in range(2):
            assert answers.ask({1: answer}, is_enough=lambda _: False).answers == {1: 7}
        until.set()

    def test_it_ends_a_grace_after_enough_and_does_not_ask_again_who_still_owes(self) -> None:
        answers, let_go, asked = Round(), Event(), []

        def hang() -> int:
            asked.append(1)
            let_go.wait(10)
            return 3

        def enough(known: Any) -> bool:
            return len(known) >= 1

        for _ in range(2):
            came = answers.ask({1: lambda: 7, 2: hang}, is_enough=enough, grace_s=0.05)
            assert came.answers == {1: 7}
            assert isinstance(came.failures[2], ServiceUnavailable)
        assert asked == [1]
        let_go.set()

    def test_what_nobody_foresaw_is_one_custodians_failure_and_logged_without_its_message(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def buggy() -> int:
            raise KeyError("a secret")

        came = Round().ask({1: buggy, 2: lambda: 7}, is_enough=lambda _: False)
        assert came.answers == {2: 7}
        assert isinstance(came.failures[1], ServiceUnavailable)
        assert "KeyError" in caplog.text and "secret" not in caplog.text + str(came.failures[1])

    def test_without_enough_it_ends_with_its_patience(self) -> None:
        let_go = Event()
        came = Round().ask({1: lambda: let_go.wait(10)}, is_enough=lambda _: False, patience_s=0.05)
        assert list(came.failures) == [1]
        let_go.set()


class TestClocks:
    """The wall clock is never read, and the monotonic one is what hardware protects: `now` follows leases."""

    @pytest.mark.parametrize("hours", [-1, 1])
    def test_custodians_whose_clocks_move_with_the_host_gain_it_nothing(
        self, deployment: Deployment, hours: int
    ) -> None:
        """One of three moves; the time is the (f+1)-th lowest of the leases', and so never ahead of all the others."""
        instance = deployment.enclave.instance
        moved = deployment.custodies.all[0]
        moved._clock = lambda: deployment.world.clock() + hours * HOUR_S
        deployment.world.clock.advance(LEASE_S / 3)
        deployment.enclave.step()
        lag = instance.now() - deployment.world.clock()
        assert lag in (0, -HOUR_S)  # never ahead: f liars could otherwise outlive what the others leased
        deployment.world.clock.advance(LEASE_S)
        with pytest.raises(StaleState):
            instance.serving()

    def test_a_stopped_wall_clock_changes_nothing(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stopped = time.time()
        monkeypatch.setattr(time, "time", lambda: stopped)
        deployment.world.clock.advance(LEASE_S)
        with pytest.raises(StaleState):
            deployment.enclave.instance.serving()

    def test_a_monotonic_clock_moved_forward_ends_serving_early(self, deployment: Deployment) -> None:
        deployment.enclave.instance._monotonic = lambda: deployment.world.clock.monotonic() + HOUR_S
        with pytest.raises(StaleState):
            deployment.enclave.instance.serving()

    def test_one_moved_back_fools_no_client(self, deployment: Deployment) -> None:
        """Without a protected clock (rule F2) an enclave may believe anything; clients judge leases by their own."""
        instance = deployment.enclave.instance
        instance._monotonic = lambda: deployment.world.clock.monotonic() - HOUR_S
        with deployment.client() as client:
            client.search("tide table", k=1)
            deployment.world.clock.advance(LEASE_S)
            instance.serving()  # it does believe that its lease still runs
            with pytest.raises(StaleState):
                client.search("rain", k=1)
        with pytest.raises(StaleState):
            deployment.client()


class TestSplits:
    def test_of_two_instances_with_split_custodians_only_one_serves(self, tmp_path: Path) -> None:
        with deployed(tmp_path, setting(custodians=3)) as deployment:
            first, (one, two, three) = deployment.enclave, deployment.services()
            second = deployment.start_enclave(custodians=[two, three])
            assert second.settle() is State.STOPPED
            third = deployment.start_enclave(custodians=[one])
            assert third.settle() is State.STOPPED
            assert first.step() is State.SERVING

    def test_split_from_the_start_none_or_one_of_them_serves(self, tmp_path: Path) -> None:
        with deployed(tmp_path, setting(custodians=3)) as deployment:
            deployment.enclave.close()
            one, two, three = deployment.services()
            halves = [deployment.start_enclave(custodians=half) for half in ([one], [two, three])]
            assert [half.settle() for half in halves] == [State.STOPPED, State.SERVING]

    def test_leases_of_another_instance_replayed_by_the_host_are_refused(self, tmp_path: Path) -> None:
        with Custodians(setting(), tmp_path) as custodians:
            replayed: list[Any] = []

            class Replaying(LocalCustodian):
                def release(self, *asked: Any, **options: Any) -> Any:
                    answer = super().release(*asked, **options)
                    replayed.append(answer)
                    return replayed[0]

            custodian = Replaying(custodians.all[0])
            keys = InstanceKeys.fresh()
            enclave = opening(custodians.world, [custodian], keys=keys)
            grounds, _ = enclave.open(EMPTY_ANCHOR)
            with pytest.raises(InvalidSignature, match="answers another request"):
                enclave.renew(EMPTY_ANCHOR, EMPTY_ROOT, grounds.history)

    def test_a_lease_does_not_outlive_its_custodians_clock(self, deployment: Deployment) -> None:
        """A client that is shown leases from before refuses them by its own clock."""
        leases: tuple[Lease, ...] = deployment.enclave.instance.last_grounds().leases
        deployment.world.clock.advance(LEASE_S)
        assert all(lease.not_after <= deployment.world.clock() for lease in leases)
        with pytest.raises(StaleState):
            deployment.client()


class TestRetries:
    def test_an_opening_that_fails_is_tried_again_later_and_later_and_soon_again_after_one_that_worked(
        self, tmp_path: Path
    ) -> None:
        async def scenario(host: Host) -> None:
            host.cut_off()
            with pytest.raises(ServiceUnavailable):
                await host.start()
            (run,) = host.runs
            for _ in range(7):
                with pytest.raises(ServiceUnavailable):
                    await run.renewed_or_stopped()
            assert run.waits == [1, 2, 4, 8, 16, 30, 30, 30]
            host.cut_off(False)
            await run.renewed_or_stopped()
            host.cut_off()
            run.waits.clear()
            host.world.clock.advance(LEASE_S)
            with pytest.raises(StaleState):
                await run.renewed_or_stopped()
            assert run.waits[-1] == 1

        with Custodians(setting(), tmp_path) as custodians:
            played(custodians.world, custodians, scenario)

    def test_custodians_that_disagree_for_a_while_do_not_end_serving(self, tmp_path: Path) -> None:
        """A head reaches one custodian before the others; the leases are good until their end."""
        made = setting(custodians=2)
        with deployed(tmp_path, made) as deployment:
            deployment.add_credit(1_000)
            moved = made.decided(builders.carried(made.history, builders.revoking(builders.Scope.LICENSEE, bytes(20))))
            deployment.custodies.all[0].submit_head(moved.head.cid(), made.blocks().items())
            assert deployment.enclave.step() is State.SERVING
            with deployment.client() as client:
                client.search("tide table", k=1)
            deployment.custodies.submit(moved)
            assert deployment.enclave.step() is State.SERVING
            assert deployment.enclave.instance.last_grounds().terms.epoch == 2


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


class TestSuites:
    def test_a_custodian_that_answers_with_a_weaker_suite_than_both_have_is_refused(self, tmp_path: Path) -> None:
        made = setting(suite_floor=CLASSIC)
        with Custodians(made, tmp_path) as custodians:

            class Downgrading(LocalCustodian):
                def release(self, binding: Any, *asked: Any, **options: Any) -> Any:
                    lease, blocks, (share,), state = super().release(binding, *asked, **options)
                    assert share.suite == HYBRID
                    (weak,) = [key for key in binding.hpke if key.suite == CLASSIC]
                    info = release_context(
                        genesis=made.genesis,
                        subject=share.subject,
                        key_version=share.key_version,
                        custodian=share.custodian,
                        index=share.index,
                        suite=CLASSIC,
                        report_data=share.report_data,
                    )
                    sealed = seal(weak, made.dataset.shares[0], info=info)
                    weaker = replace(share, suite=CLASSIC, sealed=sealed).signed_by(made.dao.custodians[0].signing)
                    return lease, blocks, [weaker], state

            with pytest.raises(WrongKey, match="weaker HPKE suite than both sides have"):
                opening(made, [Downgrading(custodians.all[0])]).open(EMPTY_ANCHOR)
