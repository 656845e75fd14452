"""Blocks out of the pieces that they were packed into: one at a time, by its place in the piece.

A list says which blocks a piece holds, in order, and how long each is; where they lie follows from that. What comes
back is checked against its CID like any block, so a wrong list does no worse than fail.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from storage.car import header_bytes, section_bytes
from storage.cid import CID_BYTES, Cid
from storage.errors import BlockMismatch, BlockNotFound, InvalidCid, PieceNotFound, StorageUnavailable
from storage.model import BLOCK_BYTES_MAX, verified
from storage.piece_cid import PieceCid

LIST_BYTES_MAX: Final = 4 * 2**20  # of one piece: about a hundred thousand blocks

_ENTRY = struct.Struct(f">{CID_BYTES}sI")


class PieceReader(Protocol):
    """Who reads a part of a piece; `storage.pdp.PdpProvider` is the real one."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def part(self, piece: PieceCid, *, start: int, length: int) -> bytes: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPiece:
    """A piece and its list of blocks, as `listed` writes it.

    Attributes:
        number: from 0, in the order that a dataset's pieces were written.
        roots: how many roots the piece names, which is where its first block begins.
    """

    number: int
    piece: PieceCid
    blocks: bytes
    roots: int = 1


def listed(blocks: Iterable[tuple[Cid, int]]) -> bytes:
    """Return the list of blocks and their lengths. Raises: ValueError: over `LIST_BYTES_MAX`."""
    entries = b"".join(_ENTRY.pack(cid.binary, length) for cid, length in blocks)
    if len(entries) > LIST_BYTES_MAX:
        raise ValueError(f"a piece's list of blocks has at most {LIST_BYTES_MAX} bytes")
    return entries


def blocks_in(listing: bytes) -> Iterator[tuple[Cid, int]]:
    """Yield what `listed` wrote. Raises: InvalidCid: it is not such a list."""
    if len(listing) % _ENTRY.size or len(listing) > LIST_BYTES_MAX:
        raise InvalidCid("a piece's list of blocks is cut short")
    for binary, length in _ENTRY.iter_unpack(listing):
        yield Cid(binary), length


class PieceBlobs:
    """Blocks that a provider keeps in `pieces`, for reading."""

    def __init__(self, provider: PieceReader, pieces: Iterable[ListedPiece]) -> None:
        self.name = provider.name
        self._provider = provider
        self._places: dict[Cid, tuple[PieceCid, int, int]] = {}
        for one in pieces:
            at = header_bytes(one.roots)
            for cid, length in blocks_in(one.blocks):
                end = at + section_bytes(length)
                self._places.setdefault(cid, (one.piece, end - length, length))
                at = end

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked. Raises: BlockNotFound, BlockMismatch, StorageUnavailable."""
        if cid not in self._places:
            raise BlockNotFound(f"{self.name} was sent no block {cid}")
        piece, start, length = self._places[cid]
        try:
            if not 0 < length <= BLOCK_BYTES_MAX:
                raise BlockMismatch(f"{self.name}: the list of blocks gives {cid} {length} bytes, which no block has")
            block = self._provider.part(piece, start=start, length=length)
        except PieceNotFound as error:
            raise BlockNotFound(f"{self.name} lost block {cid} with its piece") from error
        return verified(cid, block, place=self.name)

    def has(self, cid: Cid) -> bool:
        """Say whether the block was sent there."""
        return cid in self._places

    def cids(self) -> Iterator[Cid]:
        """Yield what was sent there."""
        yield from self._places

    def put(self, cid: Cid, block: bytes) -> None:
        """Refuse: blocks come in pieces. Raises: StorageUnavailable."""
        raise StorageUnavailable(f"{self.name} takes pieces, not blocks")

    def delete(self, cid: Cid) -> None:
        """Refuse: pieces are removed, not blocks. Raises: StorageUnavailable."""
        raise StorageUnavailable(f"{self.name} removes data sets, not blocks")
