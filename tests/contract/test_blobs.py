"""What every place for blocks does, run over each that there is."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from storage.cid import DAG_CBOR, DAG_PB, RAW, Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch, BlockNotFound, BlockTooLarge, StorageUnavailable
from storage.gateway import GatewayBlobs
from storage.memory import MemoryBlobs
from storage.model import BLOCK_BYTES_MAX, Blobs
from storage.racing import RacingBlobs
from storage.spread import SpreadBlobs
from storage.unixfs import V0_2015, V1_2025, add_file, read_file
from tests.faults import FlippedBit
from tests.storage.gateway_node import gateway_over

IPFS_TIMEOUT_S = 2.0  # a node that is offline is silent about what it lacks: this is how long the tests listen

FreshBlock = Callable[..., tuple[Cid, bytes]]


@pytest.fixture(params=["memory", "directory", "spread", pytest.param("ipfs", marks=pytest.mark.ipfs)])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Blobs]:
    match request.param:
        case "memory":
            yield MemoryBlobs()
        case "directory":
            with DirectoryBlobs(tmp_path / "blobs") as directory:
                yield directory
        case "spread":
            yield SpreadBlobs(MemoryBlobs(), [MemoryBlobs(name="another"), FlippedBit(MemoryBlobs(name="a third"))])
        case "ipfs":
            address = os.environ.get("COFFER_TEST_IPFS")
            if not address:
                pytest.skip("needs an IPFS node: scripts/test_ipfs.sh .venv/bin/pytest -m ipfs")
            from storage.ipfs import IpfsBlobs

            yield IpfsBlobs(address, timeout_s=IPFS_TIMEOUT_S)


@pytest.fixture
def fresh(blobs: Blobs) -> Iterator[FreshBlock]:
    """Blocks that no other test or run has put, removed afterwards: the node outlives a test."""
    numbers, made = count(), []
    salt = os.urandom(8)

    def block_of(length: int = 100, codec: int = RAW) -> tuple[Cid, bytes]:
        block = (salt + next(numbers).to_bytes(4, "big")).ljust(length, b".")[:length]
        cid = Cid.of(codec, block)
        made.append(cid)
        return cid, block

    yield block_of
    for cid in made:
        blobs.delete(cid)


@pytest.mark.parametrize("length", [12, 2**20, 2**20 + 1, BLOCK_BYTES_MAX])
def test_what_was_put_comes_back(blobs: Blobs, fresh: FreshBlock, length: int) -> None:
    cid, block = fresh(length)
    blobs.put(cid, block)
    assert blobs.get(cid) == block
    assert blobs.has(cid)


def test_an_empty_block_comes_back(blobs: Blobs) -> None:
    cid = Cid.of(RAW, b"")
    blobs.put(cid, b"")
    assert blobs.get(cid) == b""
    blobs.delete(cid)


@pytest.mark.parametrize("codec", [RAW, DAG_PB, DAG_CBOR])
def test_a_block_is_listed_under_the_codec_that_it_was_put_under(blobs: Blobs, fresh: FreshBlock, codec: int) -> None:
    # Bytes that are valid in none of the structured codecs: a place does not read what it keeps.
    cid, block = fresh(codec=codec)
    blobs.put(cid, block)
    assert cid in set(blobs.cids())


def test_putting_twice_is_putting_once(blobs: Blobs, fresh: FreshBlock) -> None:
    cid, block = fresh()
    blobs.put(cid, block)
    blobs.put(cid, block)
    assert list(blobs.cids()).count(cid) == 1
    assert blobs.get(cid) == block


def test_a_block_under_the_wrong_cid_never_leaves(blobs: Blobs, fresh: FreshBlock) -> None:
    cid, block = fresh()
    with pytest.raises(BlockMismatch):
        blobs.put(cid, block + b"!")
    assert not blobs.has(cid)


def test_a_block_over_the_bound_never_leaves(blobs: Blobs, fresh: FreshBlock) -> None:
    cid, block = fresh(BLOCK_BYTES_MAX + 1)
    with pytest.raises(BlockTooLarge):
        blobs.put(cid, block)
    assert not blobs.has(cid)


def test_what_was_never_put_is_not_found(blobs: Blobs, fresh: FreshBlock) -> None:
    cid, _ = fresh()
    assert not blobs.has(cid)
    with pytest.raises(BlockNotFound, match=str(cid)):
        blobs.get(cid)


def test_what_was_deleted_is_gone_and_deleting_again_changes_nothing(blobs: Blobs, fresh: FreshBlock) -> None:
    (cid, block), (other, other_block) = fresh(), fresh()
    blobs.put(cid, block)
    blobs.put(other, other_block)
    blobs.delete(cid)
    blobs.delete(cid)
    assert not blobs.has(cid)
    assert cid not in set(blobs.cids())
    with pytest.raises(BlockNotFound):
        blobs.get(cid)
    assert blobs.get(other) == other_block


def test_every_block_is_listed(blobs: Blobs, fresh: FreshBlock) -> None:
    made = dict(fresh() for _ in range(20))
    for cid, block in made.items():
        blobs.put(cid, block)
    assert made.keys() <= set(blobs.cids())


def test_eight_threads_may_share_a_place(blobs: Blobs, fresh: FreshBlock) -> None:
    made = [fresh(5000) for _ in range(40)]

    def put_and_get(pair: tuple[Cid, bytes]) -> bytes:
        blobs.put(*pair)
        return blobs.get(pair[0])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(put_and_get, made * 2)) == [block for _, block in made * 2]


@pytest.mark.parametrize("profile", [V0_2015, V1_2025], ids=lambda profile: profile.name)
def test_a_file_of_several_blocks_comes_back(blobs: Blobs, profile: object) -> None:
    data = os.urandom(3 * 2**20 + 17)
    before = set(blobs.cids())
    cid = add_file(blobs, data, profile=profile)  # type: ignore[arg-type]
    assert read_file(blobs, cid, bytes_max=len(data)) == data
    for made in set(blobs.cids()) - before:
        blobs.delete(made)


def test_its_name_says_what_it_is(blobs: Blobs) -> None:
    assert blobs.name.split(",")[0].split()[0] in {"memory", "directory", "ipfs"}


@pytest.fixture(params=["memory", "gateway", "race", "race of gateways"])
def reading(request: pytest.FixtureRequest) -> Iterator[tuple[Blobs, Blobs]]:
    """A place to put blocks, and one through which they are read."""
    kept = MemoryBlobs()
    with gateway_over(kept) as first, gateway_over(FlippedBit(kept, is_checked=False)) as second:
        gateways = [GatewayBlobs(node.url, allow_private=True) for node in (first, second)]
        match request.param:
            case "memory":
                yield kept, kept
            case "gateway":
                yield kept, gateways[0]
            case "race":
                yield kept, RacingBlobs([MemoryBlobs(), kept])
            case "race of gateways":
                yield kept, RacingBlobs(gateways)


@pytest.mark.parametrize("length", [0, 12, 2**20, BLOCK_BYTES_MAX])
@pytest.mark.parametrize("codec", [RAW, DAG_PB, DAG_CBOR])
def test_what_was_put_elsewhere_is_read(reading: tuple[Blobs, Blobs], length: int, codec: int) -> None:
    kept, reader = reading
    block = os.urandom(length)
    cid = Cid.of(codec, block)
    kept.put(cid, block)
    assert reader.get(cid) == block
    assert reader.has(cid)


def test_what_is_nowhere_is_not_found(reading: tuple[Blobs, Blobs]) -> None:
    cid = Cid.of(RAW, b"nowhere")
    assert not reading[1].has(cid)
    with pytest.raises(BlockNotFound):
        reading[1].get(cid)


def test_eight_threads_may_share_a_reader(reading: tuple[Blobs, Blobs]) -> None:
    kept, reader = reading
    made = {Cid.of(RAW, block): block for block in (os.urandom(3000) for _ in range(40))}
    for cid, block in made.items():
        kept.put(cid, block)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.get, made)) == list(made.values())


@pytest.mark.parametrize("reading", ["gateway", "race", "race of gateways"], indirect=True)
def test_a_reader_that_does_not_keep_blocks_takes_none(reading: tuple[Blobs, Blobs]) -> None:
    kept, reader = reading
    cid = Cid.of(RAW, b"not to be kept")
    with pytest.raises(StorageUnavailable):
        reader.put(cid, b"not to be kept")
    with pytest.raises(StorageUnavailable):
        reader.delete(cid)
    assert list(kept.cids()) == []
