"""Bars: as long as their amounts, labeled, and never taken for markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.content import Content

from tui.widgets.charts import bar, chart
from tui.words import WORD_JOINER, plain
from vault.plain_text import one_line


def lines(*rows: tuple[str, int], width: int = 60, whole: int | None = None) -> list[str]:
    return Content.from_markup(chart(rows, width=width, number=str, whole=whole)).plain.splitlines()


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 10, ""), (10, 10, "████"), (5, 10, "██"), (1, 1000, "▏"), (11, 10, "████"), (1, 0, ""), (3, 8, "█▌")],
)
def test_a_bar_is_as_long_as_its_part(part: int, whole: int, shown: str) -> None:
    assert bar(part, whole, 4) == shown


def test_the_largest_fills_the_width_and_others_are_in_proportion() -> None:
    first, second = lines(("Tides", 200), ("Winds", 100))
    assert cell_len(first) <= 60
    assert first.count("█") == pytest.approx(2 * second.count("█"), abs=1)
    assert first.startswith("Tides  200  █") and second.startswith("Winds  100  █")


def test_labels_are_nothing_but_text() -> None:
    (line,) = lines(("[bold]\x1b[31m潮", 1))
    assert line.startswith("[bold]\\x1b[31m潮  1  █")


def test_wide_and_long_labels_stay_in_their_column() -> None:
    first, second = lines(("潮汐" * 40, 1), ("x", 1), width=80)
    assert cell_len(first.split("1  █")[0]) == cell_len(second.split("1  █")[0])


def test_nothing_is_drawn_of_nothing() -> None:
    assert lines() == []


@given(st.text(alphabet="[]\\/$a1 =@('\")x#潮\x1b", max_size=12))
def test_foreign_text_is_no_markup_whatever_stands_around_it(text: str) -> None:
    shown = Content.from_markup(f"[bold]{plain(text)}[/] and [dim]more[/]").plain
    assert shown.replace(WORD_JOINER, "") == f"{one_line(text)} and more"
