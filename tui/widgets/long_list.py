"""A list of any length: only the lines in sight are asked for and drawn, so 100,000 scroll like ten.

Lines come from a thread: one that is not known yet is drawn as dots, and again once it is there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from vault.plain_text import one_line

KEPT: Final = 2000  # lines
AHEAD: Final = 20  # lines asked for beyond those in sight


class LongList(ScrollView, can_focus=True):
    """Shows names in order, each with a line of facts; the chosen one is marked with ▸."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First", show=False),
        Binding("end", "last", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Wanted(Message):
        """These names came into sight, and their lines are not known."""

        def __init__(self, sender: LongList, names: tuple[str, ...]) -> None:
            super().__init__()
            self.sender, self.names = sender, names

    class Chosen(Message):
        """A person chose a line."""

        def __init__(self, sender: LongList, name: str) -> None:
            super().__init__()
            self.sender, self.name = sender, name

    def __init__(self, *, empty: str, id: str | None = None) -> None:
        super().__init__(id=id)
        self._empty = empty
        self._names: Sequence[str] = ()
        self._lines: OrderedDict[str, str] = OrderedDict()
        self._wanted: set[str] = set()
        self.cursor = 0

    @property
    def name_at_cursor(self) -> str:
        """Return the name under the cursor; empty where the list is."""
        return self._names[self.cursor] if self._names else ""

    def show(self, names: Sequence[str]) -> None:
        """Show other names; the cursor stays on its own where that is still there."""
        before = self.name_at_cursor
        self._names = names
        self.cursor = next((row for row, name in enumerate(names[:KEPT]) if name == before), 0)
        self._wanted.clear()
        self.virtual_size = Size(self.size.width, max(1, len(names)))
        self.refresh()
        self.call_after_refresh(self._ask)

    def tell(self, lines: dict[str, str]) -> None:
        """Take the lines of names; old ones make room."""
        self._lines |= lines
        self._wanted -= set(lines)
        while len(self._lines) > KEPT:
            self._lines.popitem(last=False)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line in sight."""
        width = self.size.width
        row = y + self.scroll_offset.y
        base = self.rich_style
        if not self._names:
            return Strip([Segment(self._empty.ljust(width) if y == 0 else " " * width, base + Style(dim=True))])
        if row >= len(self._names):
            return Strip([Segment(" " * width, base)])
        is_at = row == self.cursor
        text = one_line(self._lines.get(self._names[row], "…"))
        line = f"{'▸' if is_at else ' '} {text}"[:width].ljust(width)
        style = base + Style(reverse=self.has_focus, bold=True) if is_at else base
        return Strip([Segment(line, style)], width)

    def on_resize(self, _: events.Resize) -> None:
        """Follow the size."""
        self.virtual_size = Size(self.size.width, max(1, len(self._names)))
        self._ask()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Ask for what came into sight."""
        super().watch_scroll_y(old_value, new_value)
        self._ask()

    def _ask(self) -> None:
        first = max(0, self.scroll_offset.y - AHEAD)
        last = self.scroll_offset.y + self.size.height + AHEAD
        missing = [n for n in self._names[first:last] if n not in self._lines and n not in self._wanted]
        if missing:
            self._wanted.update(missing)
            self.post_message(self.Wanted(self, tuple(missing)))

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by what is in sight."""
        self._to(self.cursor + by * max(1, self.size.height - 1))

    def action_first(self) -> None:
        """Go to the first line."""
        self._to(0)

    def action_last(self) -> None:
        """Go to the last line."""
        self._to(len(self._names) - 1)

    def action_choose(self) -> None:
        """Choose the line under the cursor."""
        if self._names:
            self.post_message(self.Chosen(self, self.name_at_cursor))

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked."""
        row = event.y + self.scroll_offset.y
        if row < len(self._names):
            self._to(row)
            self.action_choose()

    def _to(self, row: int) -> None:
        if not self._names:
            return
        self.cursor = min(max(0, row), len(self._names) - 1)
        self.scroll_to_region(Region(0, self.cursor, self.size.width, 1), animate=False, force=True)
        self.refresh()
