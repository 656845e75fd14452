"""What one custodian says alone ends no run and no serving on leases that last, and spends no other's challenge."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from enclave.status import State
from tests.attacks.ledger.failing import FailingJournal
from tests.attacks.release.runs import Host, Reachable, Run, played
from tests.attacks.release.test_rollback import TEXTS, setting
from tests.enclaves import Custodians
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    InvalidSignature,
    MalformedObject,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    VaultError,
)
from vault.losses import SUSPENSE_S

REFUSALS = [ForkedHistory("no"), AccessDenied("no"), MalformedObject("no"), InvalidSignature("no"), RateExceeded("no")]


class Refusing(Reachable):
    """A custodian that refuses everything it is asked, for a while."""

    error: VaultError | None = None

    def challenge(self, instance: bytes, keys: bytes) -> bytes:
        if self.error is not None:
            raise self.error
        return super().challenge(instance, keys)


def four(tmp_path: Path) -> Custodians:
    """Return four custodians of which one may lie: q = 3."""
    return Custodians(setting(custodians=4, liars=1, signatures=3, shares=2), tmp_path)


def refusing(host: Host) -> list[Refusing]:
    made = [Refusing(reached.custody) for reached in host.custodians]
    host.custodians[:] = made
    return made


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_one_refusal_does_not_end_a_run_that_others_tell_to_wait(tmp_path: Path, error: VaultError) -> None:
    async def scenario(host: Host) -> None:
        made = refusing(host)
        await (await host.start()).kill()
        made[0].error = error
        second = Run(host)  # the others still lease to the first one
        host.runs.append(second)
        await second.stopped()
        assert "another instance" in second.instance.status.reason or type(error) in (AccessDenied, RateExceeded)
        made[0].error = None
        host.world.clock.advance(2 * host.world.dao.charter.lease_s)
        await second.renewed_or_stopped()
        assert second.instance.status.state is State.SERVING

    with four(tmp_path) as custodians:
        played(custodians.world, custodians, scenario)


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_nor_does_it_end_serving_where_another_is_silent_and_the_leases_last(tmp_path: Path, error: VaultError) -> None:
    async def scenario(host: Host) -> None:
        made = refusing(host)
        run = await host.start()
        await run.pay(10_000)
        made[0].error, made[1].error = error, ServiceUnavailable("no answer")
        host.world.clock.advance(host.world.dao.charter.lease_s / 3)
        await run.renew()
        assert (await run.ask(TEXTS[0])).passages
        made[1].error = None
        await run.renew()
        assert run.instance.status.state is State.SERVING

    with four(tmp_path) as custodians:
        played(custodians.world, custodians, scenario)


def test_what_more_than_the_liars_refuse_ends_serving_at_once(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        made = refusing(host)
        run = await host.start()
        for custodian in made[:2]:
            custodian.error = AccessDenied("no policy is in force")
        await run.renew()
        assert run.instance.status.state is State.STOPPED
        assert "no policy is in force" in run.instance.status.reason

    with four(tmp_path) as custodians:
        played(custodians.world, custodians, scenario)


class HandingOn(Reachable):
    """A liar that hands what it is asked on to the others, before the enclave reaches them."""

    others: tuple[Reachable, ...] = ()
    denied = 0

    def release(self, *args: Any, **options: Any) -> Any:
        for other in self.others:
            try:
                other.custody.release(*args, **options)
            except AccessDenied:
                HandingOn.denied += 1
        return super().release(*args, **options)


class Slow(Reachable):
    """An honest custodian a little farther away."""

    def release(self, *args: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return super().release(*args, **options)


def test_a_liar_that_hands_requests_on_spends_nobodys_challenge(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        liar, honest = HandingOn(host.custodians[0].custody), [Slow(one.custody) for one in host.custodians[1:]]
        host.custodians[:] = [liar, *honest]
        run = await host.start()
        liar.others = tuple(honest)
        await run.renew()
        assert HandingOn.denied == len(honest)
        assert run.instance.status.state is State.SERVING
        assert len(run.instance.serving().leases) == len(host.custodians)

    with four(tmp_path) as custodians:
        played(custodians.world, custodians, scenario)


def test_a_row_that_was_recorded_though_its_append_failed_does_not_end_the_next_refund(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        run = await host.start()
        await run.pay(10_000)
        host.cut_off()
        await run.ask(TEXTS[0])
        await run.kill()
        host.cut_off(False)
        failing = FailingJournal(host.rows)
        host.rows = failing  # type: ignore[assignment]  # the same methods
        run = await host.start(after_lease=True)
        assert run.credit(kind="suspense") > 0
        third = host.world.dao.charter.lease_s / 3
        for _ in range(int(SUSPENSE_S / third) - 1):
            host.world.clock.advance(third)
            await run.renew()
        failing.fail("after")
        with pytest.raises(RecordsUnavailable):
            await run.pay(5)
        for _ in range(3):
            host.world.clock.advance(third)
            await run.renew()
        await asyncio.sleep(0)
        assert run.instance.status.state is State.SERVING
        assert run.credit(kind="suspense") == 0

    with Custodians(setting(policy={"passages_max": 100, "queries_per_minute": 1000}), tmp_path) as custodians:
        played(custodians.world, custodians, scenario)
