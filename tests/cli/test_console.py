"""What foreign text may do to a terminal: nothing; it stays on its line, and is taken for nothing but text."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cli import console, dao_log, dao_text, tables
from cli.console import fail, foreign, say
from cli.dao_text import policy_json, say_policy
from tests.builders import dao, policy

ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m"
FORGED = f"fair{ESCAPE}\r\n✓ all of it holds\u2028✓ and this\u202e [bold red]red[/] :white_check_mark: [/]"
GENESIS = dao().genesis


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Return what was printed since, whichever stream it went to."""
    stream = io.StringIO()
    for name in ("out", "err"):
        real = getattr(console, name)
        shown = Console(file=stream, highlight=False, emoji=real._emoji, width=1000)
        for module in (console, tables, dao_text, dao_log):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, shown)
    return stream.getvalue


def is_plain(text: str, lines: int) -> bool:
    return text.count("\n") == lines and text.replace("\n", "").isprintable() and "✅" not in text


def test_foreign_text_stays_on_its_line_and_is_no_markup(printed: Callable[[], str]) -> None:
    say(f"[bold]name[/] {foreign(FORGED)}")
    assert is_plain(printed(), 1)
    assert "\\x1b[2J" in printed() and "[bold red]red[/] :white_check_mark: [/]" in printed()


def test_an_error_of_others_is_one_sentence(printed: Callable[[], str]) -> None:
    with pytest.raises(typer.Exit):
        fail(FORGED)
    assert is_plain(printed(), 1) and printed().startswith("error: fair")


def test_a_cell_is_one_line(printed: Callable[[], str]) -> None:
    tables.show_table(("name", "state"), [(FORGED, "open"), ("b", FORGED)])
    assert is_plain(printed(), 3)


def test_a_policys_title_is_text(printed: Callable[[], str]) -> None:
    say_policy(policy_json(policy(GENESIS)))
    lines = printed().count("\n")
    say_policy(policy_json(policy(GENESIS, title=FORGED)))
    assert is_plain(printed(), 2 * lines)


def test_reasons_are_text(printed: Callable[[], str]) -> None:
    cast = {"voter": "0x12", "support": "for", "weight": 1, "reason": FORGED}
    told = {"epoch": 1, "head": "bafy", "cause": "bafy", "what": FORGED, "count": "1 for", "voters": 1, "custodians": 1}
    dao_log._say_epoch(told | {"proposal": "bafy", "proposer": "0x12", "ballots": [cast]})
    assert is_plain(printed(), 6)


@given(st.text())
def test_whatever_others_write_is_one_printable_line_that_reads_back(text: str) -> None:
    stream = io.StringIO()
    Console(file=stream, highlight=False, emoji=False, width=10_000).print(f"x{foreign(text)}x", soft_wrap=True)
    assert stream.getvalue().endswith("x\n") and stream.getvalue()[:-1].isprintable()
    if text.isprintable() and not text.endswith("\\"):  # which is doubled, or it would escape markup that follows
        assert stream.getvalue() == f"x{text}x\n"
