"""Bringing a database to the schema of this code, within the caller's transaction: all of it or nothing."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from vault.errors import RecordsUnavailable
from vault.records import copy_tables, head_tables, poll_tables  # noqa: F401  # their tables join the metadata
from vault.records.tables import Table

VERSION_TABLE: Final = "coffer_schema"
_one_at_a_time = Lock()  # Alembic's context is global to the process


def migrate(connection: Connection, place: str) -> None:
    """Apply the revisions that `connection`'s database lacks; the caller holds the lock and commits.

    Raises: RecordsUnavailable: the schema is newer than this code, or its tables belong to something else.
    """
    known, heads = _revisions()
    applied = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    if set(applied) - known:
        raise RecordsUnavailable(
            f"the records in {place} were written by a newer version of this software: upgrade it, then start again"
        )
    if set(applied) == heads:
        return
    taken = set(Table.metadata.tables) & set(inspect(connection).get_table_names())
    if not applied and taken:
        raise RecordsUnavailable(
            f"the database at {place} already holds tables of another application ({', '.join(sorted(taken))}):"
            " give the records a database of their own"
        )
    config = _config()
    config.attributes["connection"] = connection
    with _one_at_a_time:
        command.upgrade(config, "head")


@cache
def _revisions() -> tuple[frozenset[str], frozenset[str]]:
    """Return all revisions that this code knows, and the last ones; read once, since every opening asks."""
    revisions = ScriptDirectory.from_config(_config())
    return frozenset(script.revision for script in revisions.walk_revisions()), frozenset(revisions.get_heads())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "vault:migrations")
    config.set_main_option("path_separator", "os")
    return config
