"""A journal whose database fails, before or after it has recorded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vault.errors import RecordsUnavailable
from vault.records.journal import Journal
from vault.records.model import JournalRow


class FailingJournal:
    """Passes everything on; `fail` makes the next append fail."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._failing = ""

    def fail(self, when: str) -> None:
        """Fail the next append: `before` recording or `after`."""
        self._failing = when

    def append(self, rows: Sequence[JournalRow]) -> None:
        failing, self._failing = self._failing, ""
        if failing == "before":
            raise RecordsUnavailable("the database went away; nothing was recorded")
        self._journal.append(rows)
        if failing == "after":
            raise RecordsUnavailable("the database went away; it is not known whether this was recorded")

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        return self._journal.rows(after=after)

    def last(self) -> JournalRow | None:
        return self._journal.last()
