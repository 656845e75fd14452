"""Single blocks out of pieces: found by their place in the list, and checked like any block."""

from __future__ import annotations

import io
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.car import write_car
from storage.cid import DAG_PB, RAW, Cid
from storage.commp import piece_cid
from storage.errors import (
    BlockMismatch,
    BlockNotFound,
    InvalidCid,
    PieceNotFound,
    StorageError,
    StorageUnavailable,
)
from storage.piece_cid import PieceCid
from storage.pieces import LIST_BYTES_MAX, ListedPiece, PieceBlobs, blocks_in, listed

ROOT = Cid.of(DAG_PB, b"root")
BLOCKS = {Cid.of(RAW, block): block for block in (Random(1).randbytes(length) for length in (1, 90, 200, 70_000))}  # noqa: S311


class Provider:
    """Reads parts of archives in memory."""

    name = "provider"

    def __init__(self) -> None:
        self.archives: dict[PieceCid, bytes] = {}

    def keep(self, number: int, cids: list[Cid]) -> ListedPiece:
        out = io.BytesIO()
        write_car(out, [ROOT], [(cid, BLOCKS[cid]) for cid in cids])
        piece = piece_cid(out.getvalue())
        self.archives[piece] = out.getvalue()
        return ListedPiece(number=number, piece=piece, blocks=listed((cid, len(BLOCKS[cid])) for cid in cids))

    def part(self, piece: PieceCid, *, start: int, length: int) -> bytes:
        if piece not in self.archives:
            raise PieceNotFound("gone")
        return self.archives[piece][start : start + length]


@pytest.fixture
def provider() -> Provider:
    return Provider()


def pieces_of(provider: Provider) -> list[ListedPiece]:
    cids = list(BLOCKS)
    return [provider.keep(0, cids[:3]), provider.keep(1, cids[3:] + cids[:1])]


def test_each_block_is_found_in_its_piece(provider: Provider) -> None:
    blobs = PieceBlobs(provider, pieces_of(provider))
    assert {cid: blobs.get(cid) for cid in blobs.cids()} == BLOCKS
    assert blobs.has(next(iter(BLOCKS)))
    with pytest.raises(BlockNotFound):
        blobs.get(ROOT)


def test_a_piece_that_is_gone_takes_its_blocks_with_it(provider: Provider) -> None:
    pieces = pieces_of(provider)
    del provider.archives[pieces[0].piece]
    blobs = PieceBlobs(provider, pieces)
    with pytest.raises(BlockNotFound, match="with its piece"):
        blobs.get(next(iter(BLOCKS)))
    assert blobs.get(list(BLOCKS)[3]) == BLOCKS[list(BLOCKS)[3]]


@pytest.mark.parametrize("length", [0, 89, 91, 2**32 - 1])
def test_a_list_that_is_wrong_does_no_worse_than_fail(provider: Provider, length: int) -> None:
    cid, after = list(BLOCKS)[1:3]
    piece = provider.keep(0, [cid, after])
    wrong = ListedPiece(number=0, piece=piece.piece, blocks=listed([(cid, length)]))
    with pytest.raises(BlockMismatch):
        PieceBlobs(provider, [wrong]).get(cid)


def test_pieces_are_for_reading(provider: Provider) -> None:
    blobs = PieceBlobs(provider, [])
    cid, block = next(iter(BLOCKS.items()))
    for call in (lambda: blobs.put(cid, block), lambda: blobs.delete(cid)):
        with pytest.raises(StorageUnavailable):
            call()
    assert not blobs.has(cid)


def test_a_list_is_read_as_it_was_written() -> None:
    blocks = [(cid, len(block)) for cid, block in BLOCKS.items()]
    assert list(blocks_in(listed(blocks))) == blocks
    assert listed([]) == b""


def test_a_list_is_bounded() -> None:
    cid = next(iter(BLOCKS))
    with pytest.raises(ValueError, match="at most"):
        listed([(cid, 1)] * (LIST_BYTES_MAX // 40 + 1))
    with pytest.raises(InvalidCid):
        list(blocks_in(bytes(LIST_BYTES_MAX // 40 * 40 + 40)))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_our_own_error(entries: bytes) -> None:
    try:
        assert listed(blocks_in(entries)) == entries
    except StorageError:
        return
