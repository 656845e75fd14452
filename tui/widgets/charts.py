"""Amounts as bars, in text: each with its label and its number, so that nothing is said by length alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.cells import cell_len, set_cell_size

from tui.words import plain
from vault.plain_text import one_line

EIGHTHS: Final = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
LABEL_CELLS_MAX: Final = 32
CELLS_MIN: Final = 4


def bar(part: float, whole: float, cells: int) -> str:
    """Return a bar as long as `part` is of `whole`, to an eighth of a cell; what is not nothing is at least that."""
    if whole <= 0 or part <= 0:
        return ""
    eighths = max(1, round(min(1.0, part / whole) * cells * 8))
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8]


def chart(
    rows: Sequence[tuple[str, int]],
    *,
    width: int,
    number: Callable[[int], str],
    whole: int | None = None,
    color: str = "$primary",
) -> str:
    """Return a line of markup for each amount: label, number, bar.

    Args:
        width: cells of a line.
        number: says an amount.
        whole: what a full bar means; the largest amount by default.
    """
    if not rows:
        return ""
    numbers = [number(value) for _, value in rows]
    labels = [one_line(label) for label, _ in rows]
    across = min(LABEL_CELLS_MAX, max(cell_len(label) for label in labels))
    beside = max(len(one) for one in numbers)
    cells = max(CELLS_MIN, width - across - beside - 4)
    most = max(value for _, value in rows) if whole is None else whole
    return "\n".join(
        f"{plain(set_cell_size(label, across))}  {said:>{beside}}  [{color}]{bar(value, most, cells)}[/]"
        for label, said, (_, value) in zip(labels, numbers, rows, strict=True)
    )
