"""A hundred thousand receipts scroll like ten: only lines in sight are asked for."""

from __future__ import annotations

from textual.app import App, ComposeResult

from tests.tui.looking import shown, text_on
from tui.widgets.long_list import AHEAD, KEPT, LongList

MANY = 100_000
HEIGHT = 20


class Listing(App[None]):
    def __init__(self, names: list[str]) -> None:
        super().__init__()
        self.names = names
        self.asked: list[str] = []
        self.chosen: list[str] = []

    def compose(self) -> ComposeResult:
        yield LongList(empty="nothing here", id="list")

    def on_mount(self) -> None:
        self.query_one(LongList).show(self.names)
        self.query_one(LongList).focus()

    def on_long_list_wanted(self, message: LongList.Wanted) -> None:
        self.asked += message.names
        message.sender.tell({name: f"facts of {name}" for name in message.names})

    def on_long_list_chosen(self, message: LongList.Chosen) -> None:
        self.chosen.append(message.name)


async def test_only_lines_in_sight_are_asked_for_wherever_one_goes() -> None:
    app = Listing([f"receipt {number}" for number in range(MANY)])
    async with app.run_test(size=(60, HEIGHT)) as pilot:
        await shown(pilot, "▸ facts of receipt 0")
        await pilot.press("end")
        await shown(pilot, f"▸ facts of receipt {MANY - 1}")
        await pilot.press("pageup", "up")
        await shown(pilot, f"▸ facts of receipt {MANY - 1 - HEIGHT}")
        assert len(app.asked) == len(set(app.asked)) <= 3 * (HEIGHT + 2 * AHEAD)
        await pilot.press("enter")
        await pilot.pause()
        assert app.chosen == [f"receipt {MANY - 1 - HEIGHT}"]


async def test_what_is_kept_of_lines_is_bounded_and_an_empty_list_says_so() -> None:
    app = Listing([])
    async with app.run_test(size=(60, HEIGHT)) as pilot:
        await shown(pilot, "nothing here")
        long_list = app.query_one(LongList)
        long_list.tell({str(number): "x" for number in range(KEPT + 500)})
        assert len(long_list._lines) == KEPT


async def test_a_line_that_would_move_the_cursor_is_shown_as_text() -> None:
    app = Listing(["one\x1b[2Jtwo"])
    async with app.run_test(size=(60, HEIGHT)) as pilot:
        await shown(pilot, "facts of one\\x1b[2Jtwo")
        assert "\x1b" not in text_on(pilot)
