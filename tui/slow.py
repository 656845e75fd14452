"""Slow work beside a screen: it runs in a thread, can be stopped, and ends in values or in one sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from rag.errors import RagError
from storage.errors import StorageError
from vault.errors import VaultError

EXPECTED = (VaultError, StorageError, RagError, OSError)
TELL_EVERY_S = 0.1  # as often as a person can see


class Stopped(Exception):
    """A person stopped this work; what it had begun is undone by whoever began it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far some work has come."""

    what: str
    done: int
    total: int | None  # None: nobody knows
    elapsed_s: float

    @property
    def rate(self) -> float:
        """Return how much a second is done."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Return how long the rest will take at this rate; None where nobody knows."""
        if self.total is None or self.rate == 0:
            return None
        return max(0.0, (self.total - self.done) / self.rate)


class Job:
    """One piece of work: whoever does it calls `tell`, and is stopped there."""

    def __init__(self, tell: Callable[[Progress], None] = lambda _: None) -> None:
        self._tell = tell
        self._stop = threading.Event()
        self._what = ""
        self._begun = self._told = 0.0

    @property
    def is_stopped(self) -> bool:
        """Say whether a person asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask the work to stop."""
        self._stop.set()

    def require_going(self) -> None:
        """Raise `Stopped` where a person asked to stop."""
        if self._stop.is_set():
            raise Stopped

    def tell(self, what: str, done: int, total: int | None) -> None:
        """Say how far it has come; raise `Stopped` where it should go no further."""
        self.require_going()
        now = time.monotonic()
        if what != self._what:
            self._what, self._begun, self._told = what, now, 0.0
        if now - self._told >= TELL_EVERY_S or done == total:
            self._told = now
            self._tell(Progress(what=what, done=done, total=total, elapsed_s=now - self._begun))
