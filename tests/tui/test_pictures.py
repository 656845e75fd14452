"""Every screen as a picture, at the least size and at a large one; the README shows them.

They hold nothing real: fixed people, a fixed clock, and hashes replaced (see `snapshots`). One terminal takes on both
sizes, so that each picture is also what a resized screen looks like.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TabbedContent

from tests.tui.lived import Lived, lived_in
from tests.tui.looking import shown, text_on, until
from tests.tui.party import PASSWORD
from tests.tui.snapshots import compare
from tui.pages import PAGES

SMALL, LARGE = (80, 24), (140, 45)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with lived_in(tmp_path_factory.mktemp("pictures")) as home:
        yield home


async def at_rest(pilot: Pilot[Any]) -> None:
    """Wait until no work goes on; without a blinking cursor or a notice."""
    pilot.app.clear_notifications()
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    await until(pilot, lambda: not [work for work in pilot.app.workers if work.group != "pulse"], "work goes on")


async def pictured(pilot: Pilot[Any], name: str, *words: str) -> None:
    """Wait until the words are there, and compare the screen with its pictures at both sizes."""
    await shown(pilot, *words)
    for size in (SMALL, LARGE):
        await pilot.resize_terminal(*size)
        await at_rest(pilot)
        if size == LARGE:
            await shown(pilot, *words)
        compare(pilot, name)


async def go(pilot: Pilot[Any], page: str) -> None:
    await pilot.press("escape", str([entry.name for entry in PAGES].index(page) + 1))


async def test_every_screen_looks_as_it_did(lived: Lived) -> None:
    async with lived.app().run_test(size=LARGE) as pilot:
        await pictured(pilot, "overview", "✓ proved", "open proposal", "Harbor")
        await pilot.press("d")
        await pictured(pilot, "overview-light", "✓ proved", "open proposal", "Harbor")
        await pilot.press("d", "question_mark")
        await pictured(pilot, "help", "Help", "Key")
        await pilot.press("escape")

        await go(pilot, "datasets")
        await pictured(pilot, "datasets", "Logbook 1998", "sealed only")

        await go(pilot, "governance")
        await pictured(pilot, "governance", "● open", "left to vote", "█ for 1")

        await go(pilot, "earnings")
        await pictured(pilot, "earnings", "earned in all", "By dataset")
        await pilot.press("v")
        await pictured(pilot, "statement", "✓ holds", "adds up")

        await go(pilot, "ask")
        await shown(pilot, "is sealed")
        await pilot.press("c")
        await shown(pilot, "Password")
        pilot.app.screen.query_one("#password", Input).value = PASSWORD
        await pilot.press("enter")
        await shown(pilot, "passages left")
        await pilot.press("slash", *"tide table for May", "enter")
        await pictured(pilot, "ask", "receipt 5", "passages left")
        pilot.app.screen.query_one("#results", TabbedContent).active = "receipt-tab"
        assert PASSWORD not in text_on(pilot)
        await pictured(pilot, "receipt", "what it says", "its check")

        await go(pilot, "live")
        await pictured(pilot, "live", "25 answered", "0 refused", "in all")

        await go(pilot, "attestation")
        await pictured(pilot, "attestation", "✓ accepted", "measurement")


async def test_the_first_start_looks_as_it_did(lived: Lived) -> None:
    async with lived.new_app().run_test(size=LARGE) as pilot:
        await pictured(pilot, "first", "Welcome to Coffer", "1. A wallet")
