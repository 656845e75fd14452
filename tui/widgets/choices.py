"""Choices that are told by a sign: Textual's own show the same one in another color."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox, RadioButton


class Choice(RadioButton):
    """One of several; the chosen one has a dot."""

    def render(self) -> Content:
        """Draw it with or without its dot."""
        self.BUTTON_INNER = "●" if self.value else " "
        return super().render()


class Tick(Checkbox):
    """A yes or no; yes has a cross."""

    def render(self) -> Content:
        """Draw it with or without its cross."""
        self.BUTTON_INNER = "X" if self.value else " "
        return super().render()
