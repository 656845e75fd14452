"""What others wrote, and what went wrong, made fit for a person's screen: text that can do nothing but be read."""

from __future__ import annotations

import errno
from typing import Final

SECONDS: Final = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))


def printable(text: str) -> str:
    """Return text without control characters: what others wrote must not move the reader's cursor."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)


def one_line(text: str, chars_max: int | None = None) -> str:
    """Return text with what does not print written as an escape, such as \\x1b, and cut where it is too long."""
    shown = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
    return shown if chars_max is None or len(shown) <= chars_max else f"{shown[:chars_max]}…"


def error_sentence(error: Exception) -> str:
    """Return what went wrong in one sentence; an operating system's error says which file, and what to do."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist"
    told = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{told}; free some room, then run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else told


def counted(number: int, noun: str, *, digits: str = "") -> str:
    """Return `1 passage`, `1200 passages`, or `1,200 passages` with a comma for `digits`."""
    return f"{number:{digits}} {noun}{'' if number == 1 else 's'}"


def time_left_text(seconds: float) -> str:
    """Return a wait as a person says it, in its two largest units: `3d 4h`, `12s`."""
    left, parts = max(0, int(seconds)), []
    for unit, size in SECONDS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
