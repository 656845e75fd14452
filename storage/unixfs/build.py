"""Files into trees of blocks: cut into chunks, linked into the balanced tree that Kubo builds."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from storage.cid import DAG_PB, RAW, Cid
from storage.dagpb import Link, Node
from storage.model import Blobs
from storage.unixfs.entry import FileEntry
from storage.unixfs.profile import V1_2025, Profile

FileData = bytes | bytearray | memoryview | BinaryIO
Put = Callable[[Cid, bytes], object]


@dataclass(frozen=True, slots=True)
class Tree:
    """The root of what was built: bytes of the file, and bytes of all its blocks together."""

    cid: Cid
    file_bytes: int
    tree_bytes: int


def add_file(blobs: Blobs, data: FileData, *, profile: Profile = V1_2025) -> Cid:
    """Store a file and return its CID; see `add_tree`."""
    return add_tree(blobs, data, profile=profile).cid


def add_tree(blobs: Blobs, data: FileData, *, profile: Profile = V1_2025) -> Tree:
    """Store a file, children before parents, so that a root which is there has all below it.

    Args:
        data: bytes, or a stream read to its end; about two chunks are in memory at a time.
    Raises: StorageFull, StorageUnavailable: some blocks may be stored already; storing again is harmless.
    """
    return _built(data, profile, blobs.put)


def file_cid(data: FileData, *, profile: Profile = V1_2025) -> Cid:
    """Return the CID that `add_file` would, storing nothing."""
    return _built(data, profile, None).cid


def file_tree(data: FileData, *, profile: Profile = V1_2025) -> Tree:
    """Return the tree that `add_tree` would, storing nothing."""
    return _built(data, profile, None)


def _built(data: FileData, profile: Profile, put: Put | None) -> Tree:
    """Build level by level: each full row of children gets a parent on the next level.

    `levels[n]` holds the children that wait for a parent at height n, at most `links_max`.
    """
    levels: list[list[Tree]] = [[]]
    for chunk in _chunks(data, profile.chunk_bytes):
        _place(levels, 0, _leaf(chunk, profile, put), profile, put)
    height = 0
    while height < len(levels) - 1 or len(levels[height]) > 1:
        if levels[height]:
            row, levels[height] = levels[height], []
            _place(levels, height + 1, _parent(row, profile, put), profile, put)
        height += 1
    return levels[height][0]


def _place(levels: list[list[Tree]], height: int, tree: Tree, profile: Profile, put: Put | None) -> None:
    if height == len(levels):
        levels.append([])
    if len(levels[height]) == profile.links_max:
        row, levels[height] = levels[height], []
        _place(levels, height + 1, _parent(row, profile, put), profile, put)
    levels[height].append(tree)


def _leaf(chunk: bytes | memoryview, profile: Profile, put: Put | None) -> Tree:
    if profile.is_v0:
        entry = FileEntry(bytes(chunk) or None, len(chunk))  # an empty file has no data field at all
        return _stored(Node((), entry.encoded()), len(chunk), 0, put)
    cid = Cid.of(RAW, chunk)
    if put is not None:
        put(cid, bytes(chunk))
    return Tree(cid, len(chunk), len(chunk))


def _parent(children: list[Tree], profile: Profile, put: Put | None) -> Tree:
    links = tuple(Link(cid=child.cid, tree_bytes=child.tree_bytes, is_v0=profile.is_v0) for child in children)
    file_bytes = sum(child.file_bytes for child in children)
    entry = FileEntry(None, file_bytes, tuple(child.file_bytes for child in children))
    return _stored(Node(links, entry.encoded()), file_bytes, sum(child.tree_bytes for child in children), put)


def _stored(node: Node, file_bytes: int, below_bytes: int, put: Put | None) -> Tree:
    block = node.encoded()
    cid = Cid.of(DAG_PB, block)
    if put is not None:
        put(cid, block)
    return Tree(cid, file_bytes, len(block) + below_bytes)


def _chunks(data: FileData, chunk_bytes: int) -> Iterator[bytes | memoryview]:
    """Yield the pieces of `data`, all of `chunk_bytes` but the last; one empty piece for empty data."""
    if isinstance(data, bytes | bytearray | memoryview):
        view = memoryview(data).cast("B")
        for start in range(0, max(1, len(view)), chunk_bytes):
            yield view[start : start + chunk_bytes]
        return
    chunk = _read_full(data, chunk_bytes)
    yield chunk
    while len(chunk) == chunk_bytes and (chunk := _read_full(data, chunk_bytes)):
        yield chunk


def _read_full(stream: BinaryIO, length: int) -> bytes:
    """Read until `length` bytes or the end: a stream may return less than it was asked for."""
    part = stream.read(length)
    if not part or len(part) == length:
        return part
    out = io.BytesIO()
    while part:
        out.write(part)
        part = stream.read(length - out.tell()) if out.tell() < length else b""
    return out.getvalue()
