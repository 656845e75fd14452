"""What a database driver's errors mean to our callers: one clear sentence each, and never a URL's password.

Only what the world can do to us is translated. A statement that is wrong in itself is our bug, and stays as it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from vault.errors import ForkedHistory, RecordsUnavailable

_RECORDED_NOTHING: Final = "nothing was recorded"
_MAYBE_RECORDED: Final = "it is not known whether the last change was recorded, so read the records again first"

_FULL: Final = "has no room left: free some, then try again"
_BUSY: Final = "was kept locked by others for too long: try again, or stop what holds it"
_UNWRITABLE: Final = "cannot be opened and written: check its path and permissions"
_DAMAGED: Final = "is damaged, or was never a database: restore it from a backup"
_FAILING: Final = "failed to read or write: check the disk under it"
_UNREACHABLE: Final = "cannot be reached: check that its server runs and takes this URL's user, password and database"

_SQLITE: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_PERM: _UNWRITABLE,
    sqlite3.SQLITE_AUTH: _UNWRITABLE,
    sqlite3.SQLITE_READONLY: _UNWRITABLE,
    sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _FAILING,
    sqlite3.SQLITE_PROTOCOL: _BUSY,
}

# SQLSTATE, PostgreSQL's appendix A; a class is its first two characters.
_POSTGRES: Final = {
    "53100": _FULL,
    "55P03": _BUSY,
    "57014": _BUSY,
    "40": _BUSY,
    "53": _BUSY,
    "25006": _UNWRITABLE,
    "42501": _UNWRITABLE,
    "58": _FAILING,
    "XX": _DAMAGED,
}
_CHECKS: Final = {"SQLITE_CONSTRAINT_CHECK", "SQLITE_CONSTRAINT_NOTNULL", "23514", "23502"}


@contextmanager
def reported(place: str, *, committing: bool = False) -> Iterator[None]:
    """Turn a driver's error into ours.

    Args:
        place: the database as a person may see it, without user or password.
        committing: whether a lost connection leaves the outcome open.
    Raises:
        RecordsUnavailable: the database is away, full, locked or damaged.
        ForkedHistory: somebody else recorded the contrary at the same time.
        ValueError: our own code wrote a value that its column does not take.
    """
    try:
        yield
    except NoConnectionFree as error:
        raise RecordsUnavailable(f"the records in {place} are too busy: try again; {_RECORDED_NOTHING}") from error
    except (DataError, OverflowError) as error:
        raise ValueError("a value is outside what its column takes") from error
    except (IntegrityError, sqlite3.IntegrityError) as error:
        if _code(error.orig if isinstance(error, DBAPIError) else error) in _CHECKS:
            raise ValueError("a value is outside what its column takes") from error
        raise ForkedHistory("a contradicting record is there already; read it again") from error
    except (DBAPIError, sqlite3.Error) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        is_open = committing and isinstance(error, DBAPIError) and error.connection_invalidated
        outcome = _MAYBE_RECORDED if is_open else _RECORDED_NOTHING
        raise RecordsUnavailable(f"the database {place} {sentence}; {outcome}") from error


def _sentence(error: DBAPIError | sqlite3.Error) -> str | None:
    """Return what happened and what to do; None for a statement that is wrong in itself."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        if "decode to UTF-8" in str(cause):  # the driver's own check of a text column, which has no code
            return _DAMAGED
        return _SQLITE.get(getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF)
    state = _code(cause)
    known = _POSTGRES.get(state) or _POSTGRES.get(state[:2])
    return known or (_UNREACHABLE if isinstance(error, OperationalError | InterfaceError) else None)


def _code(cause: BaseException | None) -> str:
    return getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None) or ""
