"""Opening records: where they may lie, who may read them, and what is said, without secrets, when they cannot open."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import traceback
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from tests.postgres import Cluster
from vault.entry import ENTRY_BYTES_MAX
from vault.errors import RecordsUnavailable
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.records.migrate import VERSION_TABLE
from vault.records.model import JournalRow
from vault.records.tables import SEALED_BYTES_MAX, Table

pytest_plugins = ["tests.records"]

SECRET = "hunter2hunter2"  # noqa: S105  # must not be shown
ROOT = Path(__file__).parents[2]
ROWS = [JournalRow(sequence, bytes(4000), bytes(32)) for sequence in range(1, 101)]


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_sqlite_is_made_for_us_alone_and_synced_at_every_commit(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "records.db"
    with open_records(f"sqlite:///{path}") as records, records.writing(b"") as session:
        settings = {
            name: session.exec(text(f"PRAGMA {name}")).one()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        assert mode_of(path.parent) == mode_of(path.parent.parent) == 0o700
        assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}
        assert len(list(path.parent.iterdir())) == 3
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_a_relative_path_is_where_we_stood_when_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_records("sqlite:///here/records.db") as records:
        os.chdir("/")
        Journal(records, bytes(32)).append(ROWS[:1])
    assert (tmp_path / "here" / "records.db").exists()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "nonsense",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///records.db?mode=ro",
        f"mysql://user:{SECRET}@host/database",
        f"postgresql+asyncpg://user:{SECRET}@host/database",
        f"postgresql+psycopg://user:{SECRET}@host:{SECRET}/database",
        f"postgresql+psycopg://user:{SECRET}@[::1/database",
    ],
)
def test_a_url_of_no_lasting_database_is_refused(url: str) -> None:
    with pytest.raises(RecordsUnavailable, match="sqlite:///PATH") as caught:
        open_records(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/database",
        f"postgresql://user:{SECRET}@/database?host=/nowhere",
        f"postgresql+psycopg://user@127.0.0.1:1/database?password={SECRET}",
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/database?sslmode=nonsense",
    ],
)
def test_a_server_that_cannot_be_reached_is_reported_without_the_password(url: str) -> None:
    with pytest.raises(RecordsUnavailable, match="cannot be reached: check") as caught:
        open_records(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "/database" in str(caught.value)


def test_an_option_that_the_server_does_not_know_is_named() -> None:
    with pytest.raises(RecordsUnavailable, match='invalid connection option "nonsense": correct') as caught:
        open_records(f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/database?nonsense={SECRET}")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_refused_password_is_not_shown(postgres_cluster: Cluster) -> None:
    with pytest.raises(RecordsUnavailable, match="user, password and database") as caught:
        open_records(postgres_cluster.url("postgres", password=SECRET))
    shown = "".join(traceback.format_exception(caught.value))
    assert "password authentication failed" in shown
    assert SECRET not in shown


def test_a_user_who_may_not_write_is_reported(postgres_cluster: Cluster) -> None:
    url = postgres_cluster.create_database()
    with pytest.raises(RecordsUnavailable, match="check its path and permissions"):
        open_records(f"{url}&options=-c%20default_transaction_read_only%3Don")


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RecordsUnavailable, match="choose a path that can be written"):
        open_records(f"sqlite:///{tmp_path}/file/records.db")
    with pytest.raises(RecordsUnavailable, match="choose a path that can be written"):
        open_records(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    path.write_bytes(b"a letter to a friend" * 100)
    with pytest.raises(RecordsUnavailable, match="restore it from a backup"):
        open_records(f"sqlite:///{path}")
    assert path.read_bytes() == b"a letter to a friend" * 100


def test_a_migration_that_finds_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "records.db"
    monkeypatch.setattr("vault.records.sqlite._SETTINGS", ("PRAGMA max_page_count = 6",))
    with pytest.raises(RecordsUnavailable, match="no room left"):
        open_records(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []


def test_a_full_disk_is_reported_and_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/records.db"
    with open_records(url) as records:
        Journal(records, bytes(32)).append(ROWS[:10])
    with closing(sqlite3.connect(tmp_path / "records.db")) as connection:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
    monkeypatch.setattr("vault.records.sqlite._SETTINGS", (f"PRAGMA max_page_count = {pages + 20}",))
    with open_records(url) as records:
        journal = Journal(records, bytes(32))
        with pytest.raises(RecordsUnavailable, match="no room left: free some, then try again; nothing was recorded"):
            journal.append(ROWS[10:])
        assert list(journal.rows()) == ROWS[:10]
        journal.append(ROWS[10:12])
    monkeypatch.undo()
    with open_records(url) as records:
        journal = Journal(records, bytes(32))
        journal.append(ROWS[12:])
        assert list(journal.rows()) == ROWS


def test_the_revisions_make_the_very_tables_that_the_code_declares(tmp_path: Path) -> None:
    with open_records(f"sqlite:///{tmp_path}/migrated.db") as migrated:
        made = statements(migrated.engine)
    declared = create_engine(f"sqlite:///{tmp_path}/declared.db")
    Table.metadata.create_all(declared)
    assert {name: statement for name, statement in made.items() if VERSION_TABLE not in name} == statements(declared)
    declared.dispose()


def statements(engine: Engine) -> dict[str, list[str]]:
    """Return the SQL of every table and index; where a table was written anew, constraints stand in another order."""
    with engine.connect() as connection:
        found = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type <> 'trigger' AND sql <> ''"))
        words = {name: " ".join(sql.replace('"', "").split()).removesuffix(" )") for name, sql in found}
        return {name: sorted(re.split(r", (?=CONSTRAINT )", sql)) for name, sql in words.items()}


def test_the_largest_ledger_entry_fits_the_journal() -> None:
    assert SEALED_BYTES_MAX >= ENTRY_BYTES_MAX + 32 + 16  # a row's salt, and AES-GCM's tag


@pytest.mark.parametrize(
    ("doing", "unneeded"),
    [
        ("import vault, vault.records.model, vault.ledger", {"sqlmodel", "sqlalchemy", "alembic", "psycopg"}),
        ("from vault.records.database import open_records; open_records(sys.argv[1]).close()", {"psycopg"}),
    ],
    ids=["the rules load no database", "SQLite loads no other driver"],
)
def test_nothing_is_loaded_before_it_is_used(doing: str, unneeded: set[str], tmp_path: Path) -> None:
    script = f"import sys\n{doing}\nprint(sorted({unneeded!r} & set(sys.modules)))"
    loaded = subprocess.run(  # noqa: S603  # our own interpreter and script
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/records.db"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert loaded.stdout == "[]\n"
