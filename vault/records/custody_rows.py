"""All that a custodian remembers as rows of plain values, to move it from one database to another of either kind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Table as SqlTable
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import Session

from vault.errors import MalformedObject
from vault.records.database import Records
from vault.records.tables import CaughtUp, CustodyCondition, Table

Row = Mapping[str, "int | bytes | str | None"]
_PREFIX: Final = "custody_"
_ROWS_AT_ONCE: Final = 500


def exported(records: Records) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every row with its table's name, as of one moment, while others go on writing."""
    with records.reading() as session:
        if records.engine.dialect.name == "postgresql":  # SQLite's reading transactions see one moment anyway
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        for name, table in _tables().items():
            found = session.connection().execute(select(table), execution_options={"yield_per": _ROWS_AT_ONCE})
            for row in found.mappings():
                yield name, dict(row)


@contextmanager
def imported(records: Records, rows: Iterable[tuple[str, Row]], *, at: int) -> Iterator[None]:
    """Insert rows into records that hold no custodian yet, marked as restored; durable once the block ended well.

    Args:
        at: UTC seconds of the restoring.
    Raises: `MalformedObject` where a custodian is there already, or the rows are of another version of the tables.
    """
    tables = _tables()
    with records.writing(b"restore") as session:
        if any(session.connection().execute(select(table).limit(1)).first() for table in tables.values()):
            raise MalformedObject(f"the database {records.place} holds a custodian already; restore into another one")
        for name, row in rows:
            _insert(session, tables.get(name), row)
        condition = session.get(CustodyCondition, 1) or CustodyCondition(id=1, restored_at=at, number=0)
        condition.restored_at = at
        session.add(condition)
        session.connection().execute(delete(CaughtUp))
        session.flush()
        yield


def _tables() -> dict[str, SqlTable]:
    return {name: table for name, table in sorted(Table.metadata.tables.items()) if name.startswith(_PREFIX)}


def _insert(session: Session, table: SqlTable | None, row: Row) -> None:
    if table is None or set(row) != set(table.columns.keys()):
        raise MalformedObject("it was written by another version of this software; restore it with that one")
    for name, value in row.items():
        column = table.columns[name]
        fits = column.nullable if value is None else type(value) is column.type.python_type
        if not fits:
            raise MalformedObject("it holds a value of another kind than its table takes")
    try:
        session.connection().execute(insert(table).values(**row))
    except (IntegrityError, DataError) as error:
        raise MalformedObject("it holds a value that is outside what its table takes, or twice") from error
