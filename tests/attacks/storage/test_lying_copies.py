"""Places that lie about whole copies: what does not come back is not counted, and no lie reaches another copy."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from storage import directory
from storage.cid import DAG_CBOR, DAG_PB, RAW, Cid
from storage.dagpb import Link, Node
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch, BlockTooLarge, FileTooLarge, InvalidCid, MalformedDag, StorageError
from storage.memory import MemoryBlobs
from storage.model import BLOCK_BYTES_MAX
from storage.unixfs import add_file, way_to
from storage.unixfs.entry import FileEntry
from storage.unixfs.read import DEPTH_MAX
from tests.copies import Kept, blocks, dataset, holding, kept
from tests.faults import Endless, Faulty, FlippedBit, Swapped, Truncated
from tests.migrated import opened_records
from vault.copies.model import CopyState
from vault.copies.sampling import read_sample
from vault.copies.status import copies_of
from vault.errors import MalformedObject
from vault.records.database import Records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with opened_records(tmp_path / "records.db") as records:
        yield records


def settled(it: Kept, *places: str) -> list[CopyState]:
    return [it.look(place).state for place in places]


class SaysYes(Faulty):
    """Claims to have every block, whatever was put."""

    def has(self, cid: Cid) -> bool:
        return True


class TakesHalf(Faulty):
    """Takes the first half of each block and says that all is well."""

    def put(self, cid: Cid, block: bytes) -> None:
        self.halves = {**getattr(self, "halves", {}), cid: block[: len(block) // 2]}

    def get(self, cid: Cid) -> bytes:
        if cid in getattr(self, "halves", {}):
            raise BlockMismatch(f"{self.name}: half of the bytes are not the block {cid}")
        return super().get(cid)


class RightUntilBelieved(FlippedBit):
    """Sends what is right until it is believed."""

    is_believed = False

    def wrong(self, block: bytes) -> bytes:
        return super().wrong(block) if self.is_believed else block


def test_a_place_that_claims_to_have_what_it_was_not_sent_is_sent_it(records: Records) -> None:
    inner = MemoryBlobs()
    it = kept(records, {"first": holding(), "liar": SaysYes(inner)})
    assert settled(it, "first", "liar") == [CopyState.VERIFIED] * 2
    assert set(inner.cids()) == set(blocks())


def test_half_of_each_upload_taken_for_the_whole_is_found_out(records: Records) -> None:
    it = kept(records, {"first": holding(), "liar": TakesHalf(MemoryBlobs())})
    assert settled(it, "first", "liar") == [CopyState.VERIFIED, CopyState.DAMAGED]
    assert it.keeper.records.standings()["liar"].lies >= 1
    assert it.published == []


def test_a_place_that_is_right_only_until_it_is_believed_is_found_out_by_a_sample(records: Records) -> None:
    liar = RightUntilBelieved(holding())
    it = kept(records, {"first": holding(), "liar": liar})
    assert settled(it, "first", "liar") == [CopyState.VERIFIED] * 2
    liar.is_believed = True
    it.clock.now += 1000
    assert settled(it, "liar") == [CopyState.DAMAGED]
    assert not copies_of(it.keeper.records)[0].is_met
    assert it.keeper.records.standings()["liar"].lies >= 1


def test_two_places_with_different_wrong_answers_spoil_no_third(records: Records) -> None:
    """Nothing that either sends is written to the copy that is made from them, and both are named."""
    target = MemoryBlobs()
    it = kept(records, {"one": FlippedBit(holding()), "target": target, "two": Truncated(holding())}, wanted=1)
    assert it.look("target").state is CopyState.PENDING
    assert list(target.cids()) == []
    assert {name for name, known in it.keeper.records.standings().items() if known.lies} == {"one", "two"}


@pytest.mark.parametrize("fault", [FlippedBit, Truncated, Endless, lambda blobs: Swapped(blobs, b"another block")])
def test_a_copy_is_made_from_the_honest_one_of_two(records: Records, fault: type[Faulty]) -> None:
    target = MemoryBlobs()
    it = kept(records, {"honest": holding(), "liar": fault(holding()), "target": target})
    assert settled(it, "honest", "target") == [CopyState.VERIFIED] * 2
    assert {cid: target.get(cid) for cid in target.cids()} == blocks()


def test_a_repair_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = DirectoryBlobs(tmp_path / "second")
    it = kept(records, {"first": holding(), "second": second})
    assert settled(it, "first", "second") == [CopyState.VERIFIED] * 2
    for cid in list(blocks())[2:]:
        second.delete(cid)
    kept_blocks = set(second.cids())
    real, room = directory._write_flushed, iter(range(2))

    def full(path: Path, block: bytes) -> None:
        if next(room, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, block)

    monkeypatch.setattr(directory, "_write_flushed", full)
    looked = it.look("second", is_whole=True)
    assert (looked.state, "no room left" in looked.fault) == (CopyState.DAMAGED, True)
    assert it.copy("first").state is CopyState.VERIFIED
    assert kept_blocks < set(second.cids()) < set(blocks())
    assert all(second.get(cid) == blocks()[cid] for cid in second.cids())
    monkeypatch.setattr(directory, "_write_flushed", real)
    assert it.look("second").state is CopyState.VERIFIED


def test_a_manifest_of_another_form_is_not_taken_for_the_right_one(records: Records) -> None:
    class Other(Faulty):
        """Has lost its check, and sends another manifest."""

        def get(self, cid: Cid) -> bytes:
            return b"\xa0" if cid == dataset().manifest.cid() else super().get(cid)

    with pytest.raises(MalformedObject):
        read_sample(dataset().manifest, Other(holding()), random=Random(1), blocks=1)  # noqa: S311


@pytest.mark.parametrize(
    ("fault", "expected"),
    [(FlippedBit, BlockMismatch), (Truncated, BlockMismatch), (Endless, BlockTooLarge)],
)
def test_a_sample_believes_no_block_that_is_not_the_one(fault: type[FlippedBit], expected: type[StorageError]) -> None:
    blobs = fault(holding(), set(blocks()) - {dataset().manifest.cid()})
    with pytest.raises(expected):
        read_sample(dataset().manifest, blobs, random=Random(1), blocks=1)  # noqa: S311


def entry(sizes: list[int]) -> bytes:
    return FileEntry(None, sum(sizes), tuple(sizes)).encoded()


def tower(blobs: MemoryBlobs, levels: int) -> Cid:
    """Return a file of one byte below so many nodes."""
    cid = add_file(blobs, b"x")
    for _ in range(levels):
        block = Node((Link(cid=cid),), entry([1])).encoded()
        cid = Cid.of(DAG_PB, block)
        blobs.put(cid, block)
    return cid


def test_the_way_to_a_byte_ends_in_a_tree_that_is_too_deep() -> None:
    blobs = MemoryBlobs()
    assert len(list(way_to(blobs, tower(blobs, DEPTH_MAX), 0, bytes_max=10))) == DEPTH_MAX + 1
    with pytest.raises(MalformedDag, match="levels deep"):
        list(way_to(blobs, tower(blobs, DEPTH_MAX + 1), 0, bytes_max=10))


@pytest.mark.parametrize("offset", [-1, 1, 2**70])
def test_the_way_to_a_byte_that_a_file_lacks_is_none(offset: int) -> None:
    blobs = MemoryBlobs()
    with pytest.raises(MalformedDag):
        list(way_to(blobs, tower(blobs, 1), offset, bytes_max=10))


def test_a_child_of_another_length_than_its_parent_said_is_found_on_the_way() -> None:
    blobs = MemoryBlobs()
    leaf = add_file(blobs, b"four")
    block = Node((Link(cid=leaf),), entry([400])).encoded()
    blobs.put(Cid.of(DAG_PB, block), block)
    with pytest.raises(MalformedDag, match="other than"):
        list(way_to(blobs, Cid.of(DAG_PB, block), 300, bytes_max=1000))
    with pytest.raises(FileTooLarge):
        list(way_to(blobs, Cid.of(DAG_PB, block), 300, bytes_max=399))


def test_the_same_bytes_under_another_codec_are_no_part_of_a_file() -> None:
    blobs = MemoryBlobs()
    block = b"\xa0"
    for codec in (RAW, DAG_CBOR):
        blobs.put(Cid.of(codec, block), block)
    assert list(way_to(blobs, Cid.of(RAW, block), 0, bytes_max=10)) == [Cid.of(RAW, block)]
    with pytest.raises(MalformedDag, match="neither raw nor dag-pb"):
        list(way_to(blobs, Cid.of(DAG_CBOR, block), 0, bytes_max=10))


@pytest.mark.parametrize("length", [0, 36, BLOCK_BYTES_MAX])
def test_a_link_that_carries_its_data_in_an_identity_hash_is_refused_unread(length: int) -> None:
    """An identity CID of megabytes would be a block that no limit on blocks sees."""
    blobs = MemoryBlobs()
    identity = b"\x01\x55\x00" + bytes((length & 0x7F,)) + bytes(min(length, 1000))
    link = b"\x0a" + bytes((len(identity) & 0x7F,)) + identity
    block = b"\x12" + bytes((len(link) & 0x7F,)) + link
    cid = Cid.of(DAG_PB, block)
    blobs.put(cid, block)
    with pytest.raises((MalformedDag, InvalidCid)):
        list(way_to(blobs, cid, 0, bytes_max=10**9))
