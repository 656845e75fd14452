"""Trees of blocks back into files, with every size in the tree checked and every walk bounded.

`Blobs.get` returns only blocks that have the right hash, so a tree cannot contain itself; but whoever made it chose its
shape, and may have made it deep, or so wide by repeating one block that no walk of it would end.
"""

from collections.abc import Iterator
from typing import Final

from storage.cid import DAG_PB, RAW, Cid
from storage.dagpb import Link, node_from
from storage.errors import FileTooLarge, MalformedDag, UnsupportedDag
from storage.model import Blobs
from storage.unixfs.entry import FileEntry, file_from

DEPTH_MAX: Final = 8  # of nodes above a leaf; 174 links and 256 KiB chunks reach 10^17 bytes with seven
BLOCKS_FREE: Final = 1024  # blocks that any file may have
BLOCK_BYTES_MIN: Final = 4096  # on average, beyond the free ones: bounds the walk by the size of the file


def read_file(blobs: Blobs, cid: Cid, *, bytes_max: int) -> bytes:
    """Return a whole file; see `read_stream`."""
    return b"".join(read_stream(blobs, cid, bytes_max=bytes_max))


def read_stream(blobs: Blobs, cid: Cid, *, bytes_max: int) -> Iterator[bytes]:
    """Yield a file's bytes in order, leaf by leaf, each once its length is what its parent said.

    `Tsize` is not compared: it counts blocks rather than the file's bytes, and nothing here uses it.

    Args:
        bytes_max: of the file; what it claims is compared before its first byte is yielded.
    Raises: FileTooLarge: over `bytes_max`; MalformedDag: wrong sizes, too deep, cut too finely, not a file;
        UnsupportedDag: a shape that is not built here; and whatever `Blobs.get` raises.
    """
    return (data for _, _, data in _walk(blobs, cid, bytes_max) if data is not None)


def file_blocks(blobs: Blobs, cid: Cid, *, bytes_max: int) -> Iterator[tuple[Cid, bytes]]:
    """Yield every block of a file's tree, the root first, with the checks and bounds of `read_stream`."""
    return ((child, block) for child, block, _ in _walk(blobs, cid, bytes_max))


def way_to(blobs: Blobs, cid: Cid, offset: int, *, bytes_max: int) -> Iterator[Cid]:
    """Fetch the blocks on the way from a file's root to the byte at `offset`, and yield the CID of each.

    Raises: as `read_stream`; MalformedDag: the file ends before `offset`.
    """
    expected: int | None = None
    for depth in range(DEPTH_MAX + 1):
        links, entry, length = _part(blobs.get(cid), cid)
        if expected is None and length > bytes_max:
            raise FileTooLarge(f"file {cid} has {length} bytes and {bytes_max} were allowed; allow more")
        if expected not in (None, length) or not 0 <= offset < length:
            raise MalformedDag(f"block {cid} has {length} bytes of the file, other than its parent or its owner said")
        yield cid
        if not links:
            return
        if depth == DEPTH_MAX:
            break
        for link, expected in zip(links, entry.child_bytes, strict=True):
            cid = link.cid
            if offset < expected:
                break
            offset -= expected
    raise MalformedDag(f"a file is more than {DEPTH_MAX} levels deep")


def _walk(blobs: Blobs, cid: Cid, bytes_max: int) -> Iterator[tuple[Cid, bytes, bytes | None]]:
    """Yield each block in order, with the file's bytes where it is a leaf."""
    blocks_left: int | None = None
    ahead: list[tuple[Cid, int | None, int]] = [(cid, None, 0)]  # CID, length that the parent gives, depth
    while ahead:
        child, expected, depth = ahead.pop()
        block = blobs.get(child)
        links, entry, length = _part(block, child)
        if blocks_left is None:
            if length > bytes_max:
                raise FileTooLarge(f"file {cid} has {length} bytes and {bytes_max} were allowed; allow more")
            blocks_left = BLOCKS_FREE + length // BLOCK_BYTES_MIN
        blocks_left -= 1
        if expected is not None and length != expected:
            raise MalformedDag(f"block {child} has {length} bytes of the file, and its parent said {expected}")
        if not links:
            yield child, block, entry.data or b""
            continue
        yield child, block, None
        if depth == DEPTH_MAX:
            raise MalformedDag(f"file {cid} is more than {DEPTH_MAX} levels deep")
        if len(ahead) + len(links) > blocks_left:
            raise MalformedDag(f"file {cid} is cut into more blocks than its length accounts for")
        ahead.extend(
            (link.cid, size, depth + 1) for link, size in zip(reversed(links), reversed(entry.child_bytes), strict=True)
        )


def _part(block: bytes, cid: Cid) -> tuple[tuple[Link, ...], FileEntry, int]:
    """Return a block's children, its place in the file, and how many bytes of the file it accounts for."""
    if cid.codec == RAW:
        return (), FileEntry(block, len(block)), len(block)
    if cid.codec != DAG_PB:
        raise MalformedDag(f"block {cid} is neither raw nor dag-pb, so it is no part of a file")
    node = node_from(block)
    entry = file_from(node.data)
    length = sum(entry.child_bytes) if node.links else len(entry.data or b"")
    if node.links and entry.data:
        raise UnsupportedDag(f"node {cid} has both data and children; store the file as a balanced tree")
    if len(entry.child_bytes) != len(node.links):
        raise MalformedDag(f"node {cid} gives {len(entry.child_bytes)} sizes for {len(node.links)} children")
    if 0 in entry.child_bytes:
        raise MalformedDag(f"node {cid} has a child without bytes")
    if entry.file_bytes != length and (node.links or entry.file_bytes is not None):
        raise MalformedDag(f"node {cid} claims {entry.file_bytes} bytes of the file and holds {length}")
    return node.links, entry, length
