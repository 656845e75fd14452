"""Bars in the terminal: who earned how much, the largest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.bar import Bar
from rich.table import Table

from cli.console import foreign, out

BARS_MAX: Final = 20


def show_chart(title: str, unit: str, amounts: Sequence[tuple[str, int]]) -> None:
    """Print a bar for each amount; what is beyond `BARS_MAX` together as one."""
    shown = list(amounts[:BARS_MAX])
    if len(amounts) > BARS_MAX:
        shown.append((f"{len(amounts) - BARS_MAX} more", sum(amount for _, amount in amounts[BARS_MAX:])))
    most = max((amount for _, amount in shown), default=0)
    if not most:
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column(unit, justify="right", no_wrap=True)
    table.add_column("", ratio=1)
    for label, amount in shown:
        table.add_row(foreign(label), f"{amount:,}", Bar(most, 0, amount, color="cyan"))
    out.print(table)
