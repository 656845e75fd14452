"""Sharded directories: a tree of nodes in which the hash of a name says where its entry hangs (HAMT).

Source: the UnixFS specification, `dag-pb HAMTDirectory`. Each level takes the next bits of a name's hash, the highest
first; a link is named by its place among the node's children in hexadecimal, then by the entry's name if it is one.
A tree has one shape for one set of names, whatever order they came in.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from storage.cid import DAG_PB, Cid
from storage.dagpb import Link, Node, field, fields, node_from
from storage.errors import FileTooLarge, MalformedDag, UnsupportedDag
from storage.model import Blobs
from storage.unixfs.build import Put
from storage.unixfs.entry import SHARD
from storage.unixfs.murmur import HASH_BITS, murmur3_x64_64

FANOUT: Final = 256  # children of a node, as both profiles have it
FANOUT_MAX: Final = 1024  # UnixFS specification: readers refuse more
MURMUR3: Final = 0x22  # multihash code of murmur3-x64-64


@dataclass(frozen=True, slots=True)
class _Shard:
    """A node as it was read: its children by place, and how many bits of a hash each level takes."""

    children: tuple[tuple[int, Link], ...]
    prefix_chars: int
    level_bits: int


def sharded(links: Sequence[Link], *, is_v0: bool, put: Put) -> tuple[Cid, int]:
    """Return a sharded directory's CID, and how many bytes its nodes have, without its entries.

    Args:
        links: the entries, named, no name twice.
        put: takes each node, children before parents.
    Raises: UnsupportedDag: names whose hashes are equal, so that no depth tells them apart.
    """
    hashed = [(murmur3_x64_64((link.name or "").encode()), link) for link in links]
    cid, _, node_bytes = _built(hashed, 0, is_v0, put)
    return cid, node_bytes


def sharded_entries(blobs: Blobs, cid: Cid, block: bytes, *, entries_max: int) -> Iterator[tuple[str, Cid]]:
    """Yield the entries of the directory whose root is `block`, in the order of their hashes.

    The walk is bounded by `entries_max`: no node is empty, none is deeper than the hash has bits, and the first entry
    below a node that hangs in the wrong place ends it.
    Raises: MalformedDag: an entry is not where its hash says, or a node is empty or not canonical; FileTooLarge: over
        `entries_max`; UnsupportedDag: another hash function; and whatever `Blobs.get` raises.
    """
    root = _shard_from(cid, block)
    ahead = [(link, child, root.level_bits) for child, link in reversed(root.children)]
    entries = 0
    while ahead:
        link, path, bits = ahead.pop()
        name = _entry_name(link, root)
        if name:
            entries += 1
            if entries > entries_max:
                raise FileTooLarge(f"directory {cid} has over {entries_max} entries; allow more")
            if murmur3_x64_64(name.encode()) >> (HASH_BITS - bits) != path:
                raise MalformedDag(f"directory {cid} has an entry that is not where its hash says")
            yield name, link.cid
            continue
        ahead.extend(
            (below, path << root.level_bits | child, bits + root.level_bits)
            for child, below in reversed(_below(blobs, link, root, bits))
        )


def sharded_entry(blobs: Blobs, cid: Cid, block: bytes, name: str) -> Cid | None:
    """Return the entry of that name, or None, fetching only the nodes on the way to it.

    Raises: MalformedDag, UnsupportedDag, and whatever `Blobs.get` raises.
    """
    root = _shard_from(cid, block)
    hashed, bits, children = murmur3_x64_64(name.encode()), root.level_bits, root.children
    while True:
        place = hashed >> (HASH_BITS - bits) & (1 << root.level_bits) - 1
        link = next((link for child, link in children if child == place), None)
        if link is None:
            return None
        found = _entry_name(link, root)
        if found:
            return link.cid if found == name else None
        children = _below(blobs, link, root, bits)
        bits += root.level_bits


def _built(hashed: list[tuple[int, Link]], depth: int, is_v0: bool, put: Put) -> tuple[Cid, int, int]:
    """Return a node's CID, the bytes of all below and in it, and those of its nodes alone."""
    level_bits = FANOUT.bit_length() - 1
    shift = HASH_BITS - level_bits * (depth + 1)
    if shift < 0:
        raise UnsupportedDag(f"the hashes of {len(hashed)} names are equal, so no sharded directory holds them all")
    places: dict[int, list[tuple[int, Link]]] = {}
    for item in hashed:
        places.setdefault(item[0] >> shift & FANOUT - 1, []).append(item)
    links, node_bytes = [], 0
    for place, items in sorted(places.items()):
        if len(items) == 1:
            entry = items[0][1]
            links.append(replace(entry, name=f"{place:02X}{entry.name}"))
            continue
        cid, below_bytes, below_node_bytes = _built(items, depth + 1, is_v0, put)
        node_bytes += below_node_bytes
        links.append(Link(cid=cid, name=f"{place:02X}", tree_bytes=below_bytes, is_v0=is_v0))
    block = Node(tuple(links), _data(sum(1 << place for place in places), FANOUT)).encoded()
    cid = Cid.of(DAG_PB, block)
    put(cid, block)
    return cid, len(block) + sum(link.tree_bytes or 0 for link in links), node_bytes + len(block)


def _below(blobs: Blobs, link: Link, root: _Shard, bits: int) -> tuple[tuple[int, Link], ...]:
    """Return the children of the node that `link` leads to, where a hash has bits left for them."""
    if bits + root.level_bits > HASH_BITS:
        raise MalformedDag(f"node {link.cid} is deeper in its directory than a hash has bits")
    shard = _shard_from(link.cid, blobs.get(link.cid))
    if shard.level_bits != root.level_bits or not shard.children:
        raise MalformedDag(f"node {link.cid} of a sharded directory is empty, or of another width than the root")
    return shard.children


def _shard_from(cid: Cid, block: bytes) -> _Shard:
    if cid.codec != DAG_PB:
        raise MalformedDag(f"block {cid} is not dag-pb, so it is no directory")
    node = node_from(block)
    places, fanout = _places_from(cid, node.data or b"")
    prefix_chars = len(f"{fanout - 1:X}")
    names = [link.name or "" for link in node.links]
    if [name[:prefix_chars] for name in names] != [f"{place:0{prefix_chars}X}" for place in places]:
        raise MalformedDag(f"node {cid} has other children than its bits say, or names them otherwise")
    return _Shard(tuple(zip(places, node.links, strict=True)), prefix_chars, fanout.bit_length() - 1)


def _places_from(cid: Cid, data: bytes) -> tuple[list[int], int]:
    """Return which children a node's data says there are, and of how many."""
    try:
        values = dict(fields(data))
    except ValueError as error:
        raise MalformedDag(f"a node's data is not UnixFS: {error}") from error
    bits, hash_code, fanout = values.get(2, b""), values.get(5), values.get(6)
    if not isinstance(bits, bytes) or not isinstance(hash_code, int) or not isinstance(fanout, int):
        raise MalformedDag(f"node {cid} does not say how its directory is sharded")
    if hash_code != MURMUR3:
        raise UnsupportedDag(f"directory {cid} is sharded by hash {hash_code:#x}; only murmur3-x64-64 is built here")
    if not 8 <= fanout <= FANOUT_MAX or fanout & (fanout - 1):
        raise MalformedDag(f"node {cid} has room for {fanout} children; it is a power of two from 8 to {FANOUT_MAX}")
    # Some writers keep the zero bytes in front of the bits, so both spellings are read.
    number = int.from_bytes(bits, "big")
    if len(bits) > fanout // 8 or data not in (_data(number, fanout), _data(number, fanout, len(bits))):
        raise MalformedDag(f"node {cid} says more of itself than how its directory is sharded")
    return [place for place in range(fanout) if number >> place & 1], fanout


def _data(bits: int, fanout: int, length: int | None = None) -> bytes:
    """Return a node's data; `length` of the bits in bytes, as few as hold them unless given."""
    shortest = (bits.bit_length() + 7) // 8
    spelled = bits.to_bytes(shortest if length is None else length, "big")
    return field(1, SHARD) + field(2, spelled) + field(5, MURMUR3) + field(6, fanout)


def _entry_name(link: Link, root: _Shard) -> str:
    """Return the name of the entry that a link leads to; empty where it leads to a node."""
    return (link.name or "")[root.prefix_chars :]
