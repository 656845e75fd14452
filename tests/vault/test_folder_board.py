"""A folder as a board, and what people and programs leave lying in folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.boards import affairs, put_all
from tests.builders import NOW
from vault import listed_board
from vault.assembly import history_of
from vault.board import Kind
from vault.errors import MalformedObject, RecordsUnavailable
from vault.folder_board import FolderBoard
from vault.listed_board import tip_from

MADE = affairs()
VOTE = MADE.votes[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put_all(FolderBoard(tmp_path / "board"), MADE)
    return tmp_path / "board"


def file_of(folder: Path, kind: Kind) -> Path:
    return sorted((folder / str(MADE.genesis) / kind).iterdir())[0]


def votes(folder: Path) -> int:
    return len(FolderBoard(folder).list(Kind.VOTE, MADE.genesis))


def test_names_say_what_an_object_is_about(folder: Path) -> None:
    names = {path.name for path in (folder / str(MADE.genesis) / "vote").iterdir()}
    assert names == {f"{one.cid()}.{MADE.proposal.cid()}" for one in MADE.votes}
    assert not [path for path in folder.rglob(".*")]


def test_a_copy_merges_by_copying_files(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for path in folder.rglob("*"):
        if path.is_file():
            target = other / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert history_of(FolderBoard(other), MADE.genesis, at=NOW).head == MADE.history.head


def test_files_in_folders_of_two_characters_are_found(folder: Path) -> None:
    path = file_of(folder, Kind.VOTE)
    (path.parent / "a7").mkdir()
    path.rename(path.parent / "a7" / path.name)
    assert votes(folder) == 3


def test_what_another_wrote_meanwhile_is_seen(folder: Path) -> None:
    path = file_of(folder, Kind.VOTE)
    body = path.read_bytes()
    path.unlink()
    board = FolderBoard(folder)
    before = board.since(MADE.genesis, 0)
    path.write_bytes(body)
    (new,) = board.since(MADE.genesis, before[-1].position)
    assert board.get(new.cid) == body


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("notes.txt", "no object's name"),
        ("bafy", "no object's name"),
        (f"{VOTE.cid()}.{VOTE.cid()}.{VOTE.cid()}", "no object's name"),
        (f"{VOTE.cid()}.", "no object's name"),
        (str(VOTE.cid()).upper(), "no object's name"),
    ],
)
def test_an_odd_name_is_passed_over_with_a_sentence(folder: Path, name: str, sentence: str) -> None:
    (folder / str(MADE.genesis) / "vote" / name).write_bytes(VOTE.encoded())
    board = FolderBoard(folder)
    assert len(board.list(Kind.VOTE, MADE.genesis)) == 3
    assert any(sentence in said for said in board.ignored)


def test_odd_folders_are_passed_over_with_a_sentence_and_hidden_ones_without(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / "notes").mkdir()
    (folder / str(MADE.genesis) / "gossip").mkdir()
    board = FolderBoard(folder)
    assert board.geneses() == [MADE.genesis]
    assert sorted(said.split(" in ")[0] for said in board.ignored) == ["'gossip'", "'notes'"]


@pytest.mark.parametrize("made", [lambda path: path.symlink_to("/etc/hostname"), os.mkfifo])
def test_links_and_pipes_are_neither_followed_nor_waited_for(folder: Path, made: object) -> None:
    path = file_of(folder, Kind.VOTE)
    path.unlink()
    made(path)  # type: ignore[operator]
    board = FolderBoard(folder)
    assert len(board.list(Kind.VOTE, MADE.genesis)) == 2
    assert any("link or no file" in said for said in board.ignored)


def test_a_link_to_a_folder_outside_is_not_followed(folder: Path, tmp_path: Path) -> None:
    kind = folder / str(MADE.genesis) / "vote"
    kind.rename(tmp_path / "elsewhere")
    kind.symlink_to(tmp_path / "elsewhere")
    assert votes(folder) == 0


@pytest.mark.parametrize("body", [b"", b"another object", bytes((1 << 20) + 1)])
def test_a_file_that_is_not_what_its_name_says_is_as_good_as_not_there(folder: Path, body: bytes) -> None:
    path = file_of(folder, Kind.VOTE)
    path.write_bytes(body)
    board = FolderBoard(folder)
    assert len(board.list(Kind.VOTE, MADE.genesis)) == 2
    assert any("not what its name says" in said for said in board.ignored)
    for one in MADE.votes:
        board.put(Kind.VOTE, MADE.genesis, one.cid(), MADE.proposal.cid(), one.encoded())
    assert votes(folder) == 3


@pytest.mark.parametrize("tip", [b"", b"1", b"-1 x", b"1 bafy", b"\xff\xfe", b"9" * 5000, b"0x1 " + b"b" * 59])
def test_a_tip_that_says_nothing_is_none(folder: Path, tip: bytes) -> None:
    (folder / str(MADE.genesis) / "tip").write_bytes(tip)
    board = FolderBoard(folder)
    assert board.tip(MADE.genesis) is None
    assert any("tip" in said for said in board.ignored)


def test_a_tip_is_an_epoch_and_a_head() -> None:
    assert tip_from(f"12 {MADE.genesis}\n".encode()) == (12, MADE.genesis)
    with pytest.raises(MalformedObject):
        tip_from(f"1234567 {MADE.genesis}".encode())


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(folder: Path) -> None:
    blocked = folder / str(MADE.genesis) / "charter"
    blocked.rename(folder / str(MADE.genesis) / "was")
    blocked.write_bytes(b"")  # stands in for a medium that takes no folder here, for root as well
    board = FolderBoard(folder)
    with pytest.raises(RecordsUnavailable, match="cannot be used"):
        board.put(Kind.CHARTER, MADE.genesis, MADE.genesis, None, MADE.founded.charter.encoded())
    assert len(board.list(Kind.VOTE, MADE.genesis)) == 3


def test_a_write_that_fails_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = file_of(folder, Kind.VOTE)
    path.unlink()
    monkeypatch.setattr(os, "replace", full)
    board = FolderBoard(folder)
    with pytest.raises(RecordsUnavailable, match="No space left"):
        for one in MADE.votes:
            board.put(Kind.VOTE, MADE.genesis, one.cid(), MADE.proposal.cid(), one.encoded())
    assert len(list(path.parent.iterdir())) == 2


def test_a_folder_with_too_many_files_is_not_read_to_its_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_board, "FILES_MAX", 5)
    with pytest.raises(RecordsUnavailable, match="more than 5 files"):
        FolderBoard(folder).geneses()
