"""SQLite, set so that a committed transaction outlasts a crash or a loss of power."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event

from vault.errors import RecordsUnavailable

WRITING: Final = "coffer_writing"
"""The execution option of a connection whose transactions write."""

_WAL_ATTEMPTS: Final = 100
_WAL_PAUSE_S: Final = 0.1
_SETTINGS: Final = (
    "PRAGMA synchronous = FULL",  # sync at every commit: rule F1 asks for it
    "PRAGMA fullfsync = ON",  # macOS keeps data in the drive's cache otherwise; no other system reads this
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # rule S3: what is deleted is overwritten
)


def sqlite_engine(address: URL, place: str, *, wait_s: int, connections: int) -> Engine:
    """Return the engine for a file that is made if need be, along with its folder, for us alone.

    Raises: RecordsUnavailable: the file cannot be created, or lies where write-ahead logging does not work.
    """
    path = Path(address.database or "").absolute()
    try:
        _create_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # SQLite's own files copy this mode
    except OSError as error:
        raise RecordsUnavailable(
            f"the records in {place} cannot be created ({error.strerror}): choose a path that can be written"
        ) from error
    if _logging_of(path) != "wal":
        raise RecordsUnavailable(f"the records in {place} need a disk of this machine: choose a path on one")
    engine = create_engine(
        address.set(database=str(path)),
        connect_args={"timeout": wait_s},  # SQLite's busy_timeout
        hide_parameters=True,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_s,
    )
    event.listen(engine, "connect", _set)
    event.listen(engine, "begin", _begin)
    return engine


def _create_folder(folder: Path) -> None:
    """Create the folder and those above it, for us alone, and outlasting a loss of power."""
    if folder.is_dir():
        return
    _create_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(above)
    finally:
        os.close(above)


def _logging_of(path: Path) -> str:
    """Ask for write-ahead logging, which the file remembers, and return the mode it is in.

    Where two processes ask at once, SQLite refuses one without waiting; so the waiting is done here.
    """
    attempts = 0
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
        while True:
            attempts += 1
            try:
                return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempts == _WAL_ATTEMPTS:
                    raise
            time.sleep(_WAL_PAUSE_S)


def _set(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    for setting in _SETTINGS:
        connection.execute(setting)


def _begin(connection: Connection) -> None:
    """Take the write lock at once where the transaction will write: taking it later can fail without waiting."""
    is_writing = connection.get_execution_options().get(WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")
