"""Files and folders to documents. Whatever is not read is reported with why; nothing is dropped silently."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from rag.errors import MalformedDocument
from rag.formats import PARSERS, documents_from_bytes
from rag.model import Document, Skipped

FILE_BYTES_MAX = 64 * 1024 * 1024
ENTRIES_MAX = 1_000_000  # files and folders in all
DEPTH_MAX = 64  # of folders in folders
KINDS = ", ".join(sorted(PARSERS))


def read(paths: Iterable[Path], *, file_bytes_max: int = FILE_BYTES_MAX) -> Iterator[Document | Skipped]:
    """Yield the documents of files and folders, and everything that was skipped, in the order of `paths`.

    A file is named by its last part, a file of a folder by the folder's name and its path there, a line or a row by
    "#" and its `_id` or number. A folder is read with all below it in alphabetical order, without hidden entries and
    without links. Names are unique: a second document of the same name is skipped.
    """
    seen: set[str] = set()
    for path in paths:
        for item in _items(path, file_bytes_max):
            if isinstance(item, Document):
                if item.name in seen:
                    yield Skipped(item.name, "another document of this name was read before it; rename one of them")
                    continue
                seen.add(item.name)
            yield item


def read_stdin(stream: BinaryIO, name: str, *, file_bytes_max: int = FILE_BYTES_MAX) -> Iterator[Document | Skipped]:
    """Yield the documents of a byte stream, parsed by the suffix of `name`, or as text where it has none."""
    suffix = Path(name).suffix.lower() or ".txt"
    try:
        yield from _parsed(name, suffix, stream, file_bytes_max)
    except OSError as error:
        yield Skipped(name, f"it cannot be read ({_cause(error)}); try again")


def _items(path: Path, file_bytes_max: int) -> Iterator[Document | Skipped]:
    """A path the caller names may be a link: naming it is asking for what it leads to."""
    if os.path.isdir(path):  # where Path.is_dir raises, the answer is no, and opening the path says why
        root = path.resolve()
        budget = iter(range(ENTRIES_MAX))
        found = False
        for item in _folder(root, printable(root.name), root, budget, file_bytes_max, DEPTH_MAX):
            found = True
            yield item
        if not found:
            yield Skipped(printable(root.name) or "/", "the folder is empty; name one that holds files")
    else:
        yield from _file(path, printable(path.name), file_bytes_max, follow=True)


def _folder(
    folder: Path, name: str, root: Path, budget: Iterator[int], file_bytes_max: int, depth: int
) -> Iterator[Document | Skipped]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Skipped(name, f"the folder cannot be listed ({_cause(error)}); check its permissions")
        return
    for entry in entries:
        path, inner = folder / entry.name, f"{name}/{printable(entry.name)}"
        if next(budget, None) is None:
            yield Skipped(inner, f"the folder holds over {ENTRIES_MAX} entries; read it in parts")
            return
        if entry.name.startswith("."):
            yield Skipped(inner, "it is hidden; name it to read it")
        elif entry.is_symlink():
            yield Skipped(inner, _link(path, root))
        elif not entry.is_dir(follow_symlinks=False):
            yield from _file(path, inner, file_bytes_max, follow=False)
        elif depth == 0:
            yield Skipped(inner, f"it lies over {DEPTH_MAX} folders deep; name it to read it")
        else:
            yield from _folder(path, inner, root, budget, file_bytes_max, depth - 1)


def _link(path: Path, root: Path) -> str:
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        return "it is a link to nothing; remove it or mend it"
    if target.is_relative_to(root):
        return "it is a link within the folder; what it leads to is read under its own name"
    return "it is a link out of the folder; name what it leads to"


def _file(path: Path, name: str, file_bytes_max: int, *, follow: bool) -> Iterator[Document | Skipped]:
    suffix = path.suffix.lower()
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer; without O_NOFOLLOW, a swapped-in link is followed.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        with open(path, "rb", opener=lambda file, _: os.open(file, flags)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                yield Skipped(name, "it is neither a file nor a folder; copy its content into a file")
            elif status.st_size > file_bytes_max:
                yield Skipped(name, _too_large(status.st_size, file_bytes_max))
            else:
                yield from _parsed(name, suffix, file, file_bytes_max)
    except OSError as error:
        yield Skipped(name, f"it cannot be read ({_cause(error)}); check the path and its permissions")


def _parsed(name: str, suffix: str, file: BinaryIO, file_bytes_max: int) -> Iterator[Document | Skipped]:
    if suffix not in PARSERS:
        yield Skipped(name, f"files of the kind {printable(suffix)!r} are not read; convert it to one of {KINDS}")
        return
    data = file.read(file_bytes_max + 1)
    if len(data) > file_bytes_max:
        yield Skipped(name, _too_large(len(data), file_bytes_max))
    elif not data:
        yield Skipped(name, "it is empty; write something or leave it out")
    else:
        try:
            yield from documents_from_bytes(name, suffix, data)
        except MalformedDocument as error:
            yield Skipped(name, str(error))


def _too_large(size: int, file_bytes_max: int) -> str:
    return f"it has {size} bytes or more and the limit is {file_bytes_max}; split it"


def printable(name: str) -> str:
    """Return a file name as valid UTF-8 without control characters, escaped where it is not."""
    text = os.fsencode(name).decode(errors="backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _cause(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
