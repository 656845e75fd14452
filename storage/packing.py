"""Blocks into pieces: archives as large as a provider takes, each with the name that the provider will prove.

A piece is a CARv1 archive, so its owner can read it with nothing of ours. One that would be smaller than any provider
takes holds its last block more than once, which an archive may.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO

from storage.car import header_bytes, section_bytes, write_car
from storage.cid import Cid
from storage.commp import PieceHasher
from storage.errors import BlockTooLarge
from storage.model import BLOCK_BYTES_MAX
from storage.pdp import PIECE_BYTES_MAX, PIECE_BYTES_MIN
from storage.piece_cid import PieceCid

Open = Callable[[int], AbstractContextManager[BinaryIO]]
Block = tuple[Cid, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPiece:
    """A piece that was written.

    Attributes:
        number: from 0, in the order that they were written.
        cids: blocks in it, in the order that they stand, each once.
    """

    number: int
    piece: PieceCid
    cids: tuple[Cid, ...]


def packed(
    blocks: Iterable[Block], open_piece: Open, *, roots: Sequence[Cid] = (), piece_bytes_max: int = PIECE_BYTES_MAX
) -> Iterator[PackedPiece]:
    """Write blocks into as few pieces as their order allows, and yield each once it is whole and closed.

    Args:
        blocks: checked, as `Blobs.get` returns them; one block is in memory at a time.
        open_piece: returns the stream that the piece of that number is written to.
        roots: named by every piece.
        piece_bytes_max: at most `PIECE_BYTES_MAX`, and room for one block of any size.
    Raises: BlockTooLarge, and whatever writing raises.
    """
    least = header_bytes(len(roots)) + section_bytes(BLOCK_BYTES_MAX)
    if not least <= piece_bytes_max <= PIECE_BYTES_MAX:
        raise ValueError(f"a piece holds {least} to {PIECE_BYTES_MAX} bytes at most, not {piece_bytes_max}")
    ahead = _Ahead(blocks)
    number = 0
    while ahead.block is not None:
        cids: list[Cid] = []
        with open_piece(number) as out:
            hashed = _Hashed(out)
            write_car(hashed, roots, _group(ahead, cids, header_bytes(len(roots)), piece_bytes_max))
        yield PackedPiece(number=number, piece=hashed.hasher.piece_cid(), cids=tuple(cids))
        number += 1


class _Ahead:
    """Blocks with a look at the next one."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self.block = next(self._blocks, None)

    def take(self) -> Block:
        block = self.block
        if block is None:
            raise ValueError("there is no block left")
        self.block = next(self._blocks, None)
        return block


def _group(ahead: _Ahead, cids: list[Cid], length: int, bytes_max: int) -> Iterator[Block]:
    """Yield the blocks that fit, the last again while the piece is too small."""
    last: Block | None = None
    while ahead.block is not None and length + section_bytes(len(ahead.block[1])) <= bytes_max:
        last = ahead.take()
        length += section_bytes(len(last[1]))
        cids.append(last[0])
        yield last
    if last is None:
        raise BlockTooLarge(f"a block has more than {BLOCK_BYTES_MAX} bytes; cut it into smaller ones")
    while length < PIECE_BYTES_MIN:
        length += section_bytes(len(last[1]))
        yield last


class _Hashed(io.BytesIO):
    """A stream whose bytes are hashed as they are written."""

    def __init__(self, out: BinaryIO) -> None:
        super().__init__()
        self.hasher = PieceHasher()
        self._out = out

    def write(self, data: object, /) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self.hasher.update(view)
        rest = view.cast("B")
        while rest:
            rest = rest[self._out.write(rest) :]
        return view.nbytes
