"""The journal: an enclave's sealed ledger entries, append-only, on a host that can read none of them (rule L1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from typing import Final

from sqlalchemy import Connection, bindparam, func
from sqlmodel import Session, col, select

from vault.errors import ForkedHistory
from vault.records.database import Records
from vault.records.model import JournalRow
from vault.records.tables import DIGEST_BYTES, JournalEntry

APPEND_ROWS_MAX: Final = 1024
PAGE_ROWS: Final = 64
PAGE_BYTES: Final = 32 << 20  # of rows in memory; a larger row comes alone


_TABLE = JournalEntry.__table__  # type: ignore[attr-defined]  # SQLModel does not declare it
_SIZES: Final = (
    select(_TABLE.c.sequence, func.length(_TABLE.c.sealed))
    .where(_TABLE.c.ledger == bindparam("own"), _TABLE.c.sequence > bindparam("after"))
    .order_by(_TABLE.c.sequence)
    .limit(PAGE_ROWS)
)
_LAST_SEQUENCE: Final = select(func.max(_TABLE.c.sequence)).where(_TABLE.c.ledger == bindparam("own"))
_COLUMNS: Final = ("ledger", "sequence", "entries", "sealed", "mac")
_NEXT: Final = (
    f"INSERT INTO {_TABLE.name} ({', '.join(_COLUMNS)}) SELECT ?, ?, ?, ?, ?"  # noqa: S608  # of names of ours
    f" WHERE ? = coalesce((SELECT max(sequence) FROM {_TABLE.name} WHERE ledger = ?), 0)"
)
_TOGETHER: Final = (192, 48, 12, 3, 1)  # rows of five values in one statement; some builds of SQLite take 999 values


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
            rows: at most `APPEND_ROWS_MAX`, in order, each beginning with the entry after the one before it.
        Raises: ForkedHistory: a sequence exists or would leave a gap. RecordsUnavailable: full or away.
        """
        if len(rows) > APPEND_ROWS_MAX:
            raise ValueError(f"at most {APPEND_ROWS_MAX} rows at once")
        if not rows:
            return
        if len(rows) == 1 and self.append_now(rows[0]):
            return
        with self._records.appending(b"journal" + self._ledger) as connection:
            last = connection.execute(_LAST_SEQUENCE, {"own": self._ledger}).scalar() or 0
            for row in rows:
                if row.sequence - row.entries != last:
                    first = row.sequence - row.entries + 1
                    raise ForkedHistory(f"the journal's next entry is {last + 1}, not {first}: read it again")
                last = row.sequence
            self._insert(connection, rows)

    def append_now(self, row: JournalRow) -> bool:
        """Do as `append` does with one row, or nothing where that would have to wait; say whether it is durable.

        It gives False as well for a row that is not the next one, and always over PostgreSQL: `append` says more.
        """
        values = (self._ledger, row.sequence, row.entries, row.sealed, row.mac)
        return bool(self._records.written_at_once(_NEXT, (*values, row.sequence - row.entries, self._ledger)))

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
                    values += (self._ledger, row.sequence, row.entries, row.sealed, row.mac)
                connection.exec_driver_sql(statement, tuple(values))
                start += together

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        """Yield the rows that end after entry `after`, ascending, a page of them in memory at a time."""
        while page := self._page(after):
            yield from page
            after = page[-1].sequence

    def last(self) -> JournalRow | None:
        """Return the last row."""
        with self._records.reading() as session:
            entry = self._last(session)
            return _row(entry) if entry else None

    def _page(self, after: int) -> list[JournalRow]:
        with self._records.reading() as session:
            sizes = session.connection().execute(_SIZES, {"own": self._ledger, "after": after}).all()
            together = [size <= PAGE_BYTES for size in accumulate(size for _, size in sizes)].count(True)
            newer = select(JournalEntry).where(JournalEntry.ledger == self._ledger, JournalEntry.sequence > after)
            entries = session.exec(newer.order_by(col(JournalEntry.sequence)).limit(max(1, together)))
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
    return JournalRow(entry.sequence, entry.sealed, entry.mac, entry.entries)
