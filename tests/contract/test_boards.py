"""What every board promises: one's own records, a folder of files, and a service on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.cid import DAG_CBOR, Cid
from storage.memory import MemoryBlobs
from tests.boards import Affairs, affairs, put_all, put_chain, put_open, served
from tests.builders import NOW, ballot, vote, voters
from tests.migrated import opened_records
from tests.postgres import Cluster
from vault import board as board_module
from vault import listed_board
from vault.assembly import fetch_from, history_of, put, roll_of
from vault.board import Board, Kind, bodies_of
from vault.directory_board import DirectoryBoard, published
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, StaleState
from vault.folder_board import FolderBoard
from vault.records import board as records_module
from vault.records.board import Board as OwnBoard
from vault.records.database import Records, open_records

pytest_plugins = ["tests.records"]

MADE = affairs()
OTHER = affairs(name="Haven")
UNKNOWN = Cid.of(DAG_CBOR, b"nothing")


@contextmanager
def opened(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    """Yield a board of a kind, empty."""
    if kind == "folder":
        yield FolderBoard(tmp_path / "board")
        return
    with _records(kind, request, tmp_path) as records:
        if kind != "service":
            yield OwnBoard(records)
            return
        with served(OwnBoard(records)) as client:
            yield client


def _records(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Records:
    if kind != "postgresql":
        return opened_records(tmp_path / "records.db")
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    return open_records(cluster.create_database(request.getfixturevalue("postgres_template")))


@pytest.fixture(params=["sqlite", "postgresql", "folder", "service"])
def board(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
    with opened(request.param, request, tmp_path) as board:
        yield board


def votes_on(board: Board, made: Affairs = MADE) -> list[Cid]:
    return [cid for cid, _ in board.list(Kind.VOTE, made.genesis, made.proposal.cid())]


def test_an_empty_board_has_nothing(board: Board) -> None:
    assert board.geneses() == []
    assert board.tip(MADE.genesis) is None
    assert board.get(MADE.genesis) is None
    assert board.list(Kind.VOTE, MADE.genesis) == []
    assert board.since(MADE.genesis, 0) == []
    assert board.bodies([MADE.genesis]) == {}


def test_a_daos_whole_affairs_are_kept_whatever_the_order_of_parts_and_verify(board: Board) -> None:
    put_all(board, MADE)
    history = history_of(board, MADE.genesis, at=NOW)
    assert (history.head, history.policies) == (MADE.history.head, MADE.history.policies)
    assert board.geneses() == [MADE.genesis]
    assert board.tip(MADE.genesis) == MADE.history.head.cid()
    assert roll_of(board, history.charter) == MADE.roll
    assert votes_on(board) == [one.cid() for one in MADE.votes]
    assert board.list(Kind.ACT, MADE.genesis) == [(MADE.act.cid(), MADE.act.encoded())]
    assert board.list(Kind.DELEGATION, MADE.genesis) == [(MADE.delegation.cid(), MADE.delegation.encoded())]
    assert fetch_from(board)(MADE.policy.cid()) == MADE.policy.encoded()


def test_putting_all_of_it_again_changes_nothing(board: Board) -> None:
    put_all(board, MADE)
    before = board.since(MADE.genesis, 0)
    for entry in before:
        board.put(entry.kind, MADE.genesis, entry.cid, entry.parent, board.get(entry.cid) or b"")
    board.set_tip(MADE.genesis, MADE.history.head.cid(), 1)
    assert board.since(MADE.genesis, 0) == before


def test_each_dao_has_its_own_objects_even_where_two_share_a_roll(board: Board) -> None:
    put_all(board, MADE)
    put_all(board, OTHER)
    assert MADE.roll.cid == OTHER.roll.cid
    assert board.geneses() == sorted([MADE.genesis, OTHER.genesis])
    for made in (MADE, OTHER):
        assert votes_on(board, made) == [one.cid() for one in made.votes]
        assert history_of(board, made.genesis, at=NOW).head == made.history.head


def test_a_cursor_yields_everything_once_and_then_what_is_new(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (board_module, listed_board, records_module):
        monkeypatch.setattr(module, "ENTRIES_MAX", 4)
    put_chain(board, MADE)
    put_open(board, MADE)
    seen, position = [], 0
    while page := board.since(MADE.genesis, position):
        assert len(page) <= 4
        assert [entry.position for entry in page] == sorted({entry.position for entry in page})
        seen += [entry.cid for entry in page]
        position = page[-1].position
    assert len(seen) == len(set(seen)) == 18
    late = vote(MADE.history, ballot(MADE.history, MADE.proposal, voters(MADE.history)[4]))
    put(board, Kind.VOTE, MADE.genesis, late, parent=MADE.proposal.cid())
    (new,) = board.since(MADE.genesis, position)
    assert (new.kind, new.cid, new.parent) == (Kind.VOTE, late.cid(), MADE.proposal.cid())


def test_a_listing_can_be_of_one_kind_and_about_one_thing(board: Board) -> None:
    put_all(board, MADE)
    votes = board.since(MADE.genesis, 0, kind=Kind.VOTE, parent=MADE.proposal.cid())
    assert [entry.cid for entry in votes] == [one.cid() for one in MADE.votes]
    assert {entry.kind for entry in board.since(MADE.genesis, 0, parent=MADE.proposal.cid())} == {Kind.VOTE}
    assert board.since(MADE.genesis, 0, kind=Kind.VOTE, parent=UNKNOWN) == []
    assert board.since(OTHER.genesis, 0) == []


def test_objects_are_handed_out_together_and_what_is_not_there_is_left_out(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(board, MADE)
    asked = [UNKNOWN, MADE.votes[0].cid(), MADE.votes[1].cid(), MADE.policy.cid()]
    assert list(board.bodies(asked)) == asked[1:]
    monkeypatch.setattr(records_module, "READ_BYTES", 10)
    monkeypatch.setattr(listed_board, "READ_BYTES", 10)
    assert list(board.bodies(asked)) == asked[1:2]
    assert [cid for cid, _ in bodies_of(board, asked)] == asked[1:]


def test_what_its_cid_does_not_name_is_refused(board: Board) -> None:
    put_all(board, MADE)
    before = board.since(MADE.genesis, 0)
    with pytest.raises(MalformedObject, match="not the"):
        board.put(Kind.VOTE, MADE.genesis, UNKNOWN, MADE.proposal.cid(), MADE.votes[0].encoded())
    with pytest.raises((MalformedObject, ValueError), match=r"keep|not the"):
        board.put("gossip", MADE.genesis, MADE.genesis, None, MADE.history.charter.encoded())
    assert board.since(MADE.genesis, 0) == before


class TestKeepers:
    """Boards that take the keeper's word for the tip; a service verifies heads itself."""

    @pytest.fixture(params=["sqlite", "postgresql", "folder"])
    def keeper(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Board]:
        with opened(request.param, request, tmp_path) as board:
            yield board

    def test_the_tip_never_goes_lower(self, keeper: Board) -> None:
        first, second = Cid.of(DAG_CBOR, b"first"), Cid.of(DAG_CBOR, b"second")
        for head, epoch in ((first, 0), (second, 2), (second, 2)):
            keeper.set_tip(MADE.genesis, head, epoch)
        with pytest.raises(StaleState, match="epoch 1"):
            keeper.set_tip(MADE.genesis, first, 1)
        with pytest.raises(ForkedHistory, match="epoch 2"):
            keeper.set_tip(MADE.genesis, first, 2)
        assert keeper.tip(MADE.genesis) == second

    def test_what_is_settled_takes_the_place_of_what_is_noted_and_of_nothing_else(self, keeper: Board) -> None:
        first, second, third = (Cid.of(DAG_CBOR, name) for name in (b"first", b"second", b"third"))
        keeper.set_tip(MADE.genesis, first, 5)
        keeper.replace_tip(MADE.genesis, second, 3, instead_of=first)
        assert keeper.tip(MADE.genesis) == second
        with pytest.raises(StaleState):
            keeper.replace_tip(MADE.genesis, third, 4, instead_of=first)
        assert keeper.tip(MADE.genesis) == second


class TestDirectories:
    def test_a_published_board_is_read_back_from_its_cid_alone(self, tmp_path: Path) -> None:
        folder, blobs = FolderBoard(tmp_path), MemoryBlobs()
        put_all(folder, MADE)
        put_all(folder, OTHER)
        root = published(folder, folder.geneses(), blobs)
        board = DirectoryBoard(blobs, root)
        assert board.geneses() == sorted([MADE.genesis, OTHER.genesis])
        assert history_of(board, MADE.genesis, at=NOW).head == MADE.history.head
        assert set(votes_on(board)) == {one.cid() for one in MADE.votes}
        assert published(board, board.geneses(), MemoryBlobs()) == root

    def test_many_objects_lie_in_folders_and_are_found(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("vault.directory_board.NAMES_MAX", 2)
        folder, blobs = FolderBoard(tmp_path), MemoryBlobs()
        put_all(folder, MADE)
        board = DirectoryBoard(blobs, published(folder, [MADE.genesis], blobs))
        assert set(votes_on(board)) == {one.cid() for one in MADE.votes}

    def test_nothing_can_be_put_into_it(self) -> None:
        blobs = MemoryBlobs()
        board = DirectoryBoard(blobs, published(DirectoryBoard(blobs, UNKNOWN), [], blobs))
        with pytest.raises(AccessDenied, match="cannot be added to"):
            put(board, Kind.CHARTER, MADE.genesis, MADE.history.charter)
        with pytest.raises(AccessDenied, match="cannot be changed"):
            board.set_tip(MADE.genesis, UNKNOWN, 0)
