"""Opening the records: SQLite beside us, or PostgreSQL by URL, migrated to what this code knows.

One transaction per method of a store. A writing one waits for its turn first (SQLite: as the file's one writer;
PostgreSQL: as the one about its subject), so that what it read still holds when it writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from sqlalchemy import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError
from sqlmodel import Session

from vault.errors import RecordsUnavailable
from vault.records.at_once import AtOnce
from vault.records.migrate import migrate
from vault.records.postgres import postgres_engine, take_turn
from vault.records.sqlite import WRITING, sqlite_engine
from vault.records.unavailable import reported

WAIT_S: Final = 10  # for a lock, a free connection, or a server to answer
CONNECTIONS_MAX: Final = 16

_SQLITE: Final = ("sqlite",)
_POSTGRES: Final = ("postgresql", "postgresql+psycopg")


class Records:
    """An open database, safe to share among threads; the stores work over it. Close it, or use it in `with`."""

    def __init__(self, engine: Engine, place: str) -> None:
        self.engine = engine
        self.place = place
        self._writer = engine.execution_options(**{WRITING: True})
        self._at_once = AtOnce(engine) if engine.dialect.name == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that changes nothing. Raises what `reported` names."""
        with reported(self.place), Session(self.engine) as session:
            yield session

    @contextmanager
    def fetching(self) -> Iterator[Connection]:
        """Do as `reading` does, without the ORM: on the release path its share would be half of the time."""
        with reported(self.place), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self, subject: bytes) -> Iterator[Session]:
        """Open a transaction that no other one about `subject` overlaps; it is durable once the block ended well.

        Raises what `reported` names, and whatever the block raises; then nothing is recorded.
        """
        with reported(self.place), Session(self._writer) as session:
            session.connection()  # begins: on SQLite, that is to wait for the turn
            if self.engine.dialect.name == "postgresql":
                take_turn(session, subject)
            yield session
            session.flush()
            with reported(self.place, committing=True):
                session.commit()

    @contextmanager
    def appending(self, subject: bytes) -> Iterator[Connection]:
        """Do as `writing` does, without the ORM: on the query path its share would be half of the time."""
        with reported(self.place), self._writer.connect() as connection:
            if self.engine.dialect.name == "postgresql":
                take_turn(connection, subject)
            yield connection
            with reported(self.place, committing=True):
                connection.commit()

    def written_at_once(self, statement: str, values: Sequence[bytes | int]) -> int | None:
        """Run one statement of SQLite's as a transaction of its own; return how many rows it wrote, durable by then.

        Returns: None where somebody else writes just now, or the database is no SQLite: `appending` waits its turn.
        Raises what `reported` names; then nothing is recorded.
        """
        if self._at_once is None:
            return None
        with reported(self.place):
            return self._at_once.written(statement, values)

    def scrub(self, table: str) -> None:
        """Have what was deleted from a table overwritten on disk now, as far as the database itself can.

        SQLite zeroes it (`secure_delete`) and empties its log; PostgreSQL frees it, and writes over it in time. What
        backups, archived logs, snapshots of the disk or its spare cells hold stays there.
        """
        with reported(self.place), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            is_sqlite = self.engine.dialect.name == "sqlite"
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)" if is_sqlite else f"VACUUM {table}")

    def close(self) -> None:
        """Close all connections."""
        if self._at_once is not None:
            self._at_once.close()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_records(url: str) -> Records:
    """Open the records at `url`, making or migrating them as needed; safe where two processes start at once.

    Args:
        url: `sqlite:///PATH`, four slashes before an absolute path, or `postgresql+psycopg://USER@HOST/DATABASE`.
    Raises: RecordsUnavailable: another URL, no such place, no permission, no room, or a schema newer than this code.
    """
    address = _address_from(url)
    place = address.set(username=None, password=None, query={}).render_as_string()
    with reported(place):
        records = Records(_engine(address, place), place)
    try:
        with records.writing(b"schema") as session:
            migrate(session.connection(), place)
    except BaseException:
        records.close()
        raise
    return records


def _engine(address: URL, place: str) -> Engine:
    if address.drivername in _SQLITE:
        return sqlite_engine(address, place, wait_s=WAIT_S, connections=CONNECTIONS_MAX)
    return postgres_engine(address.set(drivername=_POSTGRES[-1]), wait_s=WAIT_S, connections=CONNECTIONS_MAX)


def _address_from(url: str) -> URL:
    """Return the parsed URL. A parser's own error is not chained: it can quote a piece of the password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername not in _SQLITE + _POSTGRES:
        raise RecordsUnavailable(
            "the records URL names no known database: give sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
        )
    is_file = address.database and address.database != ":memory:" and not (address.host or address.query)
    if address.drivername in _SQLITE and not is_file:
        raise RecordsUnavailable("the records URL names no lasting file: give sqlite:///PATH, without options")
    return address
