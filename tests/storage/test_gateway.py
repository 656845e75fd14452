"""A gateway: what it fetches is what was asked for, over the wire as the specification has it."""

import os

import pytest

from storage.cid import RAW, Cid
from storage.errors import (
    AccessRefused,
    BlockNotFound,
    FileTooLarge,
    RateLimited,
    StorageError,
    StorageUnavailable,
)
from storage.gateway import GatewayBlobs
from storage.memory import MemoryBlobs
from storage.unixfs import add_file, read_file
from tests.storage.gateway_node import RAW_TYPE, gateway_over
from tests.storage.web_node import WebNode, answered, answered_json

BLOCK = b"the right block"
CID = Cid.of(RAW, BLOCK)


def gateway(node: WebNode, *, timeout_s: float = 5.0) -> GatewayBlobs:
    return GatewayBlobs(node.url, timeout_s=timeout_s, allow_private=True)


def test_a_file_is_read_block_by_block() -> None:
    blobs = MemoryBlobs()
    data = os.urandom(3 * 2**20 + 5)
    cid = add_file(blobs, data)
    with gateway_over(blobs) as node:
        assert read_file(gateway(node), cid, bytes_max=len(data)) == data
    assert {asked.query["format"] for asked in node.asked} == {"raw"}
    assert all(asked.headers["connection"] == "close" and "authorization" not in asked.headers for asked in node.asked)


def test_a_whole_file_comes_in_one_archive() -> None:
    blobs = MemoryBlobs()
    data = os.urandom(3 * 2**20 + 5)
    cid = add_file(blobs, data)
    copied = MemoryBlobs()
    with gateway_over(blobs) as node:
        for block in gateway(node).blocks_below(cid, blocks_max=10, bytes_max=2**22):
            copied.put(*block)
    assert read_file(copied, cid, bytes_max=len(data)) == data
    assert len(node.asked) == 1


def test_an_archive_over_the_bound_is_left() -> None:
    blobs = MemoryBlobs()
    cid = add_file(blobs, bytes(range(256)) * 2**14)
    with gateway_over(blobs) as node, pytest.raises(FileTooLarge):
        list(gateway(node).blocks_below(cid, blocks_max=2, bytes_max=2**23))


def test_what_it_lacks_is_not_found_and_it_says_so_without_a_body() -> None:
    blobs = MemoryBlobs()
    blobs.put(CID, BLOCK)
    with gateway_over(blobs) as node:
        assert gateway(node).has(CID)
        assert not gateway(node).has(Cid.of(RAW, b"absent"))
        with pytest.raises(BlockNotFound):
            gateway(node).get(Cid.of(RAW, b"absent"))
        with pytest.raises(BlockNotFound):
            list(gateway(node).blocks_below(Cid.of(RAW, b"absent"), blocks_max=1, bytes_max=1))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("404 Not Found", BlockNotFound),
        ("410 Gone", BlockNotFound),
        ("504 Gateway Timeout", BlockNotFound),
        ("400 Bad Request", StorageUnavailable),
        ("401 Unauthorized", AccessRefused),
        ("418 I'm a teapot", StorageUnavailable),
        ("429 Too Many Requests", RateLimited),
        ("500 Internal Server Error", StorageUnavailable),
        ("204 No Content", StorageUnavailable),
        ("206 Partial Content", StorageUnavailable),
        ("301 Moved Permanently", StorageUnavailable),
    ],
)
def test_every_status_has_its_error(status: str, expected: type[StorageError]) -> None:
    with WebNode(lambda _: [answered(b"", status=status, headers=RAW_TYPE)]) as node:
        with pytest.raises(expected):
            gateway(node).get(CID)
        with pytest.raises(StorageError):
            list(gateway(node).blocks_below(CID, blocks_max=1, bytes_max=100))


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "Sat, 21 Nov 2026 09:00:00 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"Retry-After": "99999999"}, 24 * 3600.0),
        ({"Retry-After": "9" * 5000}, 60.0),
        ({"Retry-After": "-5"}, 60.0),
        ({"Retry-After": "soon"}, 60.0),
        ({"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT"}, 60.0),
        ({}, 60.0),
    ],
)
def test_how_long_to_wait_is_said_and_bounded(given: dict[str, str], seconds: float) -> None:
    too_many = answered_json({"message": "slow down"}, status="429 Too Many Requests", headers=given)
    with WebNode(lambda _: [too_many]) as node, pytest.raises(RateLimited, match="slow down") as caught:
        gateway(node).get(CID)
    assert caught.value.retry_after_s == seconds


def test_a_redirect_within_the_place_is_followed() -> None:
    moved = {"Location": "/elsewhere?format=raw"}
    with WebNode(
        lambda asked: [
            answered(BLOCK, headers=RAW_TYPE)
            if asked.path == "/elsewhere"
            else answered(b"", status="307 Temporary Redirect", headers=moved)
        ]
    ) as node:
        assert gateway(node).get(CID) == BLOCK


def test_nothing_can_be_put_deleted_or_listed() -> None:
    with WebNode(lambda _: []) as node:
        for call in (
            lambda: gateway(node).put(CID, BLOCK),
            lambda: gateway(node).delete(CID),
            lambda: gateway(node).cids(),
        ):
            with pytest.raises(StorageUnavailable):
                call()
    assert node.asked == []


def test_a_gateway_below_a_path_keeps_it() -> None:
    with WebNode(lambda _: [answered(BLOCK, headers=RAW_TYPE)]) as node:
        assert GatewayBlobs(node.url + "/mirror/", allow_private=True).get(CID) == BLOCK
    assert node.asked[0].path == f"/mirror/ipfs/{CID}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://host",
        "https://",
        "https://user:secret@host",
        "https://host?x=1",
        "https://host#x",
        "https://host:99999",
        "https://host:x",
        "https://ho st",
        "https://hé",
        "https://host/\r\nX: y",
        "host",
        "https://[::1",
    ],
)
def test_what_is_no_url_of_a_place_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StorageUnavailable) as caught:
        GatewayBlobs(url, allow_private=True)
    assert caught.value.__class__ is StorageUnavailable
