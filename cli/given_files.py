"""Files that people name for a command, and folders that stand for those in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cli.sealed_files import UnreadableInput

FILES_MAX: Final = 10_000
RECEIPT: Final = ".receipt"
STATEMENT: Final = ".statement"
LOG: Final = ".log"


def given_files(paths: Iterable[Path], *suffixes: str) -> list[Path]:
    """Return files in their order, and in a folder's place those in it that end so. Raises `UnreadableInput`."""
    found: list[Path] = []
    for path in paths:
        found += sorted(one for one in path.iterdir() if one.suffix in suffixes) if path.is_dir() else [path]
        if len(found) > FILES_MAX:
            raise UnreadableInput(f"more than {FILES_MAX} files; take fewer at once")
    if not found:
        raise UnreadableInput(f"nothing in what was given ends in {' or '.join(suffixes)}")
    return found
