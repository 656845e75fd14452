"""What a custodian has at hand: every block once, each verified by the place it came from, within bounds."""

from __future__ import annotations

import pytest

from storage.cid import DAG_CBOR, Cid
from storage.errors import BlockNotFound
from storage.memory import MemoryBlobs
from tests.enclaves import world
from vault.charter import Charter
from vault.errors import MalformedObject
from vault.head import Head
from vault.known import Known

WORLD = world()


class Counting(MemoryBlobs):
    """Counts what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Cid] = []

    def get(self, cid: Cid) -> bytes:
        self.asked.append(cid)
        return super().get(cid)

    def holding(self, *blocks: bytes) -> list[Cid]:
        cids = [Cid.of(DAG_CBOR, block) for block in blocks]
        for cid, block in zip(cids, blocks, strict=True):
            self.put(cid, block)
        return cids


@pytest.fixture
def blobs() -> Counting:
    return Counting()


def test_a_block_is_fetched_once_and_its_record_is_decoded_once(blobs: Counting) -> None:
    charter = WORLD.dao.charter
    [cid] = blobs.holding(charter.encoded())
    known = Known(blobs)
    assert known.block(cid) == charter.encoded()
    decoded = known.record(Charter, cid)
    assert decoded == charter
    assert known.record(Charter, cid) is decoded
    assert blobs.asked == [cid]


def test_a_block_is_never_taken_for_a_record_of_another_kind(blobs: Counting) -> None:
    [cid] = blobs.holding(WORLD.dao.charter.encoded())
    known = Known(blobs)
    known.record(Charter, cid)
    with pytest.raises(MalformedObject):
        known.record(Head, cid)
    assert known.record(Charter, cid) == WORLD.dao.charter


def test_what_is_missing_is_asked_for_again(blobs: Counting) -> None:
    known, cid = Known(blobs), Cid.of(DAG_CBOR, b"late")
    with pytest.raises(BlockNotFound):
        known.block(cid)
    blobs.put(cid, b"late")
    assert known.block(cid) == b"late"


@pytest.mark.parametrize("bounds", [{"bytes_max": 8}, {"blocks_max": 2}], ids=["bytes", "blocks"])
def test_the_longest_unused_block_goes_first(blobs: Counting, bounds: dict[str, int]) -> None:
    first, second, third = blobs.holding(b"1111", b"2222", b"3333")
    known = Known(blobs, **bounds)
    for cid in (first, second, first, third):
        known.block(cid)
    blobs.asked.clear()
    assert [known.block(cid) for cid in (first, third, second)] == [b"1111", b"3333", b"2222"]
    assert blobs.asked == [second]


def test_a_block_over_the_bound_is_given_and_not_kept(blobs: Counting) -> None:
    [cid] = blobs.holding(b"123456789")
    known = Known(blobs, bytes_max=8)
    assert [known.block(cid), known.block(cid)] == [b"123456789"] * 2
    assert blobs.asked == [cid, cid]
