"""Amounts, times and names as a person reads them. Nothing here moves a cursor, and nothing is taken for markup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from vault import plain_text
from vault.plain_text import one_line
from vault.plain_text import time_left_text as time_left_text

if TYPE_CHECKING:
    from enclave.channel import Status

BYTE_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
MICRO: Final = 1_000_000
WORD_JOINER: Final = "\u2060"  # has no width, and keeps a last backslash from the markup that follows
TICK: Final = "[$success]✓[/]"
CROSS: Final = "[bold $error]✗[/]"
OPEN: Final = "[$warning]•[/]"


def plain(text: str, chars_max: int | None = None) -> str:
    """Return foreign text for a line of markup: an open bracket is none of it, wherever the next one closes."""
    shown = one_line(text, chars_max).replace("[", "\\[")
    return shown + WORD_JOINER if shown.endswith("\\") else shown


def amount(micro: int, currency: str) -> str:
    """Return micro-units in whole ones, with as many decimals as they need: `0.00025 USDC`."""
    whole, rest = divmod(abs(micro), MICRO)
    decimals = f"{rest:06d}".rstrip("0")
    sign = "-" if micro < 0 else ""
    return f"{sign}{whole:,}{'.' + decimals if decimals else ''} {currency}"


def counted(number: int, noun: str) -> str:
    """Return `1 passage`, `1,200 passages`."""
    return plain_text.counted(number, noun, digits=",")


def size(count: float) -> str:
    """Return bytes in the largest decimal unit that fits: `1.4 MB`."""
    for unit in BYTE_UNITS:
        if count < 1000 or unit == BYTE_UNITS[-1]:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError  # the last unit takes whatever is left


def moment(at: int) -> str:
    """Return UTC seconds as date and time to the minute, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def day(at: int) -> str:
    """Return UTC seconds as a date, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def short(identity: str, first: int = 10, last: int = 4) -> str:
    """Return a CID, address or hash that is told by its ends: `bafyreiaut…yjuu`."""
    return identity if len(identity) <= first + last + 1 else f"{identity[:first]}…{identity[-last:]}"


def opened_words(status: Status) -> str:
    """Return how far an enclave's opening has come, how fast it goes, and how long it will take."""
    words = f"{status.passages_done:,} of {status.passages_total:,} passages"
    if not status.passages_per_second:
        return words
    pace = status.passages_per_second
    return f"{words}, {pace:.{0 if pace >= 10 else 1}f} a second, about {time_left_text(status.seconds_left)} left"
