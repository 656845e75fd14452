"""Custodians that die, hang or are split, hosts that stop clocks and replay leases: real servers (rules F1, F2)."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.keys import InstanceKeys
from enclave.status import State
from tests import builders
from tests.attacks.release.runs import Host, played
from tests.deployment import Deployment, RunningEnclave, deployed
from tests.enclaves import Clock, Custodians, LocalCustodian, World, opening, world
from vault.errors import InvalidSignature, ServiceUnavailable, StaleState
from vault.lease import EMPTY_ANCHOR, Lease
from vault.merkle import EMPTY_ROOT

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
