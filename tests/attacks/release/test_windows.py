"""What a window lets through, and what custodians say of windows: invented, forgotten, or granted (rule F3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.release.runs import Host, Reachable, played
from tests.attacks.release.test_rollback import TEXTS, setting
from tests.builders import wallet
from tests.enclaves import PRICE, Custodians, World
from vault.charter import Window
from vault.errors import AccessDenied, InvalidSignature, NotYet
from vault.window import OpenWindow

ROOMY = Window(entries=50, passages=30, spend=5_000)
LENIENT: dict[str, Any] = {"passages_max": 1_000, "queries_per_minute": 10_000}


def play(folder: Path, world: World, scenario: Any) -> None:
    with Custodians(world, folder) as custodians:
        played(world, custodians, scenario)


class TestCounts:
    """With renewals held up, each count alone stops serving, before anything is searched."""

    @pytest.mark.parametrize(
        ("window", "answers", "says"),
        [
            (replace(ROOMY, entries=4), 4, "ledger entries"),
            (replace(ROOMY, passages=4), 4, "new passages"),
            (replace(ROOMY, spend=4 * PRICE + 99), 4, "spend"),
        ],
    )
    def test_it_ends_serving_until_the_leases_are_renewed(
        self, tmp_path: Path, window: Window, answers: int, says: str
    ) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            host.cut_off()
            for text in TEXTS[:answers]:
                await run.ask(text)
            searches = run.instance.engine().searches  # type: ignore[attr-defined]
            entries = len(host.rows.held)
            with pytest.raises(NotYet, match=f"no more {says}"):
                await run.ask(TEXTS[answers])
            assert run.instance.engine().searches == searches  # type: ignore[attr-defined]
            assert len(host.rows.held) == entries
            host.cut_off(False)
            host.world.clock.advance(1)  # it does not ask again at once after a failure
            await run.ask(TEXTS[answers])  # waits for the renewal, and is answered

        play(tmp_path, setting(window=window, policy=LENIENT), scenario)

    def test_passages_seen_before_cost_nothing_of_it(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            host.cut_off()
            entries = len(host.rows.held)
            answers = [await run.ask(TEXTS[0]) for _ in range(8)]
            assert [len(answer.passages) for answer in answers] == [1] * 8
            assert len(host.rows.held) == entries + 8  # each is an entry of its own, and none a repeat
            for text in TEXTS[1:4]:
                assert len((await run.ask(text)).passages) == 1  # all that one passage left of four
            with pytest.raises(NotYet, match="no more new passages"):
                await run.ask(TEXTS[4])

        play(tmp_path, setting(window=replace(ROOMY, passages=4), policy=LENIENT), scenario)

    def test_licensees_have_a_window_each_and_share_its_entries(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            licensees = [wallet(name) for name in ("one", "two", "three")]
            for licensee in licensees:
                await run.pay(10_000, licensee)
            host.cut_off()
            for licensee in licensees:
                for text in TEXTS[:2]:
                    await run.ask(text, licensee=licensee)
                with pytest.raises(NotYet, match="new passages"):
                    await run.ask(TEXTS[2], licensee=licensee)

        play(tmp_path, setting(window=replace(ROOMY, passages=2), policy=LENIENT), scenario)

    def test_an_answer_larger_than_any_window_is_cut_to_it(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            answer = await run.ask(TEXTS[0], k=5)
            assert (len(answer.passages), answer.is_partial) == (3, True)

        play(tmp_path, setting(window=replace(ROOMY, passages=3), policy=LENIENT), scenario)

    def test_a_price_above_any_window_is_refused_for_good(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            with pytest.raises(AccessDenied, match="the charter's window lets"):
                await run.ask(TEXTS[0])

        play(tmp_path, setting(window=replace(ROOMY, spend=PRICE - 1), policy=LENIENT), scenario)

    def test_questions_asked_at_once_do_not_pass_it_together(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            engine: Any = run.instance.engine()
            host.cut_off()
            engine.hold()
            asked = [asyncio.create_task(run.ask(text)) for text in TEXTS[:6]]
            async with asyncio.timeout(10):
                while sum(task.done() for task in asked) < 3:
                    await asyncio.sleep(0)
            assert run.service.under_way == 3
            engine.let_go()
            outcomes = await asyncio.gather(*asked, return_exceptions=True)
            assert sorted(isinstance(outcome, NotYet) for outcome in outcomes) == [False] * 3 + [True] * 3

        play(tmp_path, setting(window=replace(ROOMY, passages=3), policy=LENIENT), scenario)


class TestEarlyRenewals:
    def test_normal_serving_is_never_interrupted(self, tmp_path: Path) -> None:
        """Leases are renewed once half of a window is used, long before their time, and nobody has to wait for it."""

        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            releases = host.custodians[0].asked
            for text in TEXTS:
                await run.ask(text)
            assert releases + 36 // 8 <= host.custodians[0].asked <= releases + 36

        play(tmp_path, setting(window=replace(ROOMY, passages=8), policy=LENIENT), scenario)

    @pytest.mark.parametrize(
        "window", [replace(ROOMY, entries=8), replace(ROOMY, passages=8), replace(ROOMY, spend=8 * PRICE)]
    )
    def test_they_come_at_half_of_any_count_and_before_anybody_waits(self, tmp_path: Path, window: Window) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            releases = host.custodians[0].asked
            for text in TEXTS[:3]:
                await run.ask(text)
            assert not run.instance._renewing.is_wanted
            await run.ask(TEXTS[3])
            async with asyncio.timeout(10):
                while host.custodians[0].asked == releases:
                    await asyncio.sleep(0)

        play(tmp_path, setting(window=window, policy=LENIENT), scenario)

    def test_a_failed_one_is_not_tried_again_at_every_question(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(10_000)
            host.cut_off()
            for text in TEXTS[:4]:
                await run.ask(text)
            for _ in range(20):
                with pytest.raises(NotYet):
                    await run.ask(TEXTS[4])
            assert host.custodians[0].tries <= 4

        play(tmp_path, setting(window=replace(ROOMY, passages=4), policy=LENIENT), scenario)


class TestReports:
    """Custodians differ in what they know of windows; liars among them neither invent nor hide one."""

    def liar(self, custodian: Reachable, world: World, index: int, *windows: OpenWindow) -> None:
        """Have a custodian report these windows and no others."""
        honest, key = custodian.release, world.dao.custodians[index].signing

        def release(*asked: Any, **options: Any) -> Any:
            lease, *rest = honest(*asked, **options)
            return replace(lease, windows=windows).signed_by(key), *rest

        custodian.release = release  # type: ignore[method-assign]

    def invented(self, world: World) -> OpenWindow:
        return OpenWindow(instance=bytes(31) + b"i", start=0, window=world.dao.charter.window)

    def test_liars_alone_invent_none(self, tmp_path: Path) -> None:
        world = setting(custodians=4, signatures=3, shares=2, liars=1)

        async def scenario(host: Host) -> None:
            self.liar(host.custodians[0], world, 0, self.invented(world))
            run = await host.start()
            assert run.books.lost_passages(wallet("licensee").address) == 0

        play(tmp_path, world, scenario)

    @pytest.mark.parametrize("is_back", [True, False])
    def test_nor_hide_one(self, tmp_path: Path, is_back: bool) -> None:
        world = setting(custodians=4, signatures=3, shares=2, liars=1)

        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            host.custodians[3].is_cut_off = True
            await run.renew()  # the window served from is known to three of four
            await run.ask(TEXTS[0])
            await run.kill()
            self.liar(host.custodians[0], world, 0)
            host.custodians[3].is_cut_off = not is_back
            host.restore(len(host.rows.held) - 1)
            run = await host.start(after_lease=True)
            assert run.books.lost_passages(wallet("licensee").address) == world.dao.charter.window.passages

        play(tmp_path, world, scenario)

    def test_a_window_that_one_custodian_missed_the_end_of_counts_once(self, tmp_path: Path) -> None:
        async def scenario(host: Host) -> None:
            run = await host.start()
            await run.pay(1_000)
            host.custodians[0].is_cut_off = True
            await run.renew()
            await run.ask(TEXTS[0])
            await run.kill()
            host.custodians[0].is_cut_off = False
            run = await host.start(after_lease=True)
            assert run.books.lost_passages(wallet("licensee").address) == 3 - 1
            await run.kill()
            run = await host.start(after_lease=True)
            assert run.books.lost_passages(wallet("licensee").address) == 3 - 1 + 3

        play(tmp_path, setting(custodians=3), scenario)

    def test_leases_with_another_window_than_the_charters_are_refused(self, tmp_path: Path) -> None:
        world = setting()

        async def scenario(host: Host) -> None:
            (custodian,), key = host.custodians, world.dao.custodians[0].signing
            honest = custodian.release

            def release(binding: Any, evidence: Any, request: Any, **options: Any) -> Any:
                lease, *rest = honest(binding, evidence, request, **options)
                larger = replace(world.dao.charter.window, passages=1_000)
                window = None if request.wants_shares else larger
                return replace(lease, terms=replace(lease.terms, window=window)).signed_by(key), *rest

            custodian.release = release  # type: ignore[method-assign]
            with pytest.raises(InvalidSignature, match="another window than the charter's"):
                await host.start()

        play(tmp_path, world, scenario)
