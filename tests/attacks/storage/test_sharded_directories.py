"""Sharded directories made to mislead or to exhaust a reader: each is found out at a bounded cost."""

from collections.abc import Callable

import pytest

from storage.cid import DAG_PB, RAW, Cid
from storage.dagpb import Link, Node, field
from storage.errors import BlockNotFound, FileTooLarge, MalformedDag, StorageError, UnsupportedDag
from storage.memory import MemoryBlobs
from storage.unixfs import Tree, add_directory, directory_entries, directory_entry, read_directory, read_file
from storage.unixfs.directory import ENTRIES_MAX
from storage.unixfs.murmur import murmur3_x64_64
from tests.faults import Counted, Missing

FANOUT = 256
LEAF = Cid.of(RAW, b"x")


def data(bits: int, *, fanout: int = FANOUT, hashed_by: int = 0x22, kind: int = 5, tail: bytes = b"") -> bytes:
    spelled = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
    return field(1, kind) + field(2, spelled) + field(5, hashed_by) + field(6, fanout) + tail


def put(blobs: MemoryBlobs, links: list[Link], message: bytes) -> Cid:
    block = Node(tuple(links), message).encoded()
    cid = Cid.of(DAG_PB, block)
    blobs.put(cid, block)
    return cid


def place_of(name: str, level: int = 0) -> int:
    return murmur3_x64_64(name.encode()) >> (64 - 8 * (level + 1)) & 0xFF


def link(place: int, name: str, cid: Cid = LEAF) -> Link:
    return Link(cid=cid, name=f"{place:02X}{name}")


A = place_of("a")


def put_right(blobs: MemoryBlobs) -> Cid:
    return put(blobs, [link(A, "a")], data(1 << A))


def test_the_right_one_is_read() -> None:
    blobs = MemoryBlobs()
    cid = put_right(blobs)
    assert read_directory(blobs, cid) == {"a": LEAF}
    assert directory_entry(blobs, cid, "a") == LEAF


OTHER = (A + 1) % FANOUT
LETTERED = next(name for name in "bcdefghij" if f"{place_of(name):02X}".isalpha())  # a place with two spellings


@pytest.mark.parametrize(
    ("links", "message", "expected"),
    [
        ([link(OTHER, "a")], data(1 << OTHER), MalformedDag),
        ([link(A, "a")], data(1 << OTHER), MalformedDag),
        ([link(A, "a")], data(1 << A | 1 << OTHER), MalformedDag),
        ([link(A, "a")], data(0), MalformedDag),
        ([Link(cid=LEAF, name=f"{place_of(LETTERED):02x}{LETTERED}")], data(1 << place_of(LETTERED)), MalformedDag),
        ([Link(cid=LEAF, name=f"{A:03X}a")], data(1 << A), MalformedDag),
        ([Link(cid=LEAF, name="")], data(1 << A), MalformedDag),
        ([Link(cid=LEAF, name=None)], data(1 << A), MalformedDag),
        ([link(A, "a"), link(A, "a")], data(1 << A), MalformedDag),
        ([link(A, "a")], data(1 << A, fanout=255), MalformedDag),
        ([link(A, "a")], data(1 << A, fanout=4), MalformedDag),
        ([link(A, "a")], data(1 << A, fanout=0), MalformedDag),
        ([link(A, "a")], data(1 << A, fanout=2**20), MalformedDag),
        ([link(A, "a")], data(1 << A, fanout=2**62), MalformedDag),
        ([link(A, "a")], data(1 << 300), MalformedDag),
        ([link(A, "a")], data(1 << A, tail=field(7, 0o777)), MalformedDag),
        ([link(A, "a")], data(1 << A) + field(6, FANOUT), MalformedDag),
        ([link(A, "a")], field(1, 5), MalformedDag),
        ([link(A, "a")], field(1, 5) + field(2, 7) + field(5, 0x22) + field(6, FANOUT), MalformedDag),
        ([link(A, "a")], data(1 << A, hashed_by=0x12), UnsupportedDag),
        ([link(A, "a")], data(1 << A, kind=2), MalformedDag),
    ],
)  # fmt: skip
def test_one_lie_about_where_things_hang_is_enough(
    links: list[Link], message: bytes, expected: type[StorageError]
) -> None:
    blobs = MemoryBlobs()
    cid = put(blobs, links, message)
    with pytest.raises(expected):
        read_directory(blobs, cid)


@pytest.mark.parametrize("name", ["..", ".", "../../etc/passwd", "a\0b"])
def test_it_cannot_name_what_is_outside_it(name: str) -> None:
    blobs = MemoryBlobs()
    cid = put(blobs, [link(place_of(name), name)], data(1 << place_of(name)))
    with pytest.raises(MalformedDag, match="name"):
        read_directory(blobs, cid)


def test_an_entry_that_hangs_right_above_and_wrong_below_is_found_out() -> None:
    blobs = MemoryBlobs()
    wrong = (place_of("a", 1) + 1) % FANOUT
    below = put(blobs, [link(wrong, "a")], data(1 << wrong))
    with pytest.raises(MalformedDag, match="hash"):
        read_directory(blobs, put(blobs, [link(A, "", below)], data(1 << A)))


@pytest.mark.parametrize(
    "below",
    [
        lambda blobs: put(blobs, [], data(0)),
        lambda blobs: put(blobs, [link(place_of("a", 1), "a")], data(1 << place_of("a", 1), fanout=512)),
        lambda blobs: add_directory(blobs, {"a": Tree(LEAF, 1, 1)}).cid,
        lambda blobs: LEAF,
    ],
    ids=["empty", "another width", "a plain directory", "a leaf"],
)
def test_what_hangs_below_is_a_node_of_the_same_tree(below: Callable[[MemoryBlobs], Cid]) -> None:
    blobs = MemoryBlobs()
    blobs.put(LEAF, b"x")
    cid = put(blobs, [link(A, "", below(blobs))], data(1 << A))
    with pytest.raises(MalformedDag):
        read_directory(blobs, cid)
    with pytest.raises(MalformedDag):
        directory_entry(blobs, cid, "a")


def test_a_tree_deeper_than_its_hash_ends() -> None:
    blobs = MemoryBlobs()
    cid = put(blobs, [link(place_of("a", 7), "a")], data(1 << place_of("a", 7)))
    for level in range(6, -1, -1):
        cid = put(blobs, [link(place_of("a", level), "", cid)], data(1 << place_of("a", level)))
    assert read_directory(blobs, cid) == {"a": LEAF}  # eight levels: all the bits there are
    deeper = put(blobs, [link(A, "", cid)], data(1 << A))
    for _ in range(100):
        deeper = put(blobs, [link(A, "", deeper)], data(1 << A))
    counted = Counted(blobs)
    with pytest.raises(MalformedDag, match="deeper"):
        read_directory(counted, deeper)
    assert counted.gets <= 8


def test_one_node_repeated_is_not_walked_without_end() -> None:
    # Looks like a cycle: each node links 256 times to the one below, eight levels deep, 2^64 paths from nine blocks.
    blobs = MemoryBlobs()
    cid = put(blobs, [link(place, "a") for place in range(FANOUT)], data(2**FANOUT - 1))
    for _ in range(7):
        cid = put(blobs, [link(place, "", cid) for place in range(FANOUT)], data(2**FANOUT - 1))
    counted = Counted(blobs)
    with pytest.raises(MalformedDag, match="hash"):
        read_directory(counted, cid)
    assert counted.gets <= 8


def test_a_directory_of_a_million_entries_is_left_at_the_bound() -> None:
    # Only the nodes on the way to the first few exist: a reader that went on would say that the others are missing.
    blobs = MemoryBlobs()
    absent = Cid.of(DAG_PB, b"never stored")
    names: dict[int, str] = {}
    number = 0
    while len(names) < 40:
        name = f"document-{number}"
        names.setdefault(place_of(name), name)
        number += 1
    first = sorted(names)[:20]
    links = [
        link(place, names[place]) if place in first else link(place, "", absent)
        for place in range(FANOUT)
        if place in first or place > max(first)
    ]
    cid = put(blobs, links, data(sum(1 << int((one.name or "")[:2], 16) for one in links)))
    with pytest.raises(FileTooLarge, match="10"):
        read_directory(blobs, cid, entries_max=10)
    with pytest.raises(BlockNotFound):
        read_directory(blobs, cid)


@pytest.mark.slow
def test_a_real_directory_of_a_million_entries_is_left_at_the_bound() -> None:
    blobs = MemoryBlobs()
    cid = Cid.of(RAW, b"x")
    blobs.put(cid, b"x")
    leaf = Tree(cid, 1, 1)
    root = add_directory(blobs, {f"document-{number}": leaf for number in range(1_000_000)}).cid
    counted = Counted(blobs)
    with pytest.raises(FileTooLarge, match=str(ENTRIES_MAX)):
        read_directory(counted, root)
    assert counted.gets < ENTRIES_MAX  # a node for each few entries, and none after the bound
    assert sum(1 for _ in directory_entries(blobs, root, entries_max=1_000_000)) == 1_000_000


def test_a_large_plain_directory_is_left_at_the_bound() -> None:
    blobs = MemoryBlobs()
    cid = add_directory(blobs, {str(number): Tree(LEAF, 1, 1) for number in range(11)}).cid
    assert len(read_directory(blobs, cid, entries_max=11)) == 11
    with pytest.raises(FileTooLarge):
        read_directory(blobs, cid, entries_max=10)


def test_a_missing_node_is_an_error_and_no_shorter_listing() -> None:
    blobs = MemoryBlobs()
    cid = add_directory(blobs, {f"document-{number}": Tree(LEAF, 1, 1) for number in range(5000)}).cid
    node = next(other for other in blobs.cids() if other != cid)
    with pytest.raises(BlockNotFound):
        read_directory(Missing(blobs, [node]), cid)


def test_a_sharded_directory_is_no_file() -> None:
    blobs = MemoryBlobs()
    with pytest.raises(MalformedDag, match="directory"):
        read_file(blobs, put_right(blobs), bytes_max=100)
