"""Each fault that other tests inject is the fault that it says it is, and memory has its bound."""

from collections.abc import Callable

import pytest

from storage.cid import RAW, Cid
from storage.errors import (
    BlockMismatch,
    BlockNotFound,
    BlockTooLarge,
    StorageFull,
    StorageUnavailable,
)
from storage.memory import MemoryBlobs
from storage.model import Blobs
from tests import faults

BLOCK = b"a block"
CID = Cid.of(RAW, BLOCK)
EMPTY = Cid.of(RAW, b"")


@pytest.fixture
def blobs() -> MemoryBlobs:
    held = MemoryBlobs()
    held.put(CID, BLOCK)
    held.put(EMPTY, b"")
    return held


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.FlippedBit, BlockMismatch),
        (faults.Truncated, BlockMismatch),
        (faults.Endless, BlockTooLarge),
        (faults.Missing, BlockNotFound),
        (faults.Unavailable, StorageUnavailable),
        (lambda held: faults.Swapped(held, b"another"), BlockMismatch),
    ],
)
@pytest.mark.parametrize("cid", [CID, EMPTY])
def test_get_fails_as_a_real_place_would(
    blobs: MemoryBlobs, fault: Callable[[Blobs], Blobs], expected: type[Exception], cid: Cid
) -> None:
    with pytest.raises(expected):
        fault(blobs).get(cid)


@pytest.mark.parametrize("fault", [faults.FlippedBit, faults.Truncated, faults.Endless, faults.Missing])
def test_only_the_chosen_blocks_are_wrong(blobs: MemoryBlobs, fault: Callable[..., Blobs]) -> None:
    assert fault(blobs, [EMPTY]).get(CID) == BLOCK
    with pytest.raises((BlockMismatch, BlockTooLarge, BlockNotFound)):
        fault(blobs, [CID]).get(CID)


def test_an_adapter_without_its_check_returns_the_wrong_bytes(blobs: MemoryBlobs) -> None:
    assert faults.FlippedBit(blobs, is_checked=False).get(CID) not in (BLOCK, b"")


def test_a_full_place_takes_nothing_and_a_forgetful_one_says_that_it_did() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(StorageFull):
        faults.Full(blobs).put(CID, BLOCK)
    faults.Forgetful(blobs).put(CID, BLOCK)
    assert not blobs.has(CID)


def test_an_unavailable_place_works_until_it_does_not(blobs: MemoryBlobs) -> None:
    place = faults.Unavailable(blobs, calls=2)
    assert place.get(CID) == BLOCK
    assert place.has(CID)
    with pytest.raises(StorageUnavailable):
        place.cids()


def test_a_slow_place_moves_the_clock_and_sleeps_not_at_all(blobs: MemoryBlobs) -> None:
    waits: list[float] = []
    assert faults.Slow(blobs, seconds=30, wait=waits.append).get(CID) == BLOCK
    assert waits == [30]


def test_memory_has_a_bound_and_deleting_makes_room() -> None:
    blobs = MemoryBlobs(bytes_max=len(BLOCK))
    blobs.put(CID, BLOCK)
    blobs.put(CID, BLOCK)
    other = Cid.of(RAW, b"!")
    with pytest.raises(StorageFull):
        blobs.put(other, b"!")
    blobs.delete(CID)
    blobs.put(other, b"!")
    assert list(blobs.cids()) == [other]
