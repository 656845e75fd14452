"""`coffer board` and `coffer dao sync`: a DAO's affairs over a folder, a directory on IPFS, and a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import wiring
from tests.boards import affairs, put_all
from tests.cli.conftest import Party
from tests.cli.services import service
from tests.people import NOW
from vault.assembly import found
from vault.folder_board import FolderBoard
from vault.records.board import Board
from vault.records.database import open_records

MADE = affairs()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "clock", lambda: NOW)


def party(path: Path) -> Party:
    path.mkdir()
    return Party(path)


def records_of(one: Party) -> str:
    return f"sqlite:///{one.home}/records.db"


@pytest.fixture
def alice(tmp_path: Path) -> Party:
    """Somebody whose records hold a DAO."""
    alice = party(tmp_path / "alice")
    with open_records(records_of(alice)) as records:
        put_all(Board(records), MADE)
    return alice


@pytest.mark.usefixtures("clock")
class TestFolders:
    def test_a_folder_carries_a_dao_from_one_to_another(self, alice: Party, tmp_path: Path) -> None:
        folder = str(tmp_path / "shared")
        given = alice.json("dao", "sync", folder)["boards"][folder]["given"]
        assert given["vote"] == 3
        bob = party(tmp_path / "bob")
        shown = bob.json("dao", "sync", folder)
        assert shown["genesis"] == str(MADE.genesis)
        assert shown["boards"][folder]["taken"] == given
        assert shown["boards"][folder]["epoch"] == 1
        with open_records(records_of(bob)) as records:
            assert Board(records).tip(MADE.genesis) == MADE.history.head.cid()
        assert "took nothing; gave nothing" in bob.run("dao", "sync", folder).stdout

    def test_what_was_passed_over_is_said(self, alice: Party, tmp_path: Path) -> None:
        folder = tmp_path / "shared"
        alice.run("dao", "sync", folder)
        (folder / "[bold] odd [x]").mkdir()
        assert "[bold] odd [x]' in folder" in alice.run("dao", "sync", folder).stdout

    def test_a_directory_on_ipfs_is_published_and_read_by_its_cid(self, alice: Party, tmp_path: Path) -> None:
        blocks = tmp_path / "blocks"
        alice.env["COFFER_STORAGE"] = str(blocks)
        root = alice.json("dao", "sync", "--publish")["directory"]
        bob = party(tmp_path / "bob")
        bob.env["COFFER_STORAGE"] = str(blocks)
        shown = bob.json("dao", "sync", root)
        assert shown["boards"][root]["taken"]["vote"] == 3
        assert shown["boards"][root]["given"] == {}
        assert bob.json("dao", "sync", "--publish")["directory"] == root

    def test_one_board_that_fails_does_not_keep_another_from_being_read(self, alice: Party, tmp_path: Path) -> None:
        folder = str(tmp_path / "shared")
        result = alice.run("dao", "sync", "127.0.0.1:1", folder, code=1)
        assert "nothing answers at 127.0.0.1:1" in " ".join(result.stderr.split())
        assert FolderBoard(Path(folder)).geneses() == [MADE.genesis]

    def test_a_board_is_named(self, alice: Party) -> None:
        assert "name a board" in alice.refused("dao", "sync")

    def test_nothing_anywhere_is_said_to_be_nothing(self, tmp_path: Path) -> None:
        assert "no DAO is on the board" in party(tmp_path / "bob").refused("dao", "sync", tmp_path / "empty")


class TestService:
    def test_a_board_is_served_and_carries_a_dao(self, tmp_path: Path) -> None:
        alice, bob, host = (party(tmp_path / name) for name in ("alice", "bob", "host"))
        with open_records(records_of(alice)) as records:
            found(Board(records), MADE.founded.charter, MADE.roll)
        host.run("board", "init")
        with service(host.home, "board", "serve", "--dao", str(MADE.genesis)) as address:
            assert alice.json("dao", "sync", address)["boards"][address]["given"]["charter"] == 1
            taken = bob.json("dao", "sync", address)["boards"][address]["taken"]
        assert taken == {"charter": 1, "head": 1, "roll": 1, "block": 1}

    def test_it_is_said_for_whom_a_board_is(self, tmp_path: Path) -> None:
        host = party(tmp_path / "host")
        assert "say for whom" in host.refused("board", "serve")
        assert "say for whom" in host.refused("board", "serve", "--open", "--dao", MADE.genesis)

    def test_a_custodian_looks_at_two_boards_at_most(self, tmp_path: Path) -> None:
        host = party(tmp_path / "host")
        boards = [arg for n in range(3) for arg in ("--board", f"127.0.0.1:{n + 1}")]
        assert "at most 2 boards" in host.refused("custodian", "serve", *boards)
