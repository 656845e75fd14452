"""The journal: an enclave's sealed ledger entries, append-only, on a host that can read none of them (rule L1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import bindparam, func, insert
from sqlmodel import Session, col, select

from vault.errors import ForkedHistory
from vault.records.database import Records
from vault.records.model import JournalRow
from vault.records.tables import DIGEST_BYTES, JournalEntry

APPEND_ROWS_MAX: Final = 1024
PAGE_ROWS: Final = 64  # at 512 KiB a row, 32 MiB at most in memory


_TABLE = JournalEntry.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_LAST_SEQUENCE: Final = select(func.max(_TABLE.c.sequence)).where(_TABLE.c.ledger == bindparam("own"))
_APPEND: Final = insert(_TABLE)


class Journal:
    """One ledger's rows."""

    def __init__(self, records: Records, ledger: bytes) -> None:
        if len(ledger) != DIGEST_BYTES:
            raise ValueError(f"a ledger id has {DIGEST_BYTES} bytes")
        self._records = records
        self._ledger = ledger

    def append(self, rows: Sequence[JournalRow]) -> None:
        """Add rows at the end: all of them, durable on return, or none.

        Args:
            rows: at most `APPEND_ROWS_MAX`, in order of sequence.
        Raises: ForkedHistory: a sequence exists or would leave a gap. RecordsUnavailable: full or away.
        """
        if len(rows) > APPEND_ROWS_MAX:
            raise ValueError(f"at most {APPEND_ROWS_MAX} rows at once")
        if not rows:
            return
        with self._records.appending(b"journal" + self._ledger) as connection:
            last = connection.execute(_LAST_SEQUENCE, {"own": self._ledger}).scalar() or 0
            for sequence, row in enumerate(rows, last + 1):
                if row.sequence != sequence:
                    raise ForkedHistory(f"the journal's next row is {sequence}, not {row.sequence}: read it again")
            connection.execute(
                _APPEND,
                [
                    {"ledger": self._ledger, "sequence": row.sequence, "sealed": row.sealed, "mac": row.mac}
                    for row in rows
                ],
            )

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        """Yield the rows after sequence `after`, ascending, a page of `PAGE_ROWS` in memory at a time."""
        while page := self._page(after):
            yield from page
            after = page[-1].sequence

    def last(self) -> JournalRow | None:
        """Return the last row."""
        with self._records.reading() as session:
            entry = self._last(session)
            return _row(entry) if entry else None

    def _page(self, after: int) -> list[JournalRow]:
        newer = select(JournalEntry).where(JournalEntry.ledger == self._ledger, JournalEntry.sequence > after)
        with self._records.reading() as session:
            entries = session.exec(newer.order_by(col(JournalEntry.sequence)).limit(PAGE_ROWS))
            return [_row(entry) for entry in entries]

    def _last(self, session: Session) -> JournalEntry | None:
        own = select(JournalEntry).where(JournalEntry.ledger == self._ledger)
        return session.exec(own.order_by(col(JournalEntry.sequence).desc()).limit(1)).first()


def _row(entry: JournalEntry) -> JournalRow:
    return JournalRow(entry.sequence, entry.sealed, entry.mac)
