"""The journal: an enclave's sealed ledger entries, append-only, on a host that can read none of them (rule L1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

from sqlalchemy import Connection, bindparam, func
from sqlmodel import Session, col, select

from vault.errors import ForkedHistory
from vault.records.database import Records
from vault.records.model import JournalRow
from vault.records.tables import DIGEST_BYTES, JournalEntry

APPEND_ROWS_MAX: Final = 1024
PAGE_ROWS: Final = 64  # at 512 KiB a row, 32 MiB at most in memory


_TABLE = JournalEntry.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_LAST_SEQUENCE: Final = select(func.max(_TABLE.c.sequence)).where(_TABLE.c.ledger == bindparam("own"))
_COLUMNS: Final = ("ledger", "sequence", "sealed", "mac")
_TOGETHER: Final = (240, 60, 12, 3, 1)  # rows of four values in one statement; some builds of SQLite take 999 values


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
            self._insert(connection, rows)

    def _insert(self, connection: Connection, rows: Sequence[JournalRow]) -> None:
        """Insert rows, many with one statement: a call for each would have the driver wait for each, thread by thread.

        The statement is the driver's own, since to compile one of a thousand values costs more than to run it.
        """
        place = "?" if connection.dialect.paramstyle == "qmark" else "%s"
        start = 0
        for together in _TOGETHER:
            statement = _statement(place, together)
            while len(rows) - start >= together:
                values: list[bytes | int] = []
                for row in rows[start : start + together]:
                    values += (self._ledger, row.sequence, row.sealed, row.mac)
                connection.exec_driver_sql(statement, tuple(values))
                start += together

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


@cache
def _statement(place: str, rows: int) -> str:
    """Return the statement that inserts so many rows."""
    row = f"({', '.join(place for _ in _COLUMNS)})"
    return f"INSERT INTO {_TABLE.name} ({', '.join(_COLUMNS)}) VALUES {', '.join(row for _ in range(rows))}"  # noqa: S608  # of names of ours


def _row(entry: JournalEntry) -> JournalRow:
    return JournalRow(entry.sequence, entry.sealed, entry.mac)
