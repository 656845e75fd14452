"""Forged blocks, archives and trees: right hashes or wrong ones, each is found out at a bounded cost."""

import io
import time

import pytest

from storage import varint
from storage.car import HEADER_BYTES_MAX, read_car, write_car
from storage.cid import DAG_CBOR, DAG_PB, RAW, Cid
from storage.dagpb import LINKS_MAX, Link, Node
from storage.errors import (
    BlockMismatch,
    BlockTooLarge,
    FileTooLarge,
    InvalidCid,
    MalformedCar,
    MalformedDag,
    StorageError,
    UnsupportedDag,
)
from storage.memory import MemoryBlobs
from storage.model import BLOCK_BYTES_MAX
from storage.unixfs import add_file, read_directory, read_file
from storage.unixfs.entry import DIRECTORY_DATA, FileEntry
from storage.unixfs.read import BLOCKS_FREE, DEPTH_MAX
from tests.faults import Counted, FlippedBit, Swapped, Truncated

BLOCK = b"the right block"
CID = Cid.of(RAW, BLOCK)
SECONDS_MAX = 5.0  # far above what each takes, far below what it would take unbounded


def put_node(blobs: MemoryBlobs, links: list[Link], entry: FileEntry | bytes | None) -> Cid:
    data = entry.encoded() if isinstance(entry, FileEntry) else entry
    block = Node(tuple(links), data).encoded()
    cid = Cid.of(DAG_PB, block)
    blobs.put(cid, block)
    return cid


def put_leaf(blobs: MemoryBlobs, data: bytes) -> Cid:
    cid = Cid.of(RAW, data)
    blobs.put(cid, data)
    return cid


@pytest.mark.parametrize("fault", [FlippedBit, Truncated])
def test_a_forged_leaf_is_found_out_before_the_file_is_whole(fault: type[FlippedBit]) -> None:
    blobs = MemoryBlobs()
    data = bytes(range(256)) * 8192
    cid = add_file(blobs, data)
    leaf = Cid.of(RAW, data[2**20 :])
    with pytest.raises(BlockMismatch):
        read_file(fault(blobs, [leaf]), cid, bytes_max=len(data))


def test_a_whole_file_in_place_of_another_is_found_out() -> None:
    blobs = MemoryBlobs()
    add_file(blobs, b"yesterday's version")
    with pytest.raises(BlockMismatch):
        read_file(Swapped(blobs, b"yesterday's version"), add_file(blobs, b"today's version"), bytes_max=100)


def _archive(sections: bytes, roots: tuple[Cid, ...] = ()) -> io.BytesIO:
    stream = io.BytesIO()
    write_car(stream, roots, [])
    stream.write(sections)
    stream.seek(0)
    return stream


def _section(cid: bytes, block: bytes) -> bytes:
    return varint.encoded(len(cid) + len(block)) + cid + block


GOOD = _section(CID.binary, BLOCK)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (GOOD + _section(CID.binary, b"a forged block!"), BlockMismatch),
        (GOOD + _section(b"\x01\x55\x00\x0f" + BLOCK, b"".ljust(40)), MalformedCar),  # identity: the CID is the data
        (GOOD + _section(b"\x01\x55\x00\x20" + bytes(32), b""), MalformedCar),
        (GOOD + _section(b"\x01\x78\x12\x20" + CID.digest, BLOCK), MalformedCar),
        (GOOD + _section(b"\x12\x20" + CID.digest, BLOCK), MalformedCar),
        (GOOD + GOOD[:-1], MalformedCar),
        (GOOD + b"\x00" * 64, MalformedCar),
        (GOOD + b"trailing", MalformedCar),
        (GOOD + b"\xff" * 9, MalformedCar),
        (GOOD + b"\x80\x00", MalformedCar),
        (GOOD + b"\xff", MalformedCar),
        (GOOD + varint.encoded(2**62), BlockTooLarge),
        (GOOD + varint.encoded(36 + BLOCK_BYTES_MAX + 1) + CID.binary, BlockTooLarge),
    ],
    ids=[
        "forged block", "identity hash", "identity hash of 32", "other codec", "version 0", "truncated", "padding",
        "trailing", "varint overflow", "long varint", "cut varint", "exabytes", "one byte over",
    ],
)  # fmt: skip
def test_a_forged_archive_yields_what_is_good_and_then_fails(sections: bytes, expected: type[StorageError]) -> None:
    _, blocks = read_car(_archive(sections), blocks_max=10, bytes_max=2**62)
    assert next(blocks) == (CID, BLOCK)
    with pytest.raises(expected):
        next(blocks)


def test_an_archive_cannot_claim_a_header_that_fills_memory() -> None:
    class Watched(io.BytesIO):
        asked = 0

        def read(self, length: int | None = -1) -> bytes:
            self.asked = max(self.asked, length or 0)
            return super().read(length)

    stream = Watched(varint.encoded(HEADER_BYTES_MAX + 1) + bytes(HEADER_BYTES_MAX + 1))
    with pytest.raises(MalformedCar, match="header"):
        read_car(stream, blocks_max=1, bytes_max=1)
    assert stream.asked == 1


@pytest.mark.parametrize("length", [0, 32])
def test_an_identity_cid_is_no_cid(length: int) -> None:
    # It would "verify" any data, since it carries the data instead of a hash.
    with pytest.raises(InvalidCid):
        Cid.from_binary(b"\x01\x55\x00" + bytes((length,)) + bytes(length))


def test_a_deep_tree_ends_at_the_bound() -> None:
    blobs = MemoryBlobs()
    cid = put_leaf(blobs, b"x")
    for depth in range(1, DEPTH_MAX + 2):
        cid = put_node(blobs, [Link(cid=cid)], FileEntry(None, 1, (1,)))
        if depth == DEPTH_MAX:
            assert read_file(blobs, cid, bytes_max=1) == b"x"
    counted = Counted(blobs)
    with pytest.raises(MalformedDag, match="deep"):
        read_file(counted, cid, bytes_max=1)
    assert counted.gets <= DEPTH_MAX + 1


def test_a_tree_of_one_block_repeated_is_not_walked_without_end() -> None:
    # 100 links to one node of 100 links and so on: nine blocks that stand for 10^16 bytes, one at a time.
    blobs = MemoryBlobs()
    cid, length = put_leaf(blobs, b"x"), 1
    for _ in range(DEPTH_MAX):
        cid = put_node(blobs, [Link(cid=cid)] * 100, FileEntry(None, 100 * length, (length,) * 100))
        length *= 100
    counted, start = Counted(blobs), time.monotonic()
    with pytest.raises(FileTooLarge):
        read_file(counted, cid, bytes_max=2**40)
    assert counted.gets == 1
    fine = put_node(blobs, [Link(cid=put_leaf(blobs, b"x"))] * 2000, FileEntry(None, 2000, (1,) * 2000))
    with pytest.raises(MalformedDag):
        read_file(counted, fine, bytes_max=2**40)
    assert counted.gets <= 1 + BLOCKS_FREE
    assert time.monotonic() - start < SECONDS_MAX


def test_a_tree_without_bytes_is_not_walked() -> None:
    blobs = MemoryBlobs()
    cid = put_leaf(blobs, b"")
    for _ in range(3):
        cid = put_node(blobs, [Link(cid=cid)] * 100, FileEntry(None, 0, (0,) * 100))
    counted = Counted(blobs)
    with pytest.raises(MalformedDag, match="without bytes"):
        read_file(counted, cid, bytes_max=2**40)
    assert counted.gets == 1


HALVES = (b"left", b"right!")
RIGHT = FileEntry(None, 10, (4, 6))


@pytest.mark.parametrize(
    "entry",
    [
        FileEntry(None, 11, (4, 6)),
        FileEntry(None, None, (4, 6)),
        FileEntry(None, 10, (6, 4)),
        FileEntry(None, 11, (4, 7)),
        FileEntry(None, 10, (10,)),
        FileEntry(None, 10, (4, 6, 0)),
        FileEntry(None, 10),
        FileEntry(None, 10, (0, 10)),
        None,
        b"",
        DIRECTORY_DATA,
        b"\x08\x05",
        b"\x08\x09",
        RIGHT.encoded() + b"\x20\x00",
        RIGHT.encoded()[2:],
        RIGHT.encoded() + RIGHT.encoded(),
        b"\x08\x02\x18\x8a\x00\x20\x04\x20\x06",
    ],
)
def test_one_lie_about_sizes_is_enough_to_fail(entry: FileEntry | bytes | None) -> None:
    blobs = MemoryBlobs()
    links = [Link(cid=put_leaf(blobs, half)) for half in HALVES]
    assert read_file(blobs, put_node(blobs, links, RIGHT), bytes_max=10) == b"leftright!"
    with pytest.raises(MalformedDag):
        read_file(blobs, put_node(blobs, links, entry), bytes_max=2**40)


def test_a_leaf_that_lies_about_its_own_length_fails() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(MalformedDag):
        read_file(blobs, put_node(blobs, [], FileEntry(b"four", 5)), bytes_max=10)


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        (b"\x08\x04", "symbolic link"),
        (b"\x08\x03", "metadata"),
        (FileEntry(b"own", 13, (4, 6)), "both data and children"),
    ],
)
def test_what_is_not_built_is_refused_by_name(entry: FileEntry | bytes, name: str) -> None:
    blobs = MemoryBlobs()
    links = [Link(cid=put_leaf(blobs, half)) for half in HALVES]
    with pytest.raises(UnsupportedDag, match=name):
        read_file(blobs, put_node(blobs, links, entry), bytes_max=100)


def test_a_node_of_another_codec_is_no_part_of_a_file() -> None:
    blobs = MemoryBlobs()
    cid = Cid.of(DAG_CBOR, b"\xa0")
    blobs.put(cid, b"\xa0")
    with pytest.raises(MalformedDag):
        read_file(blobs, cid, bytes_max=100)
    with pytest.raises(MalformedDag):
        read_directory(blobs, cid)


LINK = b"\x0a\x24" + CID.binary + b"\x12\x01a\x18\x0f"
LINKS_FIELD = b"\x12" + bytes((len(LINK),)) + LINK
DATA_FIELD = b"\x0a\x02" + DIRECTORY_DATA


@pytest.mark.parametrize(
    "block",
    [
        DATA_FIELD + LINKS_FIELD,
        LINKS_FIELD + DATA_FIELD + DATA_FIELD,
        b"\x12" + bytes((len(LINK),)) + LINK[-5:] + LINK[:-5] + DATA_FIELD,
        b"\x12" + bytes((len(LINK) + 2,)) + LINK + LINK[-2:] + DATA_FIELD,
        LINKS_FIELD + DATA_FIELD + b"\x1a\x00",
        LINKS_FIELD + DATA_FIELD[:-1],
        b"\x12\x03\x12\x01a" + DATA_FIELD,
        LINKS_FIELD.replace(b"\x12\x01a", b"\x12\x01\xff") + DATA_FIELD,
        LINKS_FIELD.replace(b"\x12\x20", b"\x00\x20") + DATA_FIELD,
    ],
    ids=["data first", "data twice", "link order", "size twice", "unknown", "cut", "no hash", "not text", "identity"],
)
def test_a_node_has_one_spelling(block: bytes) -> None:
    blobs = MemoryBlobs()
    for spelling in (LINKS_FIELD + DATA_FIELD, block):
        blobs.put(Cid.of(DAG_PB, spelling), spelling)
    assert read_directory(blobs, Cid.of(DAG_PB, LINKS_FIELD + DATA_FIELD)) == {"a": CID}
    with pytest.raises(MalformedDag):
        read_directory(blobs, Cid.of(DAG_PB, block))


def test_a_node_with_more_links_than_the_bound_fails() -> None:
    blobs = MemoryBlobs()
    leaf = put_leaf(blobs, b"x")
    count = LINKS_MAX + 1
    with pytest.raises(MalformedDag, match="links"):
        read_file(
            blobs, put_node(blobs, [Link(cid=leaf)] * count, FileEntry(None, count, (1,) * count)), bytes_max=2**40
        )


@pytest.mark.parametrize(
    "names",
    [["../../etc/passwd"], ["/"], [".."], ["."], [""], [None], ["a\0"], ["b", "a"], ["a", "a"]],
)
def test_a_directory_cannot_name_what_is_outside_it_or_one_name_twice(names: list[str | None]) -> None:
    blobs = MemoryBlobs()
    leaf = put_leaf(blobs, b"x")
    assert read_directory(blobs, put_node(blobs, [Link(cid=leaf, name="a")], DIRECTORY_DATA)) == {"a": leaf}
    with pytest.raises(MalformedDag):
        read_directory(blobs, put_node(blobs, [Link(cid=leaf, name=name) for name in names], DIRECTORY_DATA))
