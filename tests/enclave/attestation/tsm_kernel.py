"""What the kernel does behind configfs-tsm, after drivers/virt/coco/guest/report.c and fs/configfs/file.c.

The counters wrap as the kernel's do, but at 8 bits.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

GENERATIONS = 1 << 8
INBLOB_BYTES_MAX = 64
OUTBLOB_BYTES_MAX = 1 << 20  # 32 KiB in kernel 6.7; whoever reads has a bound of its own
PRIVILEGE_LEVEL_MAX = 3

Blobs = tuple[bytes, bytes, bytes]  # outblob, auxblob, manifestblob


@dataclass
class Entry:
    written: int = 0
    read: int = 0
    inblob: bytes = b""
    privilege_level: int = 0
    blobs: Blobs | None = None


class TsmKernel:
    """A guest's kernel; give it no provider to have an ordinary machine's."""

    def __init__(
        self,
        root: Path,
        *,
        provider: str | None = "sev_guest",
        new_report: Callable[[bytes, int], Blobs] = lambda inblob, level: (inblob[::-1], b"", b""),
        floor: int = 0,
        visible: tuple[str, ...] = ("auxblob", "privlevel"),
    ) -> None:
        self.root = root
        self.provider = provider
        self.entries: dict[str, Entry] = {}
        self.before_read: Callable[[str], None] = lambda attribute: None  # another process's turn
        self._new_report = new_report
        self._floor = floor
        self._visible = {"inblob", "outblob", "generation", "provider", *visible}

    def mkdir(self, path: Path) -> None:
        if path.parent != self.root:
            refuse(errno.ENOENT)
        if path.name in self.entries:
            refuse(errno.EEXIST)
        if self.provider is None:
            refuse(errno.ENXIO)
        self.entries[path.name] = Entry()

    def rmdir(self, path: Path) -> None:
        if self.entries.pop(path.name, None) is None:
            refuse(errno.ENOENT)

    def write(self, path: Path, content: bytes) -> None:
        entry = self._entry(path)
        if path.name == "inblob":
            if len(content) > INBLOB_BYTES_MAX:
                refuse(errno.EFBIG)
            if self._advanced(entry):  # committed on close, which drops the result
                entry.inblob = content
        elif path.name == "privlevel":
            level = int(content)
            if not self._floor <= level <= PRIVILEGE_LEVEL_MAX:
                refuse(errno.EINVAL)
            if not self._advanced(entry):
                refuse(errno.EBUSY)
            entry.privilege_level = level
        else:
            refuse(errno.EACCES)

    def read(self, path: Path, *, bytes_max: int) -> bytes:
        entry = self._entry(path)
        self.before_read(path.name)
        return self._content(entry, path.name)[: bytes_max + 1]

    def _content(self, entry: Entry, attribute: str) -> bytes:
        match attribute:
            case "generation":
                return f"{entry.written}\n".encode()
            case "provider":
                if self.provider is None:
                    refuse(errno.ENXIO)
                return f"{self.provider}\n".encode()
            case "outblob" | "auxblob" | "manifestblob":
                blob = self._blobs(entry)[("outblob", "auxblob", "manifestblob").index(attribute)]
                if len(blob) > OUTBLOB_BYTES_MAX:
                    refuse(errno.EFBIG)
                return blob
        refuse(errno.EACCES)

    def _blobs(self, entry: Entry) -> Blobs:
        if not entry.inblob:
            refuse(errno.EINVAL)
        if entry.blobs is None or entry.read != entry.written:
            entry.blobs = self._new_report(entry.inblob, entry.privilege_level)
            entry.read = entry.written
        return entry.blobs

    def _advanced(self, entry: Entry) -> bool:
        if entry.written == (entry.read - 1) % GENERATIONS:
            return False
        entry.written = (entry.written + 1) % GENERATIONS
        return True

    def _entry(self, path: Path) -> Entry:
        if path.parent.parent != self.root or path.parent.name not in self.entries or path.name not in self._visible:
            refuse(errno.ENOENT)
        return self.entries[path.parent.name]


def refuse(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))
