"""What a person sees: one sentence for what went wrong, red for what protects nothing, JSON where a program reads."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from cli.sealed_files import UnreadableInput
from rag.errors import RagError
from storage.errors import StorageError
from vault.errors import VaultError
from vault.plain_text import error_sentence
from vault.plain_text import one_line as one_line
from vault.plain_text import printable as printable

FAILED = 1
MISUSED = 2
_UNPRINTED: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
out = Console(highlight=False, emoji=False)
err = Console(stderr=True, highlight=False, emoji=False)


@contextmanager
def reported() -> Iterator[None]:
    """Turn what we expect to go wrong into one sentence and exit code 1; a bug keeps its traceback."""
    try:
        yield
    except (VaultError, StorageError, RagError) as error:
        fail(str(error))
    except OSError as error:
        fail(error_sentence(error))
    except KeyboardInterrupt:
        fail("interrupted; nothing half-written was kept")


@contextmanager
def inputs_reported() -> Iterator[None]:
    """Turn an input file that is missing, no file, unreadable or too large into one sentence and exit code 2."""
    try:
        yield
    except UnreadableInput as error:
        fail(str(error), MISUSED)
    except OSError as error:
        fail(error_sentence(error), MISUSED)


def fail(sentence: str, code: int = FAILED) -> NoReturn:
    """Say what went wrong and exit."""
    err.print(f"[bold red]error:[/] {foreign(sentence)}", soft_wrap=True)
    raise typer.Exit(code)


def say(text: str) -> None:
    """Print a line of rich markup, without the control characters that foreign text may bring."""
    out.print(printable(text), soft_wrap=True)


def say_held(fact: str, *, indent: str = "") -> None:
    """Print what was found to be true."""
    out.print(f"{indent}[green]✓[/] {foreign(fact)}", soft_wrap=True)


def say_wrong(fact: str, *, indent: str = "") -> None:
    """Say, beside the output, what was found to be wrong."""
    err.print(f"{indent}[bold red]✗[/] {foreign(fact)}", soft_wrap=True)


def foreign(text: str) -> str:
    """Return foreign text for a line of rich markup: it stays on that line, and is taken for nothing but text."""
    return escape(one_line(text))


def show_json(value: Any) -> None:
    """Print one JSON object on one line: what moves a cursor, and half a surrogate pair, as escapes."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    sys.stdout.write(_UNPRINTED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")
    sys.stdout.flush()


def warn(sentence: str) -> None:
    """Say in red, beside the output, what a person must not overlook."""
    err.print(f"[bold red]{foreign(sentence)}[/]", soft_wrap=True)


def warn_simulated() -> None:
    """Say in red what a simulated TEE is worth."""
    err.print("[bold white on red] TEE SIMULATED [/] [red]nothing here is protected from this machine's operator[/]")


def tee_text(kind: str) -> str:
    """Return a TEE's kind as shown everywhere: simulated in red."""
    return "[bold red]SIMULATED[/]" if kind == "simulated" else f"[green]{foreign(kind)}[/]"


def password_for(what: str, given: str) -> str:
    """Return the password from settings, or ask for it at the terminal."""
    if given:
        return given
    if not sys.stdin.isatty():
        fail(f"{what} needs a password; set COFFER_PASSWORD, or run at a terminal", MISUSED)
    answer: str = typer.prompt(f"Password for {what}", hide_input=True, err=True)
    return answer


def is_quiet() -> bool:
    """Say whether progress should not be drawn: output is read by a program or a log."""
    return not sys.stderr.isatty() or "NO_PROGRESS" in os.environ
