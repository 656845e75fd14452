"""CARv1 archives: a folder of blocks in one stream, read from anyone and believed block by block.

Source: the CARv1 specification (ipld/specs). The header is one fixed shape of canonical DAG-CBOR,
`{"roots": [CID, ...], "version": 1}`, so it is written and compared byte for byte rather than parsed.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Final

from storage import varint
from storage.cid import CID_BYTES, Cid
from storage.errors import BlockTooLarge, FileTooLarge, InvalidCid, MalformedCar
from storage.model import BLOCK_BYTES_MAX, verified

ROOTS_MAX: Final = 1024

_ROOTS_KEY = b"\xa2\x65roots"  # a map of two; keys ordered by length, then bytes
_VERSION_KEY = b"\x67version\x01"
_LINK = b"\xd8\x2a\x58\x25\x00"  # tag 42, then a byte string of 37: a zero byte and the CID (DAG-CBOR, Links)
_LINK_BYTES = len(_LINK) + CID_BYTES
HEADER_BYTES_MAX: Final = len(_ROOTS_KEY) + 3 + ROOTS_MAX * _LINK_BYTES + len(_VERSION_KEY)


def write_car(stream: BinaryIO, roots: Sequence[Cid], blocks: Iterable[tuple[Cid, bytes]]) -> None:
    """Write an archive; `blocks` should come checked, as `Blobs.get` returns them.

    Args:
        roots: at most `ROOTS_MAX`; an archive of loose blocks has none.
    Raises: BlockTooLarge.
    """
    if len(roots) > ROOTS_MAX:
        raise ValueError(f"an archive has at most {ROOTS_MAX} roots, not {len(roots)}")
    header = _header(roots)
    stream.write(varint.encoded(len(header)) + header)
    for cid, block in blocks:
        if len(block) > BLOCK_BYTES_MAX:
            raise BlockTooLarge(f"block {cid} has more than {BLOCK_BYTES_MAX} bytes; cut it into smaller ones")
        stream.write(varint.encoded(CID_BYTES + len(block)) + cid.binary)
        stream.write(block)


def header_bytes(roots: int) -> int:
    """Return how long an archive of so many roots is before its first block."""
    length = len(_ROOTS_KEY) + len(_array_head(roots)) + roots * _LINK_BYTES + len(_VERSION_KEY)
    return len(varint.encoded(length)) + length


def section_bytes(block_bytes: int) -> int:
    """Return how much longer a block makes an archive."""
    return len(varint.encoded(CID_BYTES + block_bytes)) + CID_BYTES + block_bytes


def read_car(
    stream: BinaryIO, *, blocks_max: int, bytes_max: int
) -> tuple[tuple[Cid, ...], Iterator[tuple[Cid, bytes]]]:
    """Return an archive's roots, and its blocks as they are read, each checked against its CID.

    The roots are the maker's claim: whether their blocks are in the archive is for the caller to see.

    Args:
        blocks_max: blocks allowed in all.
        bytes_max: bytes of blocks allowed in all.
    Raises: MalformedCar, BlockMismatch, BlockTooLarge; FileTooLarge: over `blocks_max` or `bytes_max`. Those about
        blocks are raised by the iterator.
    """
    length = _read_length(stream)
    if length is None:
        raise MalformedCar("the archive is empty; it has not even a header")
    if length > HEADER_BYTES_MAX:
        raise MalformedCar(f"the header claims {length} bytes; {HEADER_BYTES_MAX} are enough for {ROOTS_MAX} roots")
    roots = _roots_from(_read_exactly(stream, length))
    return roots, _read_blocks(stream, blocks_max=blocks_max, bytes_max=bytes_max)


def _read_blocks(stream: BinaryIO, *, blocks_max: int, bytes_max: int) -> Iterator[tuple[Cid, bytes]]:
    blocks = bytes_read = 0
    while (length := _read_length(stream)) is not None:
        if length < CID_BYTES:
            raise MalformedCar(f"a section of {length} bytes has no room for a CID")
        if length > CID_BYTES + BLOCK_BYTES_MAX:
            raise BlockTooLarge(f"the archive has a section of {length} bytes; a block has at most {BLOCK_BYTES_MAX}")
        blocks += 1
        bytes_read += length - CID_BYTES
        if blocks > blocks_max or bytes_read > bytes_max:
            raise FileTooLarge(f"the archive holds more than {blocks_max} blocks or {bytes_max} bytes; allow more")
        section = _read_exactly(stream, length)
        try:
            cid = Cid(section[:CID_BYTES])
        except InvalidCid as error:
            raise MalformedCar(f"block {blocks} of the archive is under a CID that is not accepted: {error}") from error
        yield cid, verified(cid, section[CID_BYTES:], place="archive")


def _header(roots: Sequence[Cid]) -> bytes:
    links = b"".join(_LINK + root.binary for root in roots)
    return _ROOTS_KEY + _array_head(len(roots)) + links + _VERSION_KEY


def _array_head(count: int) -> bytes:
    """Return the canonical head of a CBOR array (RFC 8949, section 3), for up to `ROOTS_MAX` items."""
    if count < 24:
        return bytes((0x80 | count,))
    return bytes((0x98, count)) if count < 256 else b"\x99" + struct.pack(">H", count)


def _roots_from(header: bytes) -> tuple[Cid, ...]:
    """Read the CIDs from where they must be, then compare the whole header with the one that they make."""
    links = header[: -len(_VERSION_KEY)]
    count = len(links) // _LINK_BYTES
    try:
        roots = tuple(
            Cid(links[end - CID_BYTES : end])
            for end in range(len(links) - (count - 1) * _LINK_BYTES, len(links) + 1, _LINK_BYTES)
        )
    except InvalidCid as error:
        raise MalformedCar(f"a root of the archive is not accepted: {error}") from error
    if len(roots) > ROOTS_MAX or _header(roots) != header:
        raise MalformedCar("the archive does not begin with a canonical CARv1 header; export it again as CARv1")
    return roots


def _read_length(stream: BinaryIO) -> int | None:
    """Return the next varint, or None where the stream ends before it."""
    head = b""
    while len(head) < varint.VARINT_BYTES_MAX:
        byte = stream.read(1)
        head += byte
        if not byte or byte[0] < 0x80:
            break
    if not head:
        return None
    try:
        return varint.decoded(head, 0)[0]
    except ValueError as error:
        raise MalformedCar(f"a length in the archive is not a varint: {error}") from error


def _read_exactly(stream: BinaryIO, length: int) -> bytes:
    parts = []
    while length:
        part = stream.read(length)
        if not part:
            raise MalformedCar(f"the archive ends {length} bytes too early; fetch it again")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
