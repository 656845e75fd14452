"""An IPFS node that lies, stalls or floods: a real server on loopback, each lie found out in bounded time and size."""

import gzip
import itertools
import json
import time
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import ipfs_request
from storage.cid import RAW, Cid
from storage.errors import (
    BlockMismatch,
    BlockNotFound,
    StorageError,
    StorageFull,
    StorageUnavailable,
)
from storage.ipfs import ANSWER_BYTES_MAX, IpfsBlobs
from storage.model import BLOCK_BYTES_MAX
from tests.storage.rpc_node import OPEN_ENDED, RpcNode, answered

BLOCK = b"the block that was asked for"
CID = Cid.of(RAW, BLOCK)
TIMEOUT_S = 0.4
SECONDS_MAX = 3.5  # three requests of TIMEOUT_S, and room for a busy machine
SENT_BYTES_MAX = 2 * BLOCK_BYTES_MAX + 2**23  # what we read, and what the kernel's buffers swallow
NOT_PINNED = answered(json.dumps({"Message": "path 'x' is not pinned"}).encode(), status="500 Internal Server Error")
FLOOD = b"\xee" * 65536
DEEP = b"[" * 4000


@pytest.fixture
def node() -> Iterator[RpcNode]:
    with RpcNode(lambda _: [answered(BLOCK)]) as running:
        yield running


@pytest.fixture
def blobs(node: RpcNode) -> Iterator[IpfsBlobs]:
    start = time.monotonic()
    yield IpfsBlobs(node.address, timeout_s=TIMEOUT_S)
    assert time.monotonic() - start < SECONDS_MAX
    assert node.bytes_sent < SENT_BYTES_MAX


def refused(message: object) -> bytes:
    return answered(json.dumps({"Message": message}).encode(), status="500 Internal Server Error")


def test_an_honest_node_is_believed(blobs: IpfsBlobs) -> None:
    assert blobs.get(CID) == BLOCK


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(BLOCK[::-1]), BlockMismatch),
        (answered(BLOCK[:-1]), BlockMismatch),
        (answered(BLOCK + b"!"), BlockMismatch),
        (answered(b""), BlockMismatch),
        (OPEN_ENDED, BlockMismatch),
        (answered(BLOCK, length=len(BLOCK) + 1), StorageUnavailable),
        (answered(BLOCK[:-1], length=-1), BlockMismatch),
        (answered(bytes(BLOCK_BYTES_MAX + 1)), StorageUnavailable),
        (answered(BLOCK, status="201 Created"), StorageUnavailable),
        (answered(BLOCK, status="500 Internal Server Error"), StorageUnavailable),
        (answered(BLOCK, status="404 Not Found"), StorageUnavailable),
        (answered(DEEP, status="500 Internal Server Error"), StorageUnavailable),
        (answered(gzip.compress(BLOCK), headers="Content-Encoding: gzip\r\n"), StorageUnavailable),
        (answered(gzip.compress(bytes(2**24)), headers="Content-Encoding: gzip\r\n"), StorageUnavailable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1c\r\n" + BLOCK, StorageUnavailable),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n" + BLOCK, StorageUnavailable),
        (b"SSH-2.0-OpenSSH_9.2\r\n", StorageUnavailable),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n" + BLOCK, StorageUnavailable),
        (b"", StorageUnavailable),
        (refused("blockstore: block not found"), BlockNotFound),
        (refused("ipld: could not find " + str(CID)), BlockNotFound),
        (refused(["not a string"]), StorageUnavailable),
        (refused("disk on fire"), StorageUnavailable),
    ],
)  # fmt: skip
def test_one_wrong_fact_in_the_answer_is_enough_to_fail(
    node: RpcNode, blobs: IpfsBlobs, answer: bytes, expected: type[StorageError]
) -> None:
    node.answer = lambda _: [answer]
    with pytest.raises(expected):
        blobs.get(CID)


@pytest.mark.parametrize(
    "start",
    [
        OPEN_ENDED,
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /again\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"",
    ],
    ids=["body", "long body", "long chunk", "no chunk", "error", "redirect", "compressed", "header", "status line"],
)
def test_an_endless_answer_ends_at_the_bound(node: RpcNode, blobs: IpfsBlobs, start: bytes) -> None:
    node.answer = lambda _: itertools.chain([start], itertools.repeat(FLOOD))
    with pytest.raises(StorageUnavailable):
        blobs.get(CID)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (OPEN_ENDED, b"\x00"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n\x00\r\n"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", b" "),
    ],
    ids=["status line", "headers", "body", "chunks", "error"],
)
def test_an_answer_that_trickles_ends_at_the_deadline(
    node: RpcNode, blobs: IpfsBlobs, start: bytes, piece: bytes
) -> None:
    # Each piece comes well within the timeout, so a clock that restarts with each would never run out.
    def trickle(_: str) -> Iterable[bytes]:
        yield start
        while not node.is_over.wait(TIMEOUT_S / 8):
            yield piece

    node.answer = trickle
    with pytest.raises((StorageUnavailable, BlockNotFound)):
        blobs.get(CID)


def silent_about_blocks(node: RpcNode, pin_answer: bytes) -> None:
    def answer(path: str) -> Iterable[bytes]:
        if path == "block/get":
            node.is_over.wait()
        return [pin_answer]

    node.answer = answer


def test_silence_of_a_node_that_does_not_keep_the_block_is_not_found(node: RpcNode, blobs: IpfsBlobs) -> None:
    silent_about_blocks(node, NOT_PINNED)
    with pytest.raises(BlockNotFound):
        blobs.get(CID)
    assert node.paths == ["block/get", "pin/ls", "pin/ls"]


def test_silence_of_a_node_that_claims_the_block_is_unavailable(node: RpcNode, blobs: IpfsBlobs) -> None:
    silent_about_blocks(node, answered(json.dumps({"Keys": {str(CID): {"Type": "direct"}}}).encode()))
    with pytest.raises(StorageUnavailable, match="keeps"):
        blobs.get(CID)


def test_silence_about_everything_is_unavailable(node: RpcNode, blobs: IpfsBlobs) -> None:
    def silence(_: str) -> Iterable[bytes]:
        node.is_over.wait()
        return []

    node.answer = silence
    for call in (blobs.get, blobs.has):
        with pytest.raises(StorageUnavailable):
            call(CID)


def test_a_redirect_is_not_followed(node: RpcNode, blobs: IpfsBlobs) -> None:
    with RpcNode(lambda _: [answered(BLOCK)]) as elsewhere:
        port = elsewhere.address.rpartition("/")[2]
        location = f"Location: http://127.0.0.1:{port}/api/v0/block/get\r\n"
        node.answer = lambda _: [answered(b"", status="307 Temporary Redirect", headers=location)]
        with pytest.raises(StorageUnavailable):
            blobs.get(CID)
        assert elsewhere.paths == []


def test_a_proxy_named_by_the_environment_is_not_used(blobs: IpfsBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    with RpcNode(lambda _: [answered(BLOCK[::-1])]) as proxy:
        port = proxy.address.rpartition("/")[2]
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        assert blobs.get(CID) == BLOCK
        assert proxy.paths == []


def test_a_node_that_never_reads_cannot_hold_an_upload(node: RpcNode, blobs: IpfsBlobs) -> None:
    def never(_: str) -> Iterable[bytes]:
        node.is_over.wait()
        return []

    node.upload_pace_s = None
    node.answer = never
    block = bytes(BLOCK_BYTES_MAX)
    with pytest.raises(StorageUnavailable):
        blobs.put(Cid.of(RAW, block), block)


def test_a_node_that_reads_slowly_cannot_stretch_an_upload(node: RpcNode) -> None:
    # Each piece is taken well within the timeout; only together do they take longer. A block fits into the kernel's
    # buffers, so this sends more than a block.
    node.upload_pace_s = TIMEOUT_S / 7
    start = time.monotonic()
    with pytest.raises(ipfs_request.NodeSilent):
        ipfs_request.ask(
            node.address, "dag/import", options={}, timeout_s=TIMEOUT_S, answer_bytes_max=100, upload=bytes(2**24)
        )
    assert time.monotonic() - start < 3 * TIMEOUT_S


def test_a_full_node_is_full(node: RpcNode, blobs: IpfsBlobs) -> None:
    node.answer = lambda _: [refused("write /data/blocks: no space left on device")]
    with pytest.raises(StorageFull):
        blobs.put(CID, BLOCK)


def test_a_block_is_not_stored_until_it_is_pinned(node: RpcNode, blobs: IpfsBlobs) -> None:
    node.answer = lambda path: [answered(b"") if path == "dag/import" else refused("pin: out of cheese")]
    with pytest.raises(StorageUnavailable, match="out of cheese"):
        blobs.put(CID, BLOCK)


def test_a_block_that_another_pins_already_is_stored(node: RpcNode, blobs: IpfsBlobs) -> None:
    node.answer = lambda path: [answered(b"") if path == "dag/import" else refused("x already pinned recursively")]
    blobs.put(CID, BLOCK)
    assert node.paths == ["dag/import", "pin/add"]


def test_a_block_that_another_pins_is_not_deleted_in_silence(node: RpcNode, blobs: IpfsBlobs) -> None:
    kept = json.dumps({"Hash": str(CID), "Error": "pinned: recursive"}).encode()
    node.answer = lambda path: [answered(kept) if path == "block/rm" else NOT_PINNED]
    with pytest.raises(StorageUnavailable, match="another pin"):
        blobs.delete(CID)


def test_a_listing_passes_over_what_is_no_cid_of_ours(node: RpcNode, blobs: IpfsBlobs) -> None:
    lines = [{"Cid": str(CID)}, {"Cid": "bafkqabtimvwgy3y"}, {"Cid": 7}, {}, {"Cid": None}]
    node.answer = lambda _: [answered(b"\n".join(json.dumps(line).encode() for line in lines) + b"\n\n")]
    assert list(blobs.cids()) == [CID]


@pytest.mark.parametrize("listing", [b"{", b"[]", b"7", DEEP, b"\xff\xfe", b"<html>"])
def test_a_listing_that_is_not_one_is_unavailable(node: RpcNode, blobs: IpfsBlobs, listing: bytes) -> None:
    node.answer = lambda _: [answered(listing)]
    with pytest.raises(StorageUnavailable):
        list(blobs.cids())


def test_a_small_answer_has_a_small_bound(node: RpcNode, blobs: IpfsBlobs) -> None:
    node.answer = lambda _: [answered(b" " * (ANSWER_BYTES_MAX + 1))]
    with pytest.raises(StorageUnavailable):
        blobs.has(CID)


def test_what_the_node_says_is_short_and_printable_in_our_message(node: RpcNode, blobs: IpfsBlobs) -> None:
    node.answer = lambda _: [refused("\x1b[2J" + "A" * 3000)]
    with pytest.raises(StorageUnavailable) as caught:
        blobs.get(CID)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 400


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_byte_anywhere_in_the_answer_is_harmless(node: RpcNode, draw: st.DataObject) -> None:
    whole = answered(BLOCK, headers="Set-Cookie: a=b; Expires=Wed, 21 Oct 2015 07:28:00 GMT\r\n")
    at = draw.draw(st.integers(0, len(whole) - 1))
    changed = whole[:at] + draw.draw(st.binary(max_size=4)) + whole[at + draw.draw(st.integers(0, 4)) :]
    node.answer = lambda _: [changed]
    try:
        assert IpfsBlobs(node.address, timeout_s=5).get(CID) == BLOCK
    except StorageError:
        return


@pytest.mark.parametrize("address", ["", "127.0.0.1:5001", "/ip4/127.0.0.1", "/ip4/1.2.3.4/udp/5", "/tcp/5001", "/x/y"])
def test_what_is_no_multiaddress_is_refused_at_once(address: str) -> None:
    with pytest.raises(StorageUnavailable, match="multiaddress"):
        IpfsBlobs(address)


def test_nobody_listening_is_unavailable() -> None:
    with RpcNode(lambda _: []) as gone:
        address = gone.address
    with pytest.raises(StorageUnavailable):
        IpfsBlobs(address, timeout_s=TIMEOUT_S).get(CID)
