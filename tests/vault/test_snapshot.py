"""Sealed snapshots: what was stored comes back bit for bit, and nothing else ever opens (rule S2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import RAW, Cid
from storage.errors import BlockNotFound
from storage.memory import MemoryBlobs
from tests.people import seeded
from vault import snapshot
from vault.errors import MalformedObject, TamperedSegment
from vault.keys import SecretKey
from vault.snapshot import BLOCK_BYTES, Snapshot, SnapshotHeader, read_snapshot, store_snapshot

DATA_KEY, STATE_KEY = SecretKey(seeded("data key")), SecretKey(seeded("state key"))
OF: dict[str, Any] = {
    "manifest": Cid.of(RAW, b"manifest"),
    "model": seeded("model"),
    "settings": seeded("settings"),
    "dtype": "float32",
}
DIMENSION = 384
ROWS = BLOCK_BYTES // (4 * DIMENSION) * 2 + 7  # two whole blocks and a bit


def vectors(rows: int, dimension: int = DIMENSION) -> bytes:
    pattern = seeded("vectors")
    size = 4 * rows * dimension
    return (pattern * (size // len(pattern) + 1))[:size]


def stored(blobs: MemoryBlobs, data: bytes, *, dimension: int = DIMENSION, **of: Any) -> Cid:
    usual: dict[str, Any] = OF | {"keys": (DATA_KEY, STATE_KEY)}
    return store_snapshot(blobs, memoryview(data), dimension=dimension, **(usual | of))


def read(blobs: MemoryBlobs, root: Cid, **of: Any) -> tuple[int, bytes]:
    usual: dict[str, Any] = OF | {"keys": (DATA_KEY, STATE_KEY)}
    dimension, found = read_snapshot(blobs, root, **(usual | of))
    return dimension, bytes(found)


@given(rows=st.integers(0, 40), dimension=st.integers(1, 5000))
def test_vectors_come_back_bit_for_bit(rows: int, dimension: int) -> None:
    blobs, data = MemoryBlobs(), vectors(rows, dimension)
    assert read(blobs, stored(blobs, data, dimension=dimension)) == (dimension, data)


def test_so_do_those_of_several_blocks_whose_bytes_show_nothing() -> None:
    blobs, data = MemoryBlobs(), vectors(ROWS)
    first, second = stored(blobs, data), stored(blobs, data)
    assert read(blobs, first) == read(blobs, second) == (DIMENSION, data)
    one, other = (Snapshot.from_bytes(blobs.get(root)) for root in (first, second))
    assert len(one.blocks) == 3
    assert not set(one.blocks) & set(other.blocks)  # a fresh key each time, so never a nonce twice under one
    assert not any(data[at : at + 32] in blobs.get(block) for block in one.blocks for at in (0, 32))


@pytest.mark.parametrize("fact", [*OF, "data key", "state key"])
def test_one_of_something_else_is_refused(fact: str) -> None:
    blobs = MemoryBlobs()
    root = stored(blobs, vectors(3))
    other = SecretKey(seeded("other key"))
    wrong: dict[str, Any] = {
        "manifest": {"manifest": Cid.of(RAW, b"another")},
        "model": {"model": seeded("another")},
        "settings": {"settings": seeded("another tokenizer")},
        "dtype": {"dtype": "bfloat16"},
        "data key": {"keys": (other, STATE_KEY)},
        "state key": {"keys": (DATA_KEY, other)},  # what an owner would seal who forges vectors
    }
    with pytest.raises(TamperedSegment):
        read(blobs, root, **wrong[fact])


def swapped(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    return replace(one, blocks=(one.blocks[1], one.blocks[0], one.blocks[2]))


def flipped(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    block = bytearray(blobs.get(one.blocks[0]))
    block[5] ^= 1
    blobs.put(Cid.of(RAW, block), bytes(block))
    return replace(one, blocks=(Cid.of(RAW, block), *one.blocks[1:]))


def shortened(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    block = blobs.get(one.blocks[0])[:-1]
    blobs.put(Cid.of(RAW, block), block)
    return replace(one, blocks=(Cid.of(RAW, block), *one.blocks[1:]))


def of_another(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    other = Snapshot.from_bytes(blobs.get(stored(blobs, vectors(ROWS))))
    return replace(one, blocks=(other.blocks[0], *one.blocks[1:]))


def other_count(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    return replace(one, header=replace(one.header, count=ROWS - 1))


def other_shape(one: Snapshot, blobs: MemoryBlobs) -> Snapshot:
    return replace(one, header=replace(one.header, dimension=DIMENSION // 2, count=2 * ROWS))


@pytest.mark.parametrize("forge", [swapped, flipped, shortened, of_another, other_count, other_shape])
def test_a_changed_one_is_refused(forge: Callable[[Snapshot, MemoryBlobs], Snapshot]) -> None:
    blobs = MemoryBlobs()
    root = Snapshot.from_bytes(blobs.get(stored(blobs, vectors(ROWS))))
    forged = forge(root, blobs)
    blobs.put(forged.cid(), forged.encoded())
    with pytest.raises(TamperedSegment):
        read(blobs, forged.cid())


def test_a_missing_block_and_a_root_of_another_kind_are_told() -> None:
    blobs = MemoryBlobs()
    root = stored(blobs, vectors(ROWS))
    blobs.delete(Snapshot.from_bytes(blobs.get(root)).blocks[1])
    with pytest.raises(BlockNotFound):
        read(blobs, root)
    with pytest.raises(MalformedObject):
        read(blobs, Cid.of(RAW, b""))


@pytest.mark.parametrize("field", ["dimension", "count"])
def test_numbers_that_would_need_more_memory_than_a_snapshot_holds_are_refused(field: str) -> None:
    usual: dict[str, Any] = OF | {"suite": snapshot.SUITE, "dimension": 384, "count": 10, "salt": bytes(32)}
    assert SnapshotHeader(**usual).blocks == 1
    for number in (2**40, 2**62):
        with pytest.raises(MalformedObject):
            SnapshotHeader(**(usual | {field: number}))
