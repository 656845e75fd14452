"""Blocks in a directory: nothing half-written, whatever kills the process, and nobody else may look."""

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from storage import directory
from storage.cid import RAW, Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch, BlockNotFound, BlockTooLarge, StorageFull, StorageUnavailable

BLOCK = b"a block that is long enough to be cut in two"
CID = Cid.of(RAW, BLOCK)
PROJECT = Path(__file__).resolve().parents[2]

# Runs in a process of its own: dies by SIGKILL before, after or halfway through the nth call of one system function.
DYING_PUT = """
import os, signal, sys
from storage import directory
from storage.cid import RAW, Cid

path, function, number, moment, block = sys.argv[1:]
blobs = directory.DirectoryBlobs(path)
real, calls = getattr(os, function), 0

def deadly(*args, **kwargs):
    global calls
    calls += 1
    if calls != int(number):
        return real(*args, **kwargs)
    if moment == "halfway":
        real(args[0], args[1][: len(args[1]) // 2])
    if moment == "after":
        real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(directory.os, function, deadly)
blobs.put(Cid.of(RAW, block.encode()), block.encode())
"""


def _files_below(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.name != ".lock"]


@pytest.mark.parametrize(
    ("function", "number", "moment", "is_kept"),
    [
        ("write", 1, "before", False),
        ("write", 1, "halfway", False),
        ("write", 1, "after", False),
        ("fsync", 1, "before", False),  # of the folder that holds the new shard
        ("fsync", 2, "before", False),  # of the file
        ("fsync", 2, "after", False),
        ("replace", 1, "before", False),
        ("replace", 1, "after", True),
        ("fsync", 3, "before", True),  # of the shard
        ("fsync", 3, "after", True),
    ],
)
def test_a_killed_process_leaves_a_whole_block_or_none(
    tmp_path: Path, function: str, number: int, moment: str, is_kept: bool
) -> None:
    arguments = [str(tmp_path), function, str(number), moment, BLOCK.decode()]
    command = [sys.executable, "-c", DYING_PUT, *arguments]
    done = subprocess.run(command, cwd=PROJECT, check=False, timeout=30)  # noqa: S603 - our own script
    assert done.returncode == -signal.SIGKILL
    with DirectoryBlobs(tmp_path) as blobs:
        assert blobs.has(CID) == is_kept
        assert list(blobs.cids()) == ([CID] if is_kept else [])
        assert len(_files_below(tmp_path)) == is_kept  # what the dead process left was swept
        blobs.put(CID, BLOCK)
        assert blobs.get(CID) == BLOCK


def test_the_file_is_flushed_before_it_is_named_and_the_name_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real_fsync(descriptor)

    def replace(source: Path, target: Path) -> None:
        calls.append("replace")
        real_replace(source, target)

    with DirectoryBlobs(tmp_path) as blobs:
        monkeypatch.setattr(directory.os, "fsync", fsync)
        monkeypatch.setattr(directory.os, "replace", replace)
        blobs.put(CID, BLOCK)
        assert calls == ["fsync folder", "fsync file", "replace", "fsync folder"]
        blobs.put(CID, BLOCK)  # is there already; whoever put it may not have come to the last flush
        assert calls[4:] == ["fsync folder"]


@pytest.mark.parametrize("function", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, StorageUnavailable)],
    ids=["full", "quota", "broken"],
)
def test_a_failing_disk_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, expected: type[Exception]
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with DirectoryBlobs(tmp_path) as blobs:
        with monkeypatch.context() as patched:
            patched.setattr(directory.os, function, fails)
            with pytest.raises(expected):
                blobs.put(CID, BLOCK)
        assert _files_below(tmp_path) == []
        blobs.put(CID, BLOCK)
        assert blobs.get(CID) == BLOCK


def test_a_disk_that_fills_up_halfway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_write: Callable[[int, bytes], int] = os.write
    room = [10]

    def write(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real_write(descriptor, data[: room[0]])
        room[0] -= count
        return count

    with DirectoryBlobs(tmp_path) as blobs:
        monkeypatch.setattr(directory.os, "write", write)
        with pytest.raises(StorageFull):
            blobs.put(CID, BLOCK)
        assert _files_below(tmp_path) == []


def test_an_unfinished_file_is_left_to_a_process_that_is_at_work(tmp_path: Path) -> None:
    with DirectoryBlobs(tmp_path):
        unfinished = tmp_path / ".incoming" / "0123"
        unfinished.write_bytes(b"half")
        with DirectoryBlobs(tmp_path):
            assert unfinished.exists()
    with DirectoryBlobs(tmp_path):
        assert not unfinished.exists()


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with DirectoryBlobs(tmp_path / "blobs") as blobs:
            blobs.put(CID, BLOCK)
    finally:
        os.umask(old)
    for path in [tmp_path / "blobs", *(tmp_path / "blobs").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def _place(tmp_path: Path) -> Path:
    with DirectoryBlobs(tmp_path) as blobs:
        blobs.put(CID, BLOCK)
    [file] = _files_below(tmp_path)
    return file


@pytest.mark.parametrize(
    "content", [b"", BLOCK[:-1], BLOCK + b"!", BLOCK.upper()], ids=["none", "less", "more", "other"]
)
def test_a_changed_file_is_found_out_and_put_heals_it(tmp_path: Path, content: bytes) -> None:
    _place(tmp_path).write_bytes(content)
    with DirectoryBlobs(tmp_path) as blobs:
        with pytest.raises(BlockMismatch, match=str(tmp_path)):
            blobs.get(CID)
        blobs.put(CID, BLOCK)
        assert blobs.get(CID) == BLOCK


def test_a_file_larger_than_any_block_is_not_read_to_its_end(tmp_path: Path) -> None:
    os.truncate(_place(tmp_path), 2**40)  # a hole: takes no room, and would take all memory
    with DirectoryBlobs(tmp_path) as blobs, pytest.raises(BlockTooLarge):
        blobs.get(CID)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_not_a_regular_file_is_not_read(tmp_path: Path, kind: str) -> None:
    place = _place(tmp_path)
    place.unlink()
    good = tmp_path / "elsewhere"
    good.write_bytes(BLOCK)
    match kind:
        case "link":
            place.symlink_to(good)
        case "pipe":
            os.mkfifo(place)
        case "folder":
            place.mkdir()
    with DirectoryBlobs(tmp_path) as blobs:
        assert not blobs.has(CID)
        with pytest.raises(BlockMismatch):
            blobs.get(CID)


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    place = _place(tmp_path)
    (tmp_path / "ab").mkdir()
    for name in ("notes.txt", str(Cid.of(RAW, b"in the wrong folder"))):
        (tmp_path / "ab" / name).write_bytes(b"")
    (tmp_path / "cd").write_bytes(b"")
    (place.parent / CID.binary.hex()).write_bytes(b"")
    with DirectoryBlobs(tmp_path) as blobs:
        assert list(blobs.cids()) == [CID]


def test_a_folder_that_vanished_is_unavailable_not_a_bug(tmp_path: Path) -> None:
    with DirectoryBlobs(tmp_path / "blobs") as blobs:
        os.rename(tmp_path / "blobs", tmp_path / "moved")
        with pytest.raises(StorageUnavailable):
            blobs.put(CID, BLOCK)
        with pytest.raises(BlockNotFound):
            blobs.get(CID)


def test_a_path_that_is_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageUnavailable):
        DirectoryBlobs(tmp_path / "file")
