"""Plain directories: one block of named links, up to the size at which other tools begin to shard."""

from collections.abc import Mapping
from itertools import pairwise

from storage.cid import DAG_PB, Cid
from storage.dagpb import Link, Node, node_from
from storage.errors import MalformedDag, UnsupportedDag
from storage.model import Blobs
from storage.unixfs.build import Tree
from storage.unixfs.entry import DIRECTORY, DIRECTORY_DATA, kind_of
from storage.unixfs.profile import V1_2025, Profile


def add_directory(blobs: Blobs, entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Tree:
    """Store a directory of trees that are stored already.

    Raises: UnsupportedDag: so large that the profile shards it; StorageFull; StorageUnavailable.
    """
    block = _block(entries, profile)
    tree = _tree(block, entries)
    blobs.put(tree.cid, block)
    return tree


def directory_tree(entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Tree:
    """Return the tree that `add_directory` would, storing nothing."""
    return _tree(_block(entries, profile), entries)


def directory_cid(entries: Mapping[str, Tree], *, profile: Profile = V1_2025) -> Cid:
    """Return the CID that `add_directory` would, storing nothing."""
    return directory_tree(entries, profile=profile).cid


def read_directory(blobs: Blobs, cid: Cid) -> dict[str, Cid]:
    """Return what a plain directory names, sorted by name; the children are not fetched.

    Raises: MalformedDag: not a directory, a name that is not one, twice or out of order; UnsupportedDag: sharded.
    """
    if cid.codec != DAG_PB:
        raise MalformedDag(f"block {cid} is not dag-pb, so it is no directory")
    node = node_from(blobs.get(cid))
    if kind_of(node.data) != DIRECTORY:
        raise MalformedDag(f"{cid} is a file; read it as one")
    if node.data != DIRECTORY_DATA:
        raise MalformedDag(f"directory {cid} says more of itself than that it is one")
    names = [link.name or "" for link in node.links]
    if not all(_is_name(name) for name in names):
        raise MalformedDag(f"directory {cid} has an entry whose name is empty, a dot or two, or has a slash or a NUL")
    if any(first.encode() >= second.encode() for first, second in pairwise(names)):
        raise MalformedDag(f"directory {cid} has a name twice, or out of order")
    return {name: link.cid for name, link in zip(names, node.links, strict=True)}


def _tree(block: bytes, entries: Mapping[str, Tree]) -> Tree:
    return Tree(
        Cid.of(DAG_PB, block),
        sum(entry.file_bytes for entry in entries.values()),
        len(block) + sum(entry.tree_bytes for entry in entries.values()),
    )


def _block(entries: Mapping[str, Tree], profile: Profile) -> bytes:
    for name in entries:
        if not _is_name(name):
            raise ValueError("a name is not empty, a dot or two, and has neither slash nor NUL")
    links = tuple(
        Link(
            cid=entry.cid,
            name=name,
            tree_bytes=entry.tree_bytes,
            is_v0=profile.is_v0 and entry.cid.codec == DAG_PB,
        )
        for name, entry in sorted(entries.items(), key=lambda item: item[0].encode())
    )
    block = Node(links, DIRECTORY_DATA).encoded()
    if profile.directory_estimate == "block":
        estimate = len(block)
    else:
        estimate = sum(len((link.name or "").encode()) + link.cid_bytes for link in links)
    if estimate > profile.directory_bytes_max:
        raise UnsupportedDag(
            f"a sharded (HAMT) directory is not built here, and {profile.name} shards one of {len(entries)} entries; "
            "split it into smaller directories"
        )
    return block


def _is_name(name: str) -> bool:
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name
