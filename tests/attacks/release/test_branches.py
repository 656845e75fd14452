"""A host that puts back rows of an enclave it stopped, after another one has served: genuine, longer, a branch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.release.runs import Host, Reachable, Run, played
from tests.attacks.release.test_rollback import BUDGET, TEXTS, setting, unseen
from tests.builders import wallet
from tests.enclaves import Custodians
from vault.charter import Window
from vault.errors import ForkedHistory, ServiceUnavailable, StaleState, VaultError

WINDOW = Window(entries=200, passages=2, spend=20_000)
REREADS = 60  # more entries than another instance books until it is anchored


async def long_branch(host: Host, shown: set[str]) -> list[Any]:
    """Have an enclave book many cheap entries and no renewal, and kill it; return its rows; put back those before."""
    run, start = host.runs[-1], len(host.rows.held)
    host.cut_off()
    for _ in range(REREADS):
        shown |= {passage.text for passage in (await run.ask(next(iter(shown), TEXTS[0]))).passages}
    await run.kill()
    host.cut_off(False)
    branch = list(host.rows.held)
    host.restore(start)
    return branch


async def serve_all(run: Run, shown: set[str]) -> None:
    """Have an enclave answer and renew until the budget is used up; all of it is anchored."""
    with pytest.raises(VaultError):
        while True:
            shown |= {passage.text for passage in (await run.ask(unseen(shown)[0])).passages}
            await run.renew()
    await run.kill()


@pytest.mark.parametrize("custodians", [1, 3])
def test_a_longer_branch_is_not_the_ledger_that_was_anchored(tmp_path: Path, custodians: int) -> None:
    async def scenario(host: Host) -> None:
        shown: set[str] = set()
        await (await host.start()).pay(1_000_000)
        branch = await long_branch(host, shown)
        await serve_all(await host.start(after_lease=True), shown)
        anchored = list(host.rows.held)
        assert len(anchored) < len(branch)
        host.rows.held[:] = branch
        with pytest.raises(ForkedHistory, match="branch"):
            await host.start(after_lease=True)
        host.rows.held[:] = anchored
        again = await host.start(after_lease=True)
        with pytest.raises(VaultError):
            await again.ask(unseen(shown)[0])
        assert len(shown) <= BUDGET + WINDOW.passages

    with Custodians(setting(custodians=custodians, window=WINDOW), tmp_path) as made:
        played(made.world, made, scenario)


def test_nor_is_one_that_ends_with_an_opening_of_its_own(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        shown: set[str] = set()
        await (await host.start()).pay(1_000_000)
        start = len(host.rows.held)
        host.rows.held[:] = await long_branch(host, shown)
        with renewals_held_up(host), pytest.raises(VaultError):
            await host.start(after_lease=True)
        await host.runs[-1].kill()
        branch = list(host.rows.held)
        host.restore(start)
        await serve_all(await host.start(after_lease=True), shown)
        host.rows.held[:] = branch
        with pytest.raises(ForkedHistory, match="branch"):
            await host.start(after_lease=True)

    with Custodians(setting(custodians=3, window=WINDOW), tmp_path) as made:
        played(made.world, made, scenario)


@pytest.mark.parametrize("custodians", [1, 3])
def test_an_enclave_that_was_frozen_does_not_come_back_with_its_branch(tmp_path: Path, custodians: int) -> None:
    async def scenario(host: Host) -> None:
        shown: set[str] = set()
        frozen = await host.start()
        await frozen.pay(1_000_000)
        start = len(host.rows.held)
        host.cut_off()
        its_way, host.custodians = host.custodians, [Reachable(reached.custody) for reached in host.custodians]
        for _ in range(REREADS):
            shown |= {passage.text for passage in (await frozen.ask(TEXTS[0])).passages}
        branch = list(host.rows.held)
        host.restore(start)
        await serve_all(await host.start(after_lease=True), shown)
        host.rows.held[:] = branch
        for reached in its_way:
            reached.is_cut_off = False
        host.world.clock.advance(2 * host.world.dao.charter.lease_s)
        with pytest.raises(ForkedHistory):
            for _ in range(3):  # first it finds that its leases have run out
                with suppress(StaleState):
                    await frozen.renewed_or_stopped()

    with Custodians(setting(custodians=custodians, window=WINDOW), tmp_path) as made:
        played(made.world, made, scenario)


def test_a_liar_about_the_anchor_spoils_its_own_lease_alone(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        run = await host.start()
        await run.pay(1_000_000)
        await run.ask(TEXTS[0])
        await run.renew()
        await run.kill()
        liar = host.custodians[0].custody
        ledger = run.instance.ledger
        with liar.station.store._records.writing(b"lease" + ledger) as session:  # type: ignore[attr-defined]  # what it lies with
            from vault.records.tables import GrantedLease

            lease = session.get(GrantedLease, ledger)
            lease.anchor_sequence, lease.anchor_mac = 1, b"x" * 32
            session.add(lease)
        again = await host.start(after_lease=True)
        assert (await again.ask(TEXTS[1])).passages

    with Custodians(setting(custodians=4, liars=1, signatures=3, shares=2), tmp_path) as made:
        played(made.world, made, scenario)


def test_an_instance_whose_unused_state_key_was_replaced_takes_the_new_one(tmp_path: Path) -> None:
    async def scenario(host: Host) -> None:
        host.custodians[0] = Forgetful(host.custodians[0].custody)
        with renewals_held_up(host):
            first = Run(host)
            host.runs.append(first)
            await first.stopped()
        Forgetful.has_forgotten = True
        await (await host.start(after_lease=True)).stop()
        Forgetful.has_forgotten = False
        await first.renewed_or_stopped()
        await first.pay(1_000)
        await first.ask(TEXTS[0])
        await first.renew()
        await first.stop()
        assert (await host.start()).books.seen_count(wallet("licensee").address) == 1

    with Custodians(setting(custodians=4, liars=1, signatures=3, shares=2), tmp_path) as made:
        played(made.world, made, scenario)


class Forgetful(Reachable):
    """A custodian that says, for a while, that it holds no share of the state key."""

    has_forgotten = False

    def release(self, *args: Any, **options: Any) -> Any:
        lease, blocks, shares, state = super().release(*args, **options)
        return lease, blocks, shares, None if Forgetful.has_forgotten else state


@contextmanager
def renewals_held_up(host: Host) -> Iterator[None]:
    """Let shares through while the block runs, and no renewals."""
    for custodian in host.custodians:

        def release(*args: Any, real: Any = custodian.release, **options: Any) -> Any:
            if not args[2].wants_shares:
                raise ServiceUnavailable("cut off")
            return real(*args, **options)

        custodian.release = release  # type: ignore[method-assign]
    try:
        yield
    finally:
        for custodian in host.custodians:
            del custodian.release  # type: ignore[method-assign]
