"""Cells of tables: foreign text as nothing but text, in a color of the theme."""

from __future__ import annotations

from rich.text import Text
from textual.app import App

from vault.plain_text import one_line


def cell(text: object, *, chars_max: int | None = None, color: str = "", app: App[object] | None = None) -> Text:
    """Return a table's cell; `color` is one of the theme's variables, such as success: give it anew with a theme.

    It is no `Content`, which could name the variable: tables measure that as nothing, and cut it off.
    """
    style = app.theme_variables.get(color, "") if app is not None and color else ""
    return Text(one_line(str(text), chars_max), style=style, no_wrap=True, overflow="ellipsis")
