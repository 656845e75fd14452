"""A host that kills the enclave and restores its database gains at most one window, however often it does (rule F3)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.release.runs import Host, Run, played
from tests.builders import wallet
from tests.enclaves import PRICE, Clock, Custodians, World, world
from vault.charter import Window
from vault.errors import BudgetExhausted, CreditExhausted, ForkedHistory, NotYet, VaultError
from vault.limits import Quota
from vault.losses import SUSPENSE_S

WORDS = ("anchor", "beacon", "cable", "dinghy", "ebb", "fathom", "galley", "hull", "inlet", "jetty", "keel", "ledge")
TEXTS = tuple(f"{one} {other}" for one in WORDS[:6] for other in WORDS[6:])  # 36 passages without a common neighbor
WINDOW = Window(entries=50, passages=3, spend=500)
BUDGET = 12
TIMES = 100

Play = Callable[[World, Callable[[Host], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def play(setting: World, scenario: Callable[[Host], Coroutine[Any, Any, None]]) -> None:
        with Custodians(setting, tmp_path) as custodians:
            played(setting, custodians, scenario)

    return play


def setting(**fields: Any) -> World:
    """Return a world with a small window."""
    usual: dict[str, Any] = {
        "texts": TEXTS,
        "policy": {"passages_max": BUDGET, "queries_per_minute": 10_000},
        "window": WINDOW,
    }
    return replace(world(**(usual | fields)), clock=Clock())


async def shown(run: Run, texts: tuple[str, ...], licensee: str = "licensee") -> set[str]:
    """Ask for one passage after another until one is refused; return the passages that came."""
    found: set[str] = set()
    for text in texts:
        try:
            found.update(passage.text for passage in (await run.ask(text, licensee=wallet(licensee))).passages)
        except (NotYet, BudgetExhausted, CreditExhausted):
            break
    return found


async def killed_and_restored(host: Host, run: Run, entries: int, texts: tuple[str, ...], **asked: str) -> set[str]:
    """Serve cut off from the custodians, kill the enclave and take its rows back; return what it showed."""
    host.cut_off()
    found = await shown(run, texts, **asked)
    await run.kill()
    host.restore(entries)
    host.cut_off(False)
    return found


def unseen(found: set[str]) -> tuple[str, ...]:
    return tuple(text for text in TEXTS if text not in found)


class TestForever:
    @pytest.mark.parametrize("custodians", [1, 3])
    def test_distinct_passages_never_exceed_the_budget_and_one_window(self, play: Play, custodians: int) -> None:
        async def scenario(host: Host) -> None:
            run, total = await host.start(), set()
            await run.pay(1_000_000)
            for turn in range(TIMES if custodians == 1 else 10):
                total |= await killed_and_restored(host, run, len(host.rows.held), unseen(total))
                assert len(total) <= BUDGET + WINDOW.passages, turn
                run = await host.start(after_lease=True)
            with pytest.raises(BudgetExhausted, match="lost with an enclave"):
                await run.ask(unseen(total)[0])
            assert len(total) >= WINDOW.passages  # the attack did take place

        play(setting(custodians=custodians), scenario)

    def test_nor_what_several_licensees_see_each(self, play: Play) -> None:
        """One first heard of after a rollback may have asked in what was rolled back: its budget shrinks as well."""

        async def scenario(host: Host) -> None:
            run = await host.start()
            for name in ("licensee", "another"):
                await run.pay(10_000, wallet(name))
            entries = len(host.rows.held)
            first = await killed_and_restored(host, run, entries, TEXTS[:3], licensee="another")
            assert len(first) == 3
            run = await host.start(after_lease=True)
            assert (
                run.books.quota_left(wallet("never seen").address, Quota(frozenset(), BUDGET))
                == BUDGET - WINDOW.passages
            )
            second = await shown(run, unseen(first)[:BUDGET], "another")
            await run.renew()
            second |= await shown(run, unseen(first | second)[:BUDGET], "another")
            assert len(first | second) <= BUDGET

        play(setting(), scenario)

    def test_credit_is_spent_once(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run, answers = await host.start(), 0
            await run.pay(20 * PRICE)
            for _ in range(20):
                host.cut_off()
                for text in TEXTS:
                    try:
                        await run.ask(text)
                    except (NotYet, CreditExhausted):
                        break
                    answers += 1
                await run.kill()
                host.restore(anchored(host))
                host.cut_off(False)
                run = await host.start(after_lease=True)
            assert WINDOW.spend // PRICE <= answers <= 20
            with pytest.raises(CreditExhausted):
                await run.ask(TEXTS[0])

        play(
            setting(policy={"passages_max": 10**6, "queries_per_minute": 10_000}, window=replace(WINDOW, passages=40)),
            scenario,
        )

    def test_a_deposit_handed_in_again_after_each_rollback_is_worth_nothing_more(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            for _ in range(5):
                host.cut_off()
                assert await run.pay(10 * PRICE) == 10 * PRICE
                with pytest.raises(NotYet, match="once the custodians have anchored it"):
                    await run.ask(TEXTS[0])
                await run.kill()
                host.restore(anchored(host))
                host.cut_off(False)
                run = await host.start(after_lease=True)
                assert run.credit() == 0

        play(setting(policy={"passages_max": 1_000}), scenario)


def anchored(host: Host) -> int:
    """Return the entry that the custodians remember."""
    remembered = host.custodians[0].custody.station.store.kept(host.runs[0].instance.ledger, ()).anchor
    return remembered[0] if remembered else 0


class TestCuts:
    """Killed at any point between, an opening neither gives a fresh budget nor counts a window twice."""

    def test_a_ledger_below_the_anchor_is_refused(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            await run.kill()
            host.restore(0)
            with pytest.raises(ForkedHistory):
                await host.start(after_lease=True)

        play(setting(), scenario)

    @pytest.mark.parametrize("survives", [True, False])
    def test_an_opening_cut_before_its_first_renewal_counts_once(self, play: Play, survives: bool) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            entries = len(host.rows.held)
            assert len(await killed_and_restored(host, run, entries, TEXTS[:3])) == 3
            for custodian in host.custodians:
                custodian.release = partial(only_shares, custodian.release)  # type: ignore[method-assign]
            with pytest.raises(VaultError):
                await host.start(after_lease=True)
            assert len(host.rows.held) == entries + 1  # the opening is booked, and nobody has anchored it
            await host.runs[-1].kill()
            for custodian in host.custodians:
                del custodian.release
            if not survives:
                host.restore(entries)
            run = await host.start(after_lease=True)
            assert run.books.lost_passages(wallet("licensee").address) == WINDOW.passages
            assert run.credit(kind="suspense") == WINDOW.spend
            assert run.credit() == 1_000 - WINDOW.spend

        play(setting(), scenario)

    def test_a_window_is_settled_once_it_is_accounted_for(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.kill()
            run = await host.start(after_lease=True)
            store = host.custodians[0].custody.station.store
            assert [open.instance for open in store.open_windows(run.instance.ledger)] == [run.instance.keys.instance]
            await run.stop()
            assert store.open_windows(run.instance.ledger) == []
            run = await host.start()
            assert run.books.lost_passages(wallet("licensee").address) == WINDOW.passages  # of the first, and no other

        play(setting(), scenario)

    def test_rows_restored_beneath_a_running_enclave_are_noticed_when_it_opens_again(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            entries = len(host.rows.held)
            await run.ask(TEXTS[0])
            host.restore(entries)
            run.instance.engine().end()
            await run.stopped()
            with pytest.raises(ForkedHistory, match="this enclave has booked"):
                await run.renewed_or_stopped()

        play(setting(), scenario)


def only_shares(release: Any, binding: Any, evidence: Any, request: Any, **options: Any) -> Any:
    """Answer the request for shares, and let no renewal through."""
    if not request.wants_shares:
        raise NotYet("cut off")
    return release(binding, evidence, request, **options)


class TestWithoutHarm:
    def test_a_clean_stop_loses_nothing(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            await run.ask(TEXTS[0])
            await run.stop()
            assert anchored(host) == len(host.rows.held)  # the newest entry, though no renewal came after it
            run = await host.start()
            address = wallet("licensee").address
            assert (run.books.lost_passages(address), run.credit(kind="suspense")) == (0, 0)
            assert run.credit() == 1_000 - PRICE
            await run.ask(TEXTS[1])

        play(setting(), scenario)

    def test_nor_where_a_custodian_was_away_when_it_was_handed_back(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            host.custodians[0].hand_back = refuse  # type: ignore[method-assign]
            await run.stop()
            del host.custodians[0].hand_back
            run = await host.start(after_lease=True)
            assert run.books.lost_passages(wallet("licensee").address) == 0
            assert run.credit() == 1_000

        play(setting(custodians=3), scenario)

    def test_a_crash_costs_what_was_left_of_the_window_and_for_a_day(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            for name in ("licensee", "idle"):
                await run.pay(1_000, wallet(name))
            await run.ask(TEXTS[0])
            await run.kill()
            run = await host.start(after_lease=True)
            books, (busy, idle) = run.books, (wallet("licensee"), wallet("idle"))
            assert (books.lost_passages(busy.address), books.lost_passages(idle.address)) == (2, 3)
            assert (run.credit(busy), run.credit(busy, kind="suspense")) == (500, 400)
            assert (run.credit(idle), run.credit(idle, kind="suspense")) == (500, 500)
            await run.stop()
            host.world.clock.advance(SUSPENSE_S - 1)
            run = await host.start()
            assert run.credit(busy) == 500
            host.world.clock.advance(1)
            await run.renew()
            assert (run.credit(busy), run.credit(idle)) == (900, 1_000)
            assert run.credit(busy, kind="suspense") == 0
            assert sum(run.books.balances().values()) == 0

        play(setting(), scenario)

    def test_an_instance_that_lost_its_lease_and_lives_gets_its_window_back(self, play: Play) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            await run.ask(TEXTS[0])
            host.cut_off()
            host.world.clock.advance(host.world.dao.charter.lease_s)
            with pytest.raises(VaultError):
                await run.renewed_or_stopped()
            host.cut_off(False)
            await run.renewed_or_stopped()
            assert run.books.lost_passages(wallet("licensee").address) == 0
            assert run.credit() == 1_000 - PRICE

        play(setting(), scenario)


def refuse(_: Any) -> None:
    raise NotYet("away")
