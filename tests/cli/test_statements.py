"""What payees and auditors do with statements, receipts and the log, against real services on loopback."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.statement_files import unchained
from tests.cli.party import Party
from tests.cli.services import EPOCH_S, QUESTION, one_party, pay_in, receipts
from vault.receipt import ReceiptFile
from vault.statement_file import StatementFile


@pytest.fixture(scope="module")
def party(first_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """One whose receipts and statements nobody else adds to."""
    with one_party(tmp_path_factory.mktemp("services"), first_home) as party:
        yield party


@pytest.fixture(scope="module")
def statements(party: Party) -> list[Path]:
    """Return the files of a payee's statements of an epoch in which something was asked, which was not the first."""
    pay_in(party, 10_000)
    party.json("query", QUESTION, "--allow-simulated", "--k", "1")
    for number in range(2):
        party.json("query", f"when are tide tables printed, year {number}?", "--allow-simulated", "--k", "2")
    time.sleep(EPOCH_S)
    made = party.json("royalty", "statement", "--wallet", "member")["statements"]
    return [Path(one["file"]) for one in made]


def test_a_payee_fetches_verifies_and_exports_its_statements(party: Party, statements: list[Path]) -> None:
    again = party.json("royalty", "statement", "--wallet", "member", "--epoch", "1")["statements"]
    assert [one["account"].partition("/")[0] for one in again] == ["operator", "owner", "treasury"]
    for one in again:
        assert one["amount"] == sum(line["amount"] for line in one["lines"])
        assert Path(one["file"]).stat().st_mode & 0o777 == 0o600
    verified = party.json("royalty", "verify", *statements, "--allow-simulated")
    assert verified["verified"] and {len(one["links"]) for one in verified["statements"]} == {6}
    assert "SIMULATED" in party.refused("royalty", "verify", *statements)
    table = party.home / "royalties.csv"
    party.run("royalty", "export", *statements, "--csv", table)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert {one["epoch"] for one in verified["statements"]} == {int(row["epoch"]) for row in rows}
    for one in verified["statements"]:
        assert one["amount"] == sum(int(row["micro_units"]) for row in rows if row["account"] == one["account"])
    assert party.run("royalty", "export", *statements).stdout == table.read_text()
    assert "does not exist" in party.refused(
        "royalty", "export", *statements, "--csv", party.home / "nowhere" / "a.csv"
    )
    assert not (party.home / "nowhere").exists()
    shown = party.run("royalty", "statement", "--wallet", "member", "--epoch", "1").stdout
    assert "by passage" in shown and "the rest" in shown


def test_a_statement_that_was_changed_is_refused_by_name(party: Party, statements: list[Path]) -> None:
    file = StatementFile.from_bytes(statements[0].read_bytes(), bytes_max=1 << 24)
    statement = file.statement
    forged = replace(statement, claim=statement.claim + 1)
    changed = party.home / "changed.statement"
    changed.write_bytes(replace(file, proven=replace(file.proven, statement=forged)).encoded())
    assert "amount: the statement is not a leaf" in party.refused("royalty", "verify", changed, "--allow-simulated")
    changed.write_bytes(statements[0].read_bytes()[:-1])
    assert "not a whole statement file" in party.refused("royalty", "verify", changed, "--allow-simulated")


def test_a_folder_stands_for_the_files_in_it(party: Party, statements: list[Path]) -> None:
    folder = statements[0].parent
    verified = party.json("royalty", "verify", folder, "--allow-simulated")
    assert verified["verified"] and {one["file"] for one in verified["statements"]} >= set(map(str, statements))
    assert len(party.run("royalty", "export", folder).stdout.splitlines()) > len(statements)
    checked = party.json("receipt", "verify", party.home / "receipts", "--allow-simulated")
    assert checked["verified"] and [one["file"] for one in checked["receipts"]] == list(map(str, receipts(party)))
    empty = party.home / "nothing"
    empty.mkdir()
    for command in (("royalty", "verify"), ("royalty", "export"), ("receipt", "verify"), ("receipt", "audit")):
        assert "nothing in what was given ends in" in party.refused(*command, empty)


def test_names_beside_a_statement_are_no_formulas(party: Party, statements: list[Path]) -> None:
    folder = party.home / "handed"
    folder.mkdir()
    handed = folder / statements[0].name
    shutil.copy(statements[0], handed)
    for manifest in ("=HYPERLINK(1)", "@x", "bafy", ""):
        handed.with_name(handed.name + ".passages").write_text(json.dumps({"ab": [manifest, 1]}))
        assert "is not what was kept beside the statement" in party.refused("royalty", "export", handed)


def test_two_statements_of_one_epoch_are_no_proof_of_either(party: Party, statements: list[Path]) -> None:
    file = StatementFile.from_bytes(statements[0].read_bytes(), bytes_max=1 << 24)
    other = replace(file, proven=replace(file.proven, statement=replace(file.statement, salt=bytes(32))))
    assert unchained([file, file]) is None
    assert (
        unchained([file, other])
        == f"epoch {file.statement.epoch}: two statements of {file.statement.account} were made for it"
    )


def test_who_earned_nothing_has_no_statement(party: Party, statements: list[Path]) -> None:
    assert "has no account" in party.refused("royalty", "statement", "--wallet", "licensee")
    assert "has not closed yet" in party.refused("royalty", "statement", "--wallet", "member", "--epoch", "999")


def test_an_audit_finds_nothing_and_then_what_was_left_out(party: Party, statements: list[Path]) -> None:
    kept = party.home / "coffer.log"
    party.run("receipt", "log", party.home / "receipts", party.home / "statements", "--out", kept)
    whole = (party.home / "receipts", party.home / "statements", kept)
    found = party.json("receipt", "audit", *whole, "--allow-simulated")
    assert found["fits"] and found["receipts"] == len(receipts(party)) and found["findings"] == []
    assert "nothing was found that does not fit" in party.run("receipt", "audit", *whole, "--allow-simulated").stdout
    gap = [path for path in receipts(party) if not path.name.startswith("1-")]
    told = party.refused("receipt", "audit", *gap, party.home / "statements", kept, "--allow-simulated")
    assert "gap: receipt 1 of 0x" in told
    assert "SIMULATED" in party.refused("receipt", "audit", *whole)
    other = party.home / "enclave.json"
    other.write_text("{}")
    assert "no receipt, statement or log" in party.refused("receipt", "audit", other)
    assert "does not exist" in party.refused("receipt", "log", *whole, "--out", party.home / "nowhere" / "coffer.log")


def test_a_damaged_file_keeps_no_other_from_being_audited(party: Party, statements: list[Path]) -> None:
    folder, earlier, kept = party.home / "mixed", party.home / "earlier.log", party.home / "mixed.log"
    shutil.copytree(party.home / "receipts", folder)
    first, second = sorted(folder.iterdir())[:2]
    first.write_bytes(first.read_bytes()[:500])
    second.write_bytes(flipped_in_message(second.read_bytes()))
    (folder / "folder.receipt").mkdir()
    party.run("receipt", "log", statements[0], "--out", earlier)
    fetched = party.json("receipt", "log", folder, *statements, earlier, "--out", kept)
    assert sorted(why.split()[0] for why in fetched["passed_over"]) == [
        str(first),
        str(second),
        str(folder / "folder.receipt"),
    ]
    told = party.refused("receipt", "audit", folder, *statements, earlier, kept, "--allow-simulated")
    assert f"{first} is no receipt, statement or log, or is cut short" in told
    assert f"{second} was changed: signature" in told
    assert f"{folder / 'folder.receipt'} is not a file" in told
    assert "fetch it with" not in told
    assert "gap: " in told


def flipped_in_message(data: bytes) -> bytes:
    file = ReceiptFile.from_bytes(data, bytes_max=1 << 24)
    return replace(file, message=file.message[:-1] + bytes([file.message[-1] ^ 1])).encoded()
