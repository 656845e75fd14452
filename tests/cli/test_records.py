"""`coffer records check`: ledgers as their host sees them, over SQLite and PostgreSQL, with one thing wrong each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cli.conftest import Party
from tests.postgres import Cluster
from vault.records.database import open_records
from vault.records.journal import Journal
from vault.records.model import JournalRow

pytest_plugins = ["tests.records"]

LEDGER, OTHER = bytes([1]) * 32, bytes([2]) * 32
GUARDS = {
    "sqlite": [f"DROP TRIGGER journal_only_grows_{change}" for change in ("update", "delete", "insert")],
    "postgresql": ["DROP TRIGGER journal_only_grows ON journal"],
}


def row(sequence: int) -> JournalRow:
    return JournalRow(sequence, bytes(60), bytes([sequence]) * 32)


def anchor(sequence: int) -> str:
    return f"{sequence}:{row(sequence).mac.hex()}"


@pytest.fixture
def url(records_url: str) -> str:
    with open_records(records_url) as records:
        Journal(records, LEDGER).append([row(1), row(2), row(3)])
        Journal(records, OTHER).append([row(1)])
    return records_url


@pytest.fixture
def party(tmp_path: Path) -> Party:
    return Party(tmp_path / "home")


def change(url: str, *statements: str) -> None:
    """Change the database as its host could."""
    with open_records(url) as records, records.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def guards(url: str) -> list[str]:
    return GUARDS["sqlite" if url.startswith("sqlite") else "postgresql"]


def test_whole_ledgers_are_well_and_nothing_is_changed(party: Party, url: str, tmp_path: Path) -> None:
    def files() -> list[tuple[str, bytes]]:
        return [(path.name, path.read_bytes()) for path in sorted(tmp_path.glob("records.db*"))]

    before = files()
    found = party.json("records", "check", "--records", url, "--anchor", anchor(2))
    assert found["wrong"] == []
    assert [(one["ledger"], one["rows"], one["last"]) for one in found["ledgers"]] == [
        (LEDGER.hex(), 3, anchor(3)),
        (OTHER.hex(), 1, anchor(1)),
    ]
    assert "no row is missing" in party.run("records", "check", "--records", url).output
    assert files() == before


def deleted(url: str) -> list[str]:
    return [*guards(url), "DELETE FROM journal WHERE sequence = 2"]


def cut(url: str) -> list[str]:
    return [*guards(url), "DELETE FROM journal WHERE sequence = 3"]


def emptied(url: str) -> list[str]:
    update = "UPDATE journal SET sealed = {} WHERE sequence = 2"
    return [*guards(url), update.format("x'00'" if url.startswith("sqlite") else "decode('00', 'hex')")]


def copied(url: str) -> list[str]:
    return [
        *guards(url),
        "UPDATE journal SET mac = (SELECT mac FROM journal WHERE sequence = 2) WHERE sequence = 3",
    ]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (deleted, "2 rows of 2 entries, up to entry 3: some are missing"),
        (cut, "entry 3 with this MAC is in no ledger"),
        (emptied, "a row of 1 bytes is no sealed entry"),
        (copied, "two rows have the same MAC"),
        (guards, "is missing: rows can be changed"),
    ],
)
def test_whatever_is_wrong_is_named(party: Party, url: str, harm: Callable[[str], list[str]], reason: str) -> None:
    change(url, *harm(url))
    said = party.run("records", "check", "--records", url, "--anchor", anchor(3), code=1)
    assert reason in said.output


def test_a_guard_that_is_switched_off_is_missing(party: Party, postgres_cluster: Cluster) -> None:
    url = postgres_cluster.create_database()
    change(url, "ALTER TABLE journal DISABLE TRIGGER journal_only_grows")
    assert "journal_only_grows is missing" in party.run("records", "check", "--records", url, code=1).output


def test_a_damaged_file_is_named(party: Party, tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    with open_records(f"sqlite:///{path}") as records:
        Journal(records, LEDGER).append([JournalRow(n, bytes([n]) * 9_000, bytes([n]) * 32) for n in range(1, 30)])
        with records.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 4096] = bytes([255]) * 4096
    path.write_bytes(whole)
    assert "damaged" in party.run("records", "check", "--records", f"sqlite:///{path}", code=1).output


@pytest.mark.parametrize("anchor", ["7", "7:ab", "x:" + "0" * 64, "1:" + "0" * 63 + "g"])
def test_an_anchor_is_a_number_and_a_mac(party: Party, anchor: str) -> None:
    assert "SEQUENCE:MAC" in party.run("records", "check", "--anchor", anchor, code=2).output


def test_where_there_are_no_records_none_are_made(party: Party, tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    assert "no records" in party.run("records", "check", "--records", f"sqlite:///{path}", code=1).output
    assert not path.exists()
