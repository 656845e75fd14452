"""What holds for all records, over SQLite and a real PostgreSQL: the schema, what only grows, and what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import event, inspect, text
from sqlalchemy.exc import IntegrityError

from storage.cid import DAG_CBOR, Cid
from tests.at_once import at_once
from tests.postgres import Cluster
from vault.errors import RecordsUnavailable
from vault.records.custody import CustodyRecords
from vault.records.database import Records, open_records
from vault.records.journal import Journal
from vault.records.migrate import VERSION_TABLE
from vault.records.model import JournalRow
from vault.records.tables import Table

pytest_plugins = ["tests.records"]

LEDGER, DATASET = bytes([1]) * 32, bytes([3]) * 32
CID = Cid.of(DAG_CBOR, b"an object")
ROW = JournalRow(1, b"sealed", bytes(32))


def test_the_revisions_lead_to_the_tables_that_the_code_declares(records: Records) -> None:
    with records.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Table.metadata) == []
        for name, table in Table.metadata.tables.items():
            declared = {check.name for check in table.constraints if hasattr(check, "sqltext")}
            assert {check["name"] for check in inspect(connection).get_check_constraints(name)} == declared, name


def test_opening_again_changes_nothing(records: Records, records_url: str) -> None:
    Journal(records, LEDGER).append([ROW])
    for again in at_once(*[lambda: open_records(records_url)] * 3):
        with again:
            assert list(Journal(again, LEDGER).rows()) == [ROW]


def test_a_schema_newer_than_this_code_is_refused(records: Records, records_url: str) -> None:
    Journal(records, LEDGER).append([ROW])
    with records.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608  # our own name
    with pytest.raises(RecordsUnavailable, match="newer version of this software: upgrade it"):
        open_records(records_url)
    assert list(Journal(records, LEDGER).rows()) == [ROW]


def test_the_tables_of_another_application_are_left_alone(records: Records, records_url: str) -> None:
    with records.engine.begin() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    with pytest.raises(RecordsUnavailable, match="a database of their own"):
        open_records(records_url)
    with records.engine.connect() as connection:
        assert not inspect(connection).has_table(VERSION_TABLE)


@pytest.mark.parametrize("table", ["journal", "custody_signed_head", "custody_manifest", "custody_state_share"])
def test_the_database_refuses_to_change_what_was_accepted(records: Records, table: str) -> None:
    fill(records)
    before = content(records, table)
    column = {"journal": "mac", "custody_signed_head": "head", "custody_manifest": "manifest"}.get(table, "sealed")
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]  # noqa: S608  # our own names
    if records.engine.dialect.name == "postgresql":
        statements.append(f"TRUNCATE {table}")
    else:
        statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608
    for statement in statements:
        with pytest.raises(IntegrityError, match="only grows"), records.engine.begin() as connection:
            connection.execute(text(statement))
    assert len(before) == 1
    assert content(records, table) == before


def fill(records: Records) -> None:
    custody = CustodyRecords(records)
    Journal(records, LEDGER).append([ROW])
    custody.sign_head(CID, 1, CID)
    custody.register_manifest(DATASET, 1, CID, genesis=CID)
    custody.store_state_share(LEDGER, b"sealed")


def content(records: Records, table: str) -> list[Any]:
    with records.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608


def test_a_lock_held_for_too_long_is_reported_and_nothing_is_recorded(records: Records) -> None:
    def hasten(connection: Any, _: object) -> None:
        if records.engine.dialect.name == "sqlite":
            connection.execute("PRAGMA busy_timeout = 50")
        else:
            connection.execute("SET lock_timeout = 50")
            connection.commit()

    event.listen(records.engine, "connect", hasten)
    records.close()
    journal = Journal(records, LEDGER)
    with records.writing(b"journal" + LEDGER), pytest.raises(RecordsUnavailable, match="locked by others"):
        journal.append([ROW])
    assert journal.last() is None
    journal.append([ROW])


def test_a_lost_connection_is_reported_and_the_next_one_works(postgres_cluster: Cluster) -> None:
    with open_records(postgres_cluster.create_database()) as records:
        with pytest.raises(RecordsUnavailable, match="nothing was recorded"), records.writing(b"") as session:
            cut(records, session)
            session.exec(text("SELECT 1"))
        with pytest.raises(RecordsUnavailable, match="not known whether"), records.writing(b"") as session:
            cut(records, session)
        Journal(records, LEDGER).append([ROW])


def cut(records: Records, session: Any) -> None:
    process = session.exec(text("SELECT pg_backend_pid()")).one()[0]
    with records.engine.begin() as connection:
        connection.execute(text(f"SELECT pg_terminate_backend({process}, 5000)"))
