"""Looking at the records without changing them: neither made nor migrated, and no file is left beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from vault.errors import RecordsUnavailable

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

WAIT_S: Final = 10


def is_migrated(url: str) -> bool | None:
    """Say whether the records at a URL are as this code has them; None where there are none yet.

    Raises: `RecordsUnavailable`.
    """
    from sqlalchemy import make_url

    from vault.records.migrate import VERSION_TABLE

    address = make_url(url)  # one that cannot be parsed is refused before, by `place_of`
    if address.drivername == "sqlite" and not Path(address.database or "").exists():
        return None
    with reading(address) as connection:
        return _standing(connection, VERSION_TABLE)


def place_of(url: str) -> str:
    """Return the URL without what is secret in it, or raise `RecordsUnavailable`; a parser's error may quote it."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or address.drivername not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise RecordsUnavailable(
            "the records' URL is neither sqlite:///PATH nor postgresql+psycopg://USER@HOST/DATABASE"
        )
    return address.set(username=None, password=None, query={}).render_as_string()


def _standing(connection: Connection, version_table: str) -> bool | None:
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    applied = set(MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_heads())
    config = Config()
    config.set_main_option("script_location", "vault:migrations")
    config.set_main_option("path_separator", "os")
    revisions = ScriptDirectory.from_config(config)
    if applied - {script.revision for script in revisions.walk_revisions()}:
        raise RecordsUnavailable("the records were written by a newer version of this software: upgrade it")
    return applied == set(revisions.get_heads()) if applied else None


@contextmanager
def reading(address: URL) -> Iterator[Connection]:
    """Connect to records for reading alone. Raises `RecordsUnavailable`."""
    from vault.records.unavailable import reported

    with reported(place_of(address.render_as_string(hide_password=False))):
        engine = _engine(address)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def _engine(address: URL) -> Engine:
    from sqlalchemy import create_engine

    from vault.records.postgres import postgres_engine

    if address.drivername != "sqlite":
        return postgres_engine(address.set(drivername="postgresql+psycopg"), wait_s=WAIT_S, connections=1)
    path = Path(address.database or "").absolute()
    log = path.with_name(f"{path.name}-wal")
    how = "mode=ro" if log.exists() else "mode=ro&immutable=1"  # else SQLite would make a log and an index beside it
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True))
