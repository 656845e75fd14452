"""Statements as a payee keeps them: what an enclave tells otherwise later replaces nothing, and is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli.statement_files import kept_statement, read_statement
from tests.settled import World, royalty_world
from vault.entry import Kind
from vault.errors import ForkedHistory
from vault.statement_file import StatementFile


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> World:
    return royalty_world(tmp_path_factory.mktemp("royalties"))


def told(left: World, *, without: int | None = None) -> list[StatementFile]:
    """Return an owner's statements, of all entries or of all but one query."""
    queries = [entry for entry in left.entries if entry.kind is Kind.QUERY]
    gone = [] if without is None else [queries[without]]
    files = left.statements([entry for entry in left.entries if entry not in gone])
    return [file for file in files if file.statement.account.startswith("owner/")]


def test_what_is_told_again_alike_is_kept_once(left: World, tmp_path: Path) -> None:
    files = told(left)
    for file in (*files, *reversed(files)):
        kept_statement(tmp_path, file, {})
    assert len(list(tmp_path.glob("*.statement"))) == len(files) == 3


def test_another_telling_of_an_epoch_replaces_nothing_and_both_are_kept(left: World, tmp_path: Path) -> None:
    true, false = told(left)[0], told(left, without=0)[0]
    path, _, _ = kept_statement(tmp_path, true, {})
    for _ in range(2):
        with pytest.raises(ForkedHistory, match="epoch 1: two settlements of it were signed") as refused:
            kept_statement(tmp_path, false, {})
    assert read_statement(path) == true
    (other,) = tmp_path.glob("1-otherwise-*.statement")
    assert read_statement(other) == false
    assert str(path) in str(refused.value) and str(other) in str(refused.value)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_epoch_that_does_not_follow_from_its_neighbor_is_named(
    left: World, tmp_path: Path, order: tuple[int, int]
) -> None:
    pair = (told(left, without=0)[0], told(left)[1])  # the second one's total holds what the first one left out
    kept_statement(tmp_path, pair[order[0]], {})
    with pytest.raises(ForkedHistory, match="total: not that of the epoch before and this amount"):
        kept_statement(tmp_path, pair[order[1]], {})
    assert len(list(tmp_path.glob("*.statement"))) == 2


def test_what_is_damaged_or_of_somebody_else_proves_nothing(left: World, tmp_path: Path) -> None:
    true, false = told(left)[0], told(left, without=0)[0]
    path, _, _ = kept_statement(tmp_path, false, {})
    for beside in (b"", path.read_bytes()[:99], unsigned(false).encoded()):
        path.write_bytes(beside)
        assert kept_statement(tmp_path, true, {})[0] == path and read_statement(path) == true


def unsigned(file: StatementFile) -> StatementFile:
    message = file.proven.message[:-1] + bytes([file.proven.message[-1] ^ 1])
    return replace(file, proven=replace(file.proven, message=message))
