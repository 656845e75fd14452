"""Foreign text on the terminal's screens is text, whatever stands in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from textual.content import Content

from tui.words import WORD_JOINER, plain
from vault.plain_text import one_line


@given(st.text(st.sampled_from("[]\\/@ ab=$("), max_size=20))
def test_foreign_text_is_never_taken_for_markup(text: str) -> None:
    line = Content.from_markup(f"[b]{plain(text)}[/b] next").plain
    assert line.replace(WORD_JOINER, "") == f"{one_line(text)} next"
