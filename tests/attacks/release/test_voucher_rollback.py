"""A host that kills the enclave and takes vouchers away makes none of them worth more than once (rules F3, L5)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.release.runs import Host, Run, played
from tests.attacks.release.test_rollback import TEXTS, WINDOW, setting
from tests.builders import wallet
from tests.channels import RULES, UNPAID, channel_of, voucher_on
from tests.enclaves import PRICE, Custodians, World, credential
from vault.errors import CreditExhausted, ForkedHistory, NotYet, RequestConflict, VoucherDue

TURNS = 8
POLICY = {"passages_max": 1_000, "queries_per_minute": 10_000, "vouchers": RULES}


def play(folder: Path, world: World, scenario: Any) -> None:
    with Custodians(world, folder) as custodians:
        played(world, custodians, scenario)


def voucher_setting(**window: int) -> World:
    return setting(window=replace(WINDOW, passages=100, **window), policy=POLICY)


async def paid(run: Run, amount: int) -> int:
    """Hand in a voucher as a licensee does; return what is due then."""
    asking = credential(run.world, spend_cap=10**9)
    session, _, _ = run._session(wallet("licensee"))
    opened = run.service._admission._sessions[session]
    debt = await run.service.promising.pay(opened, voucher_on(channel_of(run.world, asking), amount, asking))
    return debt.due


async def answers(run: Run) -> int:
    """Ask until one is refused; return how many came."""
    for number, text in enumerate(TEXTS):
        try:
            await run.ask(text)
        except (NotYet, CreditExhausted):
            return number
    return len(TEXTS)


class TestRollback:
    def test_one_that_no_custodian_has_anchored_pays_for_nothing(self, tmp_path: Path) -> None:
        """The same voucher is handed in again after each kill; what it is for is served no second time."""

        async def scenario(host: Host) -> None:
            run, total = await host.start(), 0
            await run.service.promising.open(channel_of(host.world))
            for _ in range(TURNS):
                entries = len(host.rows.held)
                host.cut_off()
                await paid(run, 5_000)
                total += await answers(run)
                await run.kill()
                host.restore(entries)
                host.cut_off(False)
                run = await host.start(after_lease=True)
            assert 0 < total * PRICE <= UNPAID
            await paid(run, 5_000)
            await run.renew()
            assert run.credit() + run.credit(kind="suspense") == UNPAID + 5_000

        play(tmp_path, voucher_setting(), scenario)

    def test_one_that_is_anchored_cannot_be_taken_back(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.service.promising.open(channel_of(host.world))
            entries = len(host.rows.held)
            await paid(run, 5_000)
            await run.renew()
            await run.kill()
            host.restore(entries)
            with pytest.raises(ForkedHistory):
                await host.start(after_lease=True)

        play(tmp_path, voucher_setting(), scenario)

    def test_the_highest_one_outlives_a_crash(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.service.promising.open(channel_of(host.world))
            for amount in (100, 600):
                await paid(run, amount)
            await run.kill()
            run = await host.start(after_lease=True)
            with pytest.raises(RequestConflict, match="a voucher for 600 is held"):
                await paid(run, 100)
            assert await paid(run, 600) == 600

        play(tmp_path, voucher_setting(), scenario)

    def test_a_crash_gives_nobody_a_second_loan(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run, total = await host.start(), 0
            await run.service.promising.open(channel_of(host.world))
            for _ in range(3):
                total += await answers(run)
                await run.stop()
                run = await host.start()
            assert total == UNPAID // PRICE
            with pytest.raises(VoucherDue):
                await run.ask(TEXTS[0])

        play(tmp_path, voucher_setting(spend=5_000), scenario)
