"""Directories: one block of named links, or a tree of them once the profile says that one is too large."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from storage.cid import DAG_PB, Cid
from storage.dagpb import Link, Node, node_from
from storage.errors import FileTooLarge, MalformedDag
from storage.model import Blobs
from storage.unixfs.build import Put, Tree
from storage.unixfs.entry import DIRECTORY, DIRECTORY_DATA, SHARD, kind_of
from storage.unixfs.profile import V1_2025, Profile
from storage.unixfs.shard import sharded, sharded_entries, sharded_entry

ENTRIES_MAX: Final = 2**18  # of a directory, unless a reader allows more


def add_directory(blobs: Blobs, entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Tree:
    """Store a directory of trees that are stored already.

    Raises: StorageFull; StorageUnavailable; UnsupportedDag: names that no sharded directory can hold together.
    """
    return _built(entries, profile, blobs.put)


def directory_tree(entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Tree:
    """Return the tree that `add_directory` would, storing nothing."""
    return _built(entries, profile, _forget)


def directory_cid(entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Cid:
    """Return the CID that `add_directory` would, storing nothing."""
    return directory_tree(entries, profile=profile).cid


def read_directory(blobs: Blobs, cid: Cid, *, entries_max: int = ENTRIES_MAX) -> dict[str, Cid]:
    """Return what a directory names, sorted by name; see `directory_entries`."""
    read = directory_entries(blobs, cid, entries_max=entries_max)
    return dict(sorted(read, key=lambda item: item[0].encode()))


def directory_entries(blobs: Blobs, cid: Cid, *, entries_max: int = ENTRIES_MAX) -> Iterator[tuple[str, Cid]]:
    """Yield what a directory names, one node in memory for each level; the entries' own blocks are not fetched.

    No name comes twice: a plain directory is in order, and a sharded one has one place for each name.
    Raises: MalformedDag: not a directory, a name that is not one, entries out of their place; FileTooLarge: over
        `entries_max`; UnsupportedDag; and whatever `Blobs.get` raises.
    """
    node, block = _directory_node(blobs, cid)
    if kind_of(node.data) == DIRECTORY:
        pairs = iter(_plain_entries(cid, node))
        if len(node.links) > entries_max:
            raise FileTooLarge(f"directory {cid} has over {entries_max} entries; allow more")
    else:
        pairs = sharded_entries(blobs, cid, block, entries_max=entries_max)
    for name, child in pairs:
        if not _is_name(name):
            raise MalformedDag(
                f"directory {cid} has an entry whose name is empty, a dot or two, or has a slash or a NUL"
            )
        yield name, child


def directory_entry(blobs: Blobs, cid: Cid, name: str) -> Cid | None:
    """Return the entry of that name, or None, fetching only the nodes on the way to it. Raises: as above."""
    node, block = _directory_node(blobs, cid)
    if kind_of(node.data) == DIRECTORY:
        return dict(_plain_entries(cid, node)).get(name)
    return sharded_entry(blobs, cid, block, name) if _is_name(name) else None


def _directory_node(blobs: Blobs, cid: Cid) -> tuple[Node, bytes]:
    if cid.codec != DAG_PB:
        raise MalformedDag(f"block {cid} is not dag-pb, so it is no directory")
    block = blobs.get(cid)
    node = node_from(block)
    if kind_of(node.data) not in (DIRECTORY, SHARD):
        raise MalformedDag(f"{cid} is a file; read it as one")
    return node, block


def _plain_entries(cid: Cid, node: Node) -> list[tuple[str, Cid]]:
    if node.data != DIRECTORY_DATA:
        raise MalformedDag(f"directory {cid} says more of itself than that it is one")
    names = [link.name or "" for link in node.links]
    if any(first.encode() >= second.encode() for first, second in pairwise(names)):
        raise MalformedDag(f"directory {cid} has a name twice, or out of order")
    return [(name, link.cid) for name, link in zip(names, node.links, strict=True)]


def _built(entries: Mapping[str, Tree], profile: Profile, put: Put) -> Tree:
    for name in entries:
        if not _is_name(name):
            raise ValueError("a name is not empty, a dot or two, and has neither slash nor NUL")
    links = tuple(
        _link(name, tree, profile) for name, tree in sorted(entries.items(), key=lambda item: item[0].encode())
    )
    block = Node(links, DIRECTORY_DATA).encoded()
    if _estimate(links, block, profile) > profile.directory_bytes_max:
        cid, node_bytes = sharded(links, is_v0=profile.is_v0, put=put)
    else:
        cid, node_bytes = Cid.of(DAG_PB, block), len(block)
        put(cid, block)
    trees = entries.values()
    return Tree(cid, sum(tree.file_bytes for tree in trees), node_bytes + sum(tree.tree_bytes for tree in trees))


def _link(name: str, tree: Tree, profile: Profile) -> Link:
    is_v0 = profile.is_v0 and tree.cid.codec == DAG_PB
    return Link(cid=tree.cid, name=name, tree_bytes=tree.tree_bytes, is_v0=is_v0)


def _estimate(links: tuple[Link, ...], block: bytes, profile: Profile) -> int:
    """Return a plain directory's size, as the profile reckons it. Source: IPIP-499."""
    if profile.directory_estimate == "block":
        return len(block)
    return sum(len((link.name or "").encode()) + link.cid_bytes for link in links)


def _forget(cid: Cid, block: bytes) -> None:
    """Store nothing."""


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
