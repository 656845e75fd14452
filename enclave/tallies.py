"""Where a client keeps what it received and promised by payment channels, so that a restart forgets nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from vault.errors import MalformedObject
from vault.paying import Tally
from vault.sealed_files import read_bounded, write_private

TALLY_BYTES_MAX: Final = 1024
SUFFIX: Final = ".tally"
Change = Callable[[Tally], Tally]


class Tallies(Protocol):
    """Tallies by channel."""

    def changed(self, channel: bytes, change: Change) -> Tally:
        """Change the tally of a channel while nobody else does; return it. What `change` raises changes nothing."""
        ...


class TalliesInMemory:
    """Tallies of one process; safe to share among threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[bytes, Tally] = {}

    def changed(self, channel: bytes, change: Change) -> Tally:
        """Change the tally of a channel."""
        with self._lock:
            tally = self._known[channel] = change(self._known.get(channel) or Tally.fresh(channel))
            return tally


class TallyFolder:
    """Tallies in files that only their owner can read; processes may share the folder."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def changed(self, channel: bytes, change: Change) -> Tally:
        """Change the tally of a channel; it is on the disk when this returns. Raises `MalformedObject`, `OSError`."""
        import fcntl  # of POSIX systems

        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path / f"{channel.hex()}{SUFFIX}"
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = _read(path, channel)
            after = change(before)
            if after != before:
                write_private(path, after.encoded())
            return after
        finally:
            os.close(lock)


def _read(path: Path, channel: bytes) -> Tally:
    if not path.exists():
        return Tally.fresh(channel)
    tally = Tally.from_bytes(read_bounded(path, TALLY_BYTES_MAX))
    if tally.channel != channel:
        raise MalformedObject(f"{path} is the tally of another channel")
    return tally
