"""Many blocks at once: all of them durable, or the first error; nothing unnamed is left, and little is in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from storage import directory
from storage.bulk import GROUP, IN_FLIGHT_MAX, Bulk, Through
from storage.cid import RAW, Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch, BlockNotFound, StorageFull, StorageUnavailable
from storage.memory import MemoryBlobs
from storage.model import Blobs
from storage.unixfs import add_file, read_file
from tests.faults import Faulty, Full, Unavailable

BLOCKS = {Cid.of(RAW, block): block for block in (b"block %d" % n for n in range(3 * GROUP + 5))}


@pytest.fixture(params=["directory", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return DirectoryBlobs(tmp_path / "blocks") if request.param == "directory" else MemoryBlobs()


def test_all_that_was_put_is_there_at_the_end_and_counted(blobs: Blobs) -> None:
    sizes: list[int] = []
    with Bulk(blobs, put=sizes.append) as bulk:
        for cid, block in BLOCKS.items():
            bulk.put(cid, block)
    assert set(blobs.cids()) == set(BLOCKS)
    assert all(blobs.get(cid) == block for cid, block in BLOCKS.items())
    assert sum(sizes) == sum(map(len, BLOCKS.values()))


def test_what_is_there_is_neither_read_nor_put_again(blobs: Blobs) -> None:
    first, second = list(BLOCKS)[:2]
    blobs.put(first, BLOCKS[first])
    read: list[Cid] = []

    def reading(cid: Cid) -> Callable[[], bytes]:
        return lambda: read.append(cid) or BLOCKS[cid]  # type: ignore[func-returns-value]

    with Bulk(blobs) as bulk:
        for cid in (first, second):
            bulk.put_missing(cid, len(BLOCKS[cid]), reading(cid))
    assert read == [second]


@pytest.mark.parametrize("fault", [Full, lambda blobs: Unavailable(blobs, calls=40)], ids=["full", "down midway"])
def test_the_first_error_is_raised_and_ends_it(fault: Any) -> None:
    place = fault(MemoryBlobs())
    with pytest.raises((StorageFull, StorageUnavailable)), Bulk(place) as bulk:
        for cid, block in BLOCKS.items():
            bulk.put(cid, block)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_whatever_ends_it_early_leaves_nothing_unnamed(tmp_path: Path, error: type[BaseException]) -> None:
    with DirectoryBlobs(tmp_path) as blobs:
        with pytest.raises(error), Bulk(blobs) as bulk:
            for number, (cid, block) in enumerate(BLOCKS.items()):
                if number == GROUP + 10:
                    raise error
                bulk.put(cid, block)
        assert list((tmp_path / ".incoming").iterdir()) == []
        assert all(blobs.get(cid) == BLOCKS[cid] for cid in blobs.cids())


@pytest.mark.parametrize("function", ["fsync", "replace", "mkdir"])
def test_a_disk_that_fails_midway_leaves_whole_blocks_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    left, lock, real = [70], threading.Lock(), getattr(directory.os, function)

    def failing(*args: Any, **rest: Any) -> Any:
        with lock:
            left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(*args, **rest)

    with DirectoryBlobs(tmp_path) as blobs:
        with monkeypatch.context() as patch:
            patch.setattr(directory.os, function, failing)
            with pytest.raises(StorageFull), Bulk(blobs) as bulk:
                for cid, block in BLOCKS.items():
                    bulk.put(cid, block)
        assert list((tmp_path / ".incoming").iterdir()) == []
        assert all(blobs.get(cid) == BLOCKS[cid] for cid in blobs.cids())
        with Bulk(blobs) as bulk:
            for cid, block in BLOCKS.items():
                bulk.put(cid, block)
        assert set(blobs.cids()) == set(BLOCKS)


def test_a_wrong_block_is_refused(blobs: Blobs) -> None:
    with pytest.raises(BlockMismatch), Bulk(blobs) as bulk:
        bulk.put(next(iter(BLOCKS)), b"something else")


def test_only_so_many_blocks_are_in_memory_however_slow_the_place_is() -> None:
    open_, most, lock = [0], [0], threading.Lock()

    class Counting(Faulty):
        def put(self, cid: Cid, block: bytes) -> None:
            super().put(cid, block)
            with lock:
                open_[0] -= 1

    with Bulk(Counting(MemoryBlobs())) as bulk:
        for cid, block in BLOCKS.items():
            with lock:
                open_[0] += 1
                most[0] = max(most[0], open_[0])
            bulk.put(cid, block)
    assert most[0] <= IN_FLIGHT_MAX + 1


def test_a_file_goes_through_it(blobs: Blobs) -> None:
    data = bytes(range(256)) * (3 << 12)
    with Bulk(blobs) as bulk:
        cid = add_file(Through(bulk, blobs), data)
    assert read_file(blobs, cid, bytes_max=len(data)) == data


def test_a_directory_takes_blocks_over_from_another_without_copying(tmp_path: Path) -> None:
    with DirectoryBlobs(tmp_path / "one") as one, DirectoryBlobs(tmp_path / "two") as two:
        for cid, block in BLOCKS.items():
            one.put(cid, block)
        two.adopt(one, BLOCKS)
        two.adopt(one, BLOCKS)  # again is fine
        assert (set(two.cids()), set(one.cids())) == (set(BLOCKS), set())
        with pytest.raises(BlockNotFound):
            two.adopt(one, [Cid.of(RAW, b"nobody has it")])
