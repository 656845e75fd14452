"""Sharded directories: whatever was built reads back, from the root or straight to one name."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import Cid
from storage.dagpb import Link, Node, field, node_from
from storage.errors import UnsupportedDag
from storage.memory import MemoryBlobs
from storage.unixfs import (
    V0_2015,
    V1_2025,
    Profile,
    Tree,
    add_directory,
    directory_entries,
    directory_entry,
    file_tree,
    read_directory,
)
from storage.unixfs.murmur import murmur3_x64_64
from storage.unixfs.shard import FANOUT
from tests.faults import Counted

SHARDS_ALL = {profile.name: replace(profile, directory_bytes_max=0) for profile in (V0_2015, V1_2025)}
# Anyone can make such names: the hash has an inverse, so a last block leads from any state to any other.
COLLIDING = ("coffer-directoryentry-number-one", 'pn5g2ennwvgeeaqt\x1f|O{\x02\x01OBP,\x16(j`i"')
names = st.text(min_size=1, max_size=12).filter(lambda name: name.isprintable() and not {"/", "\0"} & set(name))


def entries_of(count: int) -> dict[str, Tree]:
    return {f"document-{number}": file_tree(str(number).encode()) for number in range(count)}


@pytest.mark.parametrize(
    ("text", "hashed"),  # from the reference implementation's x64 variant of 128 bits, seed 0: its first half
    [
        (b"", 0),
        (b"hello", 0xCBD8A7B341BD9B02),
        (b"hello, world", 0x342FAC623A5EBC8E),
        (b"19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC),
        (b"The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9),
    ],
)
def test_the_hash_is_the_reference_one(text: bytes, hashed: int) -> None:
    assert murmur3_x64_64(text) == hashed


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(SHARDS_ALL)), st.sets(names.filter(lambda name: name not in (".", "..")), max_size=40))
def test_a_sharded_directory_comes_back(profile: str, chosen: set[str]) -> None:
    blobs = MemoryBlobs()
    entries = {name: file_tree(name.encode(), profile=SHARDS_ALL[profile]) for name in chosen}
    tree = add_directory(blobs, entries, profile=SHARDS_ALL[profile])
    assert read_directory(blobs, tree.cid) == {name: entry.cid for name, entry in entries.items()}
    assert all(directory_entry(blobs, tree.cid, name) == entries[name].cid for name in entries)


@pytest.mark.parametrize("profile", SHARDS_ALL.values(), ids=SHARDS_ALL)
def test_the_order_of_entries_changes_nothing(profile: Profile) -> None:
    entries = list(entries_of(3000).items())
    expected = add_directory(MemoryBlobs(), dict(entries), profile=profile)
    random.Random(7).shuffle(entries)  # noqa: S311 - an order, not a secret
    assert add_directory(MemoryBlobs(), dict(entries), profile=profile) == expected


def test_tree_bytes_count_every_node_once() -> None:
    blobs = MemoryBlobs()
    entries = entries_of(2000)
    tree = add_directory(blobs, entries, profile=SHARDS_ALL["unixfs-v1-2025"])
    nodes = sum(len(blobs.get(cid)) for cid in blobs.cids())
    assert tree.tree_bytes == nodes + sum(entry.tree_bytes for entry in entries.values())
    assert tree.file_bytes == sum(entry.file_bytes for entry in entries.values())


def test_one_name_is_found_without_reading_the_rest() -> None:
    blobs = Counted(MemoryBlobs())
    entries = entries_of(20_000)
    cid = add_directory(blobs, entries).cid
    assert directory_entry(blobs, cid, "document-777") == entries["document-777"].cid
    assert blobs.gets <= 4
    assert directory_entry(blobs, cid, "document-20000") is None
    assert directory_entry(blobs, cid, "..") is None
    assert blobs.gets <= 8


def test_a_plain_directory_finds_a_name_too() -> None:
    blobs = MemoryBlobs()
    entries = entries_of(3)
    cid = add_directory(blobs, entries).cid
    assert directory_entry(blobs, cid, "document-1") == entries["document-1"].cid
    assert directory_entry(blobs, cid, "document-3") is None


def test_entries_come_one_by_one() -> None:
    blobs = Counted(MemoryBlobs())
    cid = add_directory(blobs, entries_of(20_000)).cid
    next(directory_entries(blobs, cid))
    assert blobs.gets <= 3


@pytest.mark.parametrize("fanout", [8, 16, 1024])
def test_other_widths_are_read(fanout: int) -> None:
    blobs = MemoryBlobs()
    level_bits, chars = fanout.bit_length() - 1, len(f"{fanout - 1:X}")
    hashed = {name: murmur3_x64_64(name.encode()) >> (64 - level_bits) for name in ("a", "b", "c", "d")}
    places = {place: name for name, place in hashed.items()}
    leaf = file_tree(b"x").cid
    links = tuple(Link(cid=leaf, name=f"{place:0{chars}X}{name}") for place, name in sorted(places.items()))
    bits = sum(1 << place for place in places).to_bytes(fanout // 8, "big")  # with the zeros that some writers keep
    block = Node(links, field(1, 5) + field(2, bits) + field(5, 0x22) + field(6, fanout)).encoded()
    cid = Cid.of(0x70, block)
    blobs.put(cid, block)
    assert read_directory(blobs, cid) == dict.fromkeys(sorted(places.values()), leaf)


def test_names_of_one_hash_are_refused_when_it_is_built() -> None:
    first, second = COLLIDING
    assert murmur3_x64_64(first.encode()) == murmur3_x64_64(second.encode())
    with pytest.raises(UnsupportedDag, match="equal"):
        add_directory(
            MemoryBlobs(), dict.fromkeys((first, second), file_tree(b"x")), profile=SHARDS_ALL["unixfs-v1-2025"]
        )


def test_the_fanout_is_the_profiles_one() -> None:
    blobs = MemoryBlobs()
    cid = add_directory(blobs, entries_of(5000)).cid
    assert len(node_from(blobs.get(cid)).links) == FANOUT
