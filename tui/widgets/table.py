"""A table whose cells are drawn as wide as its columns have become."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from textual.widgets import DataTable
from textual.widgets.data_table import RowKey


class Table(DataTable[Any]):
    """Textual's table, without cells that stay cut off.

    `DataTable` measures new cells only when it has nothing else to do, and keeps what it drew before that: a busy app
    that paints in between shows rows cut to the old widths until a key moves something (Textualize/textual #3533 and
    #4470, in 8.2.8). So what was drawn is forgotten whenever columns were measured. Its columns never get narrower
    (#3449), either: here they begin anew with the rows.
    """

    def clear(self, columns: bool = False) -> Self:
        """Take all rows away, and the widths that they needed."""
        super().clear(columns)
        for column in self.columns.values():
            column.content_width = column.label.cell_len
        return self

    def _update_dimensions(self, new_rows: Iterable[RowKey]) -> None:
        super()._update_dimensions(new_rows)
        self.notify_style_update()
