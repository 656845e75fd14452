"""A table's cells are never left cut off, however busy the app is: Textual's own forgets to draw them again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.app import App, ComposeResult

from tests.tui.looking import text_on
from tui.widgets.table import Table

WORDS = "words much wider than the column's name"


class TableApp(App[None]):
    """One table with narrow columns."""

    def compose(self) -> ComposeResult:
        yield Table(cursor_type="row")

    def on_mount(self) -> None:
        table = self.query_one(Table)
        table.add_column("A", key="a")
        table.add_row("-", key="one")
        table.add_row("-", key="two")


def filled_anew(table: Table) -> None:
    table.clear()
    table.add_row("-", key="one")
    table.add_row(WORDS, key="two")


CHANGES: tuple[Callable[[Table], object], ...] = (
    filled_anew,
    lambda table: table.add_row(WORDS),
    lambda table: table.update_cell("two", "a", WORDS, update_width=True),
)


@pytest.mark.parametrize("change", CHANGES, ids=["filled anew", "another row", "another cell"])
async def test_what_was_painted_before_it_was_measured_is_shown_whole_afterwards(
    change: Callable[[Table], object],
) -> None:
    async with TableApp().run_test() as pilot:
        await pilot.pause()
        change(pilot.app.query_one(Table))
        assert WORDS not in text_on(pilot)  # a paint that came before the table had the time to measure
        await pilot.pause()
        assert WORDS in text_on(pilot)


async def test_columns_are_no_wider_than_the_rows_that_are_there() -> None:
    async with TableApp().run_test() as pilot:
        table = pilot.app.query_one(Table)
        await pilot.pause()
        before = table.virtual_size.width
        table.add_row(WORDS)
        await pilot.pause()
        assert table.virtual_size.width > before
        table.clear()
        table.add_row("-")
        await pilot.pause()
        assert table.virtual_size.width == before
