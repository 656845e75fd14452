"""A journal whose database fails, before or after it has recorded, once or for long; or takes its time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from tests.loops import WAIT_S
from vault.errors import RecordsUnavailable
from vault.records.journal import Journal
from vault.records.model import JournalRow


class FailingJournal:
    """Passes everything on; `fail` makes the next append fail, `leave` all calls, `hold` lets appends wait."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._failing = ""
        self._is_away = False
        self._free = threading.Event()
        self._free.set()
        self.held = threading.Event()

    def fail(self, when: str) -> None:
        """Fail the next append: `before` recording or `after`."""
        self._failing = when

    def leave(self, is_away: bool = True) -> None:
        """Be out of reach, or back again."""
        self._is_away = is_away

    def hold(self) -> None:
        """Let appends wait, and `held` say when one does."""
        self.held.clear()
        self._free.clear()

    def let_go(self) -> None:
        """Let appends through again."""
        self._free.set()

    def append(self, rows: Sequence[JournalRow]) -> None:
        if not self._free.is_set():
            self.held.set()
            assert self._free.wait(WAIT_S)
        self._require_here()
        failing, self._failing = self._failing, ""
        if failing == "before":
            raise RecordsUnavailable("the database went away; nothing was recorded")
        self._journal.append(rows)
        if failing == "after":
            raise RecordsUnavailable("the database went away; it is not known whether this was recorded")

    def append_now(self, row: JournalRow) -> bool:
        if not self._free.is_set():
            return False  # as where another writer holds the database: the one who waits does so in the thread
        self.append([row])
        return True

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        self._require_here()
        return self._journal.rows(after=after)

    def last(self) -> JournalRow | None:
        self._require_here()
        return self._journal.last()

    def _require_here(self) -> None:
        if self._is_away:
            raise RecordsUnavailable("the database cannot be reached; nothing was recorded")
