"""What every screen owes a person, held against each of them beside services that really run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest
from rich.color import Color
from textual.app import App, ComposeResult
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.theme import Theme
from textual.widgets import Footer, Input

from tests.tui.lived import Lived, lived_in
from tests.tui.looking import shown, text_on, until
from tui.page import Page
from tui.pages import FIRST, PAGES
from tui.theme import DARK, LIGHT
from tui.widgets.choices import Choice, Tick
from tui.widgets.dialogs import HelpDialog

LARGE, SMALL = (140, 45), (80, 24)
SHOWS: Final = {  # what says that a screen has what it asked for
    "overview": ("✓ proved", "Letters of the keeper", "open proposal"),
    "datasets": ("✓ proved", "Logbook 1998", "sealed only"),
    "governance": ("✓ proved", "● open", "Tides at a price"),
    "earnings": ("✓ proved", "earned in all", "as owner"),
    "live": ("✓ proved", "answered", "0.0001 USDC"),
    "ask": ("✓ proved", "is sealed"),
    "attestation": ("✓ proved", "✓ accepted", "measurement"),
    FIRST: ("Welcome to Coffer", "1. A wallet"),
}
MEANINGS: Final = ("success", "warning", "error")
BARS: Final = frozenset("█▓▒░▉▊▋▌▍▎▏")
screens = pytest.mark.parametrize("name", [*(entry.name for entry in PAGES), FIRST])
serviced = pytest.mark.parametrize("name", [entry.name for entry in PAGES])


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    with lived_in(tmp_path_factory.mktemp("contract")) as home:
        yield home


@asynccontextmanager
async def screen(
    lived: Lived, name: str, *, size: tuple[int, int] = LARGE, beat_s: float = 3600
) -> AsyncIterator[Pilot[Any]]:
    """Show one screen with all that it has to show."""
    app = lived.new_app() if name == FIRST else lived.app(name, beat_s=beat_s)
    async with app.run_test(size=size) as pilot:
        await shown(pilot, *SHOWS[name])
        if name == "live":  # a rate takes two readings
            await pilot.press("r")
            await shown(pilot, "0.00 questions a second")
        await at_rest(pilot)
        yield pilot


async def at_rest(pilot: Pilot[Any]) -> None:
    """Wait until nothing is asked for any more."""
    await until(pilot, lambda: not [work for work in pilot.app.workers if work.group != "pulse"], "work goes on")


def page_of(pilot: Pilot[Any]) -> Page:
    page = pilot.app.screen_stack[0]
    assert isinstance(page, Page)
    return page


@screens
async def test_help_says_what_it_is_for_and_names_every_key(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        page = page_of(pilot)
        keys = [binding.description for _, binding, _, _ in page.active_bindings.values() if not binding.system]
        await pilot.press("f1")
        assert isinstance(pilot.app.screen, HelpDialog)
        await shown(pilot, "Help", page.ABOUT.splitlines()[0].removeprefix("# "))
        said = pilot.app.screen.query_one("Markdown").source  # type: ignore[attr-defined]
        assert page.ABOUT in said
        assert not [words for words in keys if words and f"| {words} |" not in said]
        await pilot.press("escape")
        assert pilot.app.screen is page
        pilot.app.set_focus(None)
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, HelpDialog)


@screens
async def test_the_palette_has_everything_that_its_keys_do(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        page = page_of(pilot)
        own = {one.action: one.description for one in page.BINDINGS if getattr(one, "description", "")}  # type: ignore[union-attr]
        offered = {command.title for command in pilot.app.get_system_commands(page)}
        assert {entry.title for entry in PAGES} <= {title.removeprefix("Go to ") for title in offered}
        assert not set(own.values()) - offered
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(pilot.app.screen, CommandPalette), "no palette came")
        pilot.app.screen.query_one(Input).value = "go to attestation"
        await shown(pilot, "Go to Attestation")
        await pilot.press("down", "enter")
        await until(pilot, lambda: getattr(pilot.app.screen, "NAME", "") == "attestation", "it went nowhere")


@screens
async def test_it_follows_the_terminals_size_and_says_the_same_afterwards(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        before = text_on(pilot)
        await pilot.resize_terminal(*SMALL)
        await at_rest(pilot)
        for widget in pilot.app.screen.query("#tabs, #state, #body, Footer"):
            assert (widget.region.x, widget.region.right) == (0, SMALL[0])
            assert widget.region.bottom <= SMALL[1]
        narrow = text_on(pilot).splitlines()
        assert (len(narrow), {len(line) for line in narrow}) == (SMALL[1], {SMALL[0]})
        assert "Help" in text_on(pilot, "Footer")
        await pilot.resize_terminal(20, 5)  # of no use, and no reason to fall over
        await pilot.resize_terminal(*LARGE)
        await at_rest(pilot)
        await until(pilot, lambda: text_on(pilot) == before, f"before, it showed\n{before}")


@screens
async def test_light_and_dark_say_the_same_each_in_colors_of_its_own(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        dark = text_on(pilot)
        assert not colors_of(LIGHT) & colors_on(pilot)
        pilot.app.set_focus(None)
        await pilot.press("d")
        await at_rest(pilot)
        await until(pilot, lambda: not colors_of(DARK) & colors_on(pilot), "a color of the dark theme is left")
        assert text_on(pilot) == dark


@screens
async def test_no_color_means_anything_alone(lived: Lived, name: str) -> None:
    async with screen(lived, name, beat_s=0.1) as pilot:
        meant = defaultdict[str, set[str]](set)
        look(pilot, meant)
        if name != FIRST:
            lived.deployment.enclave.silence()
            try:
                await shown(pilot, "✗ enclave lost")
                look(pilot, meant)
            finally:
                lived.deployment.enclave.answer()
        assert not {sign: colors for sign, colors in meant.items() if len(colors) > 1}


@pytest.mark.parametrize("kind", [Choice, Tick])
async def test_what_is_chosen_is_told_by_a_sign(kind: type[Choice | Tick]) -> None:
    class Choosing(App[None]):
        def compose(self) -> ComposeResult:
            yield kind("yes or no")

    async with Choosing().run_test(size=SMALL) as pilot:
        await pilot.pause()
        before = text_on(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: text_on(pilot) != before, "it looks as before")
        await pilot.press("enter")
        await until(pilot, lambda: text_on(pilot) == before, "it looks as if it were chosen")


def look(pilot: Pilot[Any], meant: dict[str, set[str]]) -> None:
    """Note the colors with a meaning in which signs without a word stand; a bar has a number in its line."""
    names = {Color.parse(str(getattr(DARK, name))).triplet: name for name in MEANINGS}
    for strip in pilot.app.screen._compositor.render_strips():
        for text, style, _ in strip:
            color = names.get(style.color.triplet) if style is not None and style.color is not None else None
            sign = text.strip()
            if color is None or not sign or any(letter.isalnum() for letter in sign):
                continue
            if set(sign) <= BARS:
                assert re.search(r"[0-9]", strip.text) or "quorum" in text_on(pilot), strip.text
            else:
                meant[sign].add(color)


@serviced
async def test_what_is_chosen_is_copied(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        await pilot.press("y")
        assert len(pilot.app.clipboard) > 1
        assert pilot.app.clipboard == page_of(pilot).copyable()


async def test_where_nothing_is_chosen_copying_says_so(lived: Lived) -> None:
    async with screen(lived, FIRST) as pilot:
        pilot.app.set_focus(None)
        await pilot.press("y")
        notices = pilot.app._notifications
        await until(pilot, lambda: any("choose a line first" in one.message for one in notices), "nothing was said")
        assert not pilot.app.clipboard


@serviced
async def test_a_lost_service_is_said_and_asked_again_and_what_was_shown_stays(lived: Lived, name: str) -> None:
    async with screen(lived, name, beat_s=0.1) as pilot:
        page = page_of(pilot)
        lived.deployment.enclave.silence()
        try:
            words = [word for word in SHOWS[name] if word not in ("✓ proved", "✓ accepted")]
            await shown(pilot, "✗ enclave lost", "asking again", *words)
        finally:
            lived.deployment.enclave.answer()
        await shown(pilot, *SHOWS[name])
        assert pilot.app.screen is page


@screens
async def test_the_keys_stand_below_and_leaving_ends_it(lived: Lived, name: str) -> None:
    async with screen(lived, name) as pilot:
        await pilot.resize_terminal(*SMALL)
        await at_rest(pilot)
        footer = page_of(pilot).query_one(Footer)
        assert (footer.region.bottom, footer.region.height) == (SMALL[1], 1)
        pilot.app.set_focus(None)
        await pilot.press("q")
        await until(pilot, lambda: not pilot.app.is_running, "it went on")


def colors_of(theme: Theme) -> set[Any]:
    """Return the theme's own colors of meaning."""
    return {Color.parse(str(getattr(theme, name))).triplet for name in (*MEANINGS, "primary", "foreground")}


def colors_on(pilot: Pilot[Any]) -> set[Any]:
    strips = pilot.app.screen._compositor.render_strips()
    styles = [style for strip in strips for _, style, _ in strip if style is not None]
    return {style.color.triplet for style in styles if style.color is not None}
