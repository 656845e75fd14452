"""Blocks in pieces: every block once, every piece within the providers' limits and named right."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.car import header_bytes, read_car, section_bytes, write_car
from storage.cid import RAW, Cid
from storage.commp import piece_cid
from storage.errors import BlockTooLarge
from storage.model import BLOCK_BYTES_MAX
from storage.packing import PackedPiece, packed
from storage.pdp import PIECE_BYTES_MAX, PIECE_BYTES_MIN

LEAST = header_bytes(0) + section_bytes(BLOCK_BYTES_MAX)


class Shelf:
    """Keeps what was written, by number; knows which piece is open."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}
        self.open: int | None = None

    @contextmanager
    def __call__(self, number: int) -> Iterator[BinaryIO]:
        self.open = number
        stream = io.BytesIO()
        yield stream
        self.open = None
        self.written[number] = stream.getvalue()


def blocks_of(*lengths: int) -> list[tuple[Cid, bytes]]:
    made = [number.to_bytes(4, "big").ljust(length, b".")[:length] for number, length in enumerate(lengths)]
    return [(Cid.of(RAW, block), block) for block in made]


def read(car: bytes) -> tuple[tuple[Cid, ...], dict[Cid, bytes]]:
    roots, blocks = read_car(io.BytesIO(car), blocks_max=10_000, bytes_max=PIECE_BYTES_MAX)
    return roots, dict(blocks)


def check(shelf: Shelf, made: list[PackedPiece], blocks: list[tuple[Cid, bytes]], bytes_max: int) -> None:
    assert [piece.number for piece in made] == sorted(shelf.written) == list(range(len(made)))
    assert [cid for piece in made for cid in piece.cids] == [cid for cid, _ in blocks]
    for piece in made:
        car = shelf.written[piece.number]
        assert PIECE_BYTES_MIN <= len(car) <= bytes_max
        assert piece.piece == piece_cid(car)
        assert read(car)[1].keys() == set(piece.cids)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 50, 5000, 2**20, BLOCK_BYTES_MAX]), max_size=8))
def test_every_block_is_in_one_piece_within_the_limits(lengths: list[int]) -> None:
    blocks, shelf = blocks_of(*lengths), Shelf()
    made = list(packed(blocks, shelf, piece_bytes_max=LEAST + 3000))
    check(shelf, made, blocks, LEAST + 3000)


def test_a_piece_is_filled_to_the_last_byte_and_not_beyond() -> None:
    blocks = blocks_of(*[2**20] * 4)
    exact = header_bytes(0) + 4 * section_bytes(2**20)
    for bytes_max, expected in ((exact, 1), (exact - 1, 2)):
        shelf = Shelf()
        made = list(packed(blocks, shelf, piece_bytes_max=bytes_max))
        assert len(made) == expected
        check(shelf, made, blocks, bytes_max)


@pytest.mark.parametrize("length", [0, 1, 70, 71, 72])
def test_a_piece_too_small_for_any_provider_holds_a_block_twice(length: int) -> None:
    blocks, shelf = blocks_of(length), Shelf()
    made = list(packed(blocks, shelf))
    check(shelf, made, blocks, PIECE_BYTES_MAX)


def test_every_piece_names_the_roots() -> None:
    blocks, shelf = blocks_of(*[2**20] * 5), Shelf()
    roots = (blocks[0][0], blocks[1][0])
    list(packed(blocks, shelf, roots=roots, piece_bytes_max=LEAST + 200))
    assert len(shelf.written) > 1
    assert all(read(car)[0] == roots for car in shelf.written.values())


def test_a_piece_is_yielded_once_it_is_closed_and_the_next_is_not_begun() -> None:
    blocks, shelf = blocks_of(*[2**20] * 5), Shelf()
    for piece in packed(blocks, shelf, piece_bytes_max=LEAST):
        assert shelf.open is None
        assert max(shelf.written) == piece.number


def test_one_block_is_read_ahead_and_no_more() -> None:
    taken = 0

    def counted() -> Iterator[tuple[Cid, bytes]]:
        nonlocal taken
        for block in blocks_of(*[2**20] * 20):
            taken += 1
            yield block

    pieces = packed(counted(), Shelf(), piece_bytes_max=LEAST)
    next(pieces)
    assert taken == len(next(pieces).cids) * 2 + 1


def test_no_blocks_are_no_pieces() -> None:
    assert list(packed([], Shelf())) == []


def test_a_block_over_its_limit_is_refused() -> None:
    with pytest.raises(BlockTooLarge):
        list(packed(blocks_of(BLOCK_BYTES_MAX + 1), Shelf()))
    with pytest.raises(BlockTooLarge):
        list(packed(blocks_of(LEAST), Shelf(), piece_bytes_max=LEAST))


@pytest.mark.parametrize("bytes_max", [0, PIECE_BYTES_MIN, LEAST - 1, PIECE_BYTES_MAX + 1])
def test_a_limit_that_no_provider_has_is_misuse(bytes_max: int) -> None:
    with pytest.raises(ValueError, match="piece"):
        list(packed(blocks_of(1), Shelf(), piece_bytes_max=bytes_max))


@pytest.mark.parametrize("roots", [0, 1, 2, 23, 24, 300])
def test_the_length_of_an_archive_is_known_before_it_is_written(roots: int) -> None:
    blocks, out = blocks_of(0, 91, 92, 16_347, 16_348, 2**20), io.BytesIO()
    write_car(out, [blocks[0][0]] * roots, blocks)
    assert len(out.getvalue()) == header_bytes(roots) + sum(section_bytes(len(block)) for _, block in blocks)
