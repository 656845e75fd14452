"""Plain tables that never shorten a cell: a CID is only useful whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.markup import escape

from cli.console import one_line, out


def show_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a header, each column as wide as its widest cell; cells are text, not markup."""
    lines = [list(header), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        padded = [cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)]
        text = escape("  ".join(padded).rstrip())
        out.print(f"[bold]{text}[/]" if number == 0 else text, soft_wrap=True)
