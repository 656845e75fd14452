"""CARv1 archives: what was written reads back, and a changed byte anywhere is found."""

import io

import cbor2
import dag_cbor
import multiformats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.car import ROOTS_MAX, read_car, write_car
from storage.cid import DAG_CBOR, DAG_PB, RAW, Cid
from storage.errors import BlockTooLarge, FileTooLarge, StorageError
from storage.model import BLOCK_BYTES_MAX

blocks_lists = st.lists(st.tuples(st.sampled_from([RAW, DAG_PB, DAG_CBOR]), st.binary(max_size=40)), max_size=5)


def archive_of(roots: list[Cid], blocks: list[tuple[Cid, bytes]]) -> bytes:
    stream = io.BytesIO()
    write_car(stream, roots, blocks)
    return stream.getvalue()


def contents(archive: bytes) -> tuple[tuple[Cid, ...], list[tuple[Cid, bytes]]]:
    roots, blocks = read_car(io.BytesIO(archive), blocks_max=10, bytes_max=1000)
    return roots, list(blocks)


@given(blocks_lists, st.integers(0, 5))
def test_what_was_written_reads_back(made: list[tuple[int, bytes]], roots: int) -> None:
    blocks = [(Cid.of(codec, block), block) for codec, block in made]
    named = [cid for cid, _ in blocks[:roots]]
    assert contents(archive_of(named, blocks)) == (tuple(named), blocks)


@pytest.mark.parametrize("count", [0, 1, 23, 24, 255, 256, ROOTS_MAX])
def test_the_header_is_canonical_dag_cbor(count: int) -> None:
    roots = [Cid.of(RAW, n.to_bytes(4, "big")) for n in range(count)]
    archive = archive_of(roots, [])
    header = archive[1 if count <= 2 else 2 if len(archive) < 2**14 else 3 :]
    oracle = {"roots": [multiformats.CID.decode(root.binary) for root in roots], "version": 1}
    assert header == dag_cbor.encode(oracle)
    assert contents(archive) == (tuple(roots), [])


@given(blocks_lists.filter(bool), st.data())
def test_a_changed_byte_anywhere_is_our_own_error(made: list[tuple[int, bytes]], draw: st.DataObject) -> None:
    blocks = [(Cid.of(codec, block), block) for codec, block in made]
    archive = archive_of([blocks[0][0]], blocks)
    at = draw.draw(st.integers(0, len(archive) - 1))
    changed = archive[:at] + bytes((archive[at] ^ draw.draw(st.integers(1, 255)),)) + archive[at + 1 :]
    try:
        roots, read = contents(changed)
    except StorageError:
        return
    # Only what the hashes do not cover can change unseen: which root is named, and by which codec a block is read.
    assert [block for _, block in read] == [block for _, block in blocks]
    assert [cid.digest for cid, _ in read] == [cid.digest for cid, _ in blocks]
    assert (roots, read) != ((blocks[0][0],), blocks)


@given(blocks_lists.filter(bool), st.data())
def test_an_archive_cut_inside_a_block_is_our_own_error(made: list[tuple[int, bytes]], draw: st.DataObject) -> None:
    blocks = [(Cid.of(codec, block), block) for codec, block in made]
    whole = archive_of([], blocks)
    ends = [len(archive_of([], blocks[:count])) for count in range(len(blocks) + 1)]
    length = draw.draw(st.integers(0, len(whole) - 1))
    if length in ends:  # a whole archive of fewer blocks: only a caller who knows the roots can miss the others
        assert contents(whole[:length])[1] == blocks[: ends.index(length)]
    else:
        with pytest.raises(StorageError):
            contents(whole[:length])


@given(st.binary(max_size=120))
def test_any_bytes_are_an_archive_or_our_own_error(archive: bytes) -> None:
    with pytest.raises(StorageError):
        contents(archive)


def _with_header(header: object) -> bytes:
    encoded = cbor2.dumps(header, canonical=True)
    return bytes((len(encoded),)) + encoded


ROOT = cbor2.CBORTag(42, b"\0" + Cid.of(RAW, b"").binary)


def test_the_header_that_cbor2_makes_is_accepted() -> None:
    assert contents(_with_header({"roots": [ROOT], "version": 1})) == ((Cid.of(RAW, b""),), [])


@pytest.mark.parametrize(
    "header",
    [
        {"version": 2},
        {"roots": [ROOT], "version": 2},
        {"roots": [], "version": 1, "x": 1},
        {"roots": [ROOT]},
        {"roots": [cbor2.CBORTag(43, b"\0" + Cid.of(RAW, b"").binary)], "version": 1},
        {"roots": [cbor2.CBORTag(42, Cid.of(RAW, b"").binary)], "version": 1},
        {"roots": [cbor2.CBORTag(42, b"\0\x01\x55\x00\x20" + bytes(32))], "version": 1},
        [ROOT],
    ],
    ids=["carv2", "version", "extra", "missing", "tag", "no-zero", "identity", "list"],
)
def test_one_wrong_fact_in_the_header_is_our_own_error(header: object) -> None:
    with pytest.raises(StorageError):
        contents(_with_header(header))


@pytest.mark.parametrize(("blocks_max", "bytes_max"), [(2, 1000), (10, 29)])
def test_the_callers_bounds_hold(blocks_max: int, bytes_max: int) -> None:
    blocks = [(Cid.of(RAW, bytes((n,)) * 10), bytes((n,)) * 10) for n in range(3)]
    _, read = read_car(io.BytesIO(archive_of([], blocks)), blocks_max=blocks_max, bytes_max=bytes_max)
    assert [next(read), next(read)] == blocks[:2]
    with pytest.raises(FileTooLarge):
        next(read)


def test_bounds_are_inclusive() -> None:
    block = bytes(BLOCK_BYTES_MAX)
    pair = (Cid.of(RAW, block), block)
    _, read = read_car(io.BytesIO(archive_of([], [pair])), blocks_max=1, bytes_max=BLOCK_BYTES_MAX)
    assert list(read) == [pair]


def test_too_many_roots_and_too_large_a_block_are_not_written() -> None:
    with pytest.raises(ValueError, match="roots"):
        archive_of([Cid.of(RAW, b"")] * (ROOTS_MAX + 1), [])
    with pytest.raises(BlockTooLarge):
        archive_of([], [(Cid.of(RAW, b""), bytes(BLOCK_BYTES_MAX + 1))])
