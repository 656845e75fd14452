"""A gateway, or who stands in its place, that lies, stalls, floods or sends us elsewhere: our own error, and soon."""

import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import addresses
from storage.addresses import is_public
from storage.car import HEADER_BYTES_MAX
from storage.cid import DAG_PB, RAW, Cid
from storage.errors import (
    BlockMismatch,
    BlockTooLarge,
    MalformedCar,
    StorageError,
    StorageUnavailable,
)
from storage.gateway import GatewayBlobs
from storage.http_place import HttpPlace
from storage.memory import MemoryBlobs
from storage.model import BLOCK_BYTES_MAX
from storage.unixfs import add_file
from tests.storage.gateway_node import CAR_TYPE, RAW_TYPE, car_of
from tests.storage.web_node import Asked, Handler, WebNode, answered

BLOCK = b"the right block"
CID = Cid.of(RAW, BLOCK)
TIMEOUT_S = 0.4
SECONDS_MAX = 5.0  # far above what each takes, far below what it would take unbounded
FLOOD_BYTES_MAX = 16 * 2**20  # sent before we hang up, with what the kernel buffers on both sides
FLOOD = b"\0" * 65536


def gateway(node: WebNode) -> GatewayBlobs:
    return GatewayBlobs(node.url, timeout_s=TIMEOUT_S, allow_private=True)


def outcome(handler: Handler, expected: type[StorageError]) -> tuple[str, WebNode]:
    start = time.monotonic()
    with WebNode(handler) as node, pytest.raises(expected) as caught:
        try:
            gateway(node).get(CID)
        finally:
            node.is_over.set()
    assert time.monotonic() - start < SECONDS_MAX
    assert node.bytes_sent < FLOOD_BYTES_MAX
    return str(caught.value), node


def test_other_bytes_are_found_out_and_the_gateway_named() -> None:
    said, node = outcome(lambda _: [answered(b"a forged block!", headers=RAW_TYPE)], BlockMismatch)
    assert node.url in said


@pytest.mark.parametrize("kind", ["text/html", "application/octet-stream", "application/vnd.ipld.car", ""])
def test_the_right_bytes_of_another_type_are_not_taken(kind: str) -> None:
    outcome(lambda _: [answered(BLOCK, headers={"Content-Type": kind})], StorageUnavailable)


def test_a_packed_answer_is_not_unpacked() -> None:
    packed = {**RAW_TYPE, "Content-Encoding": "gzip"}
    outcome(lambda _: [answered(BLOCK, headers=packed)], StorageUnavailable)


@pytest.mark.parametrize("length", [str(BLOCK_BYTES_MAX + 1), "0" * 20 + "9999999", "1" + "0" * 10_000])
def test_a_length_over_any_block_is_refused_unread(length: str) -> None:
    said = answered(b"", headers={**RAW_TYPE, "Content-Length": length})
    outcome(lambda _: [said], BlockTooLarge)


@pytest.mark.parametrize("length", ["", "-1", "+15", "1e9", "\u00b2", "15, 15", "0x0f", "fifteen"])
def test_a_length_that_is_no_number_is_no_way_around_the_bound(length: str) -> None:
    def endless(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\n"
        yield f"Content-Length: {length}\r\n\r\n".encode("latin-1")
        while True:
            yield FLOOD

    outcome(endless, StorageError)


def test_a_body_cut_short_is_not_taken_for_the_whole() -> None:
    said, _ = outcome(lambda _: [answered(BLOCK, headers=RAW_TYPE, length=len(BLOCK) + 1)], StorageUnavailable)
    assert "early" in said


def head(extra: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.raw\r\n{extra}\r\n".encode()


def endless_body(_: Asked) -> Iterator[bytes]:
    yield head()
    while True:
        yield FLOOD


def endless_chunks(_: Asked) -> Iterator[bytes]:
    yield head("Transfer-Encoding: chunked\r\n")
    while True:
        yield b"10000\r\n" + FLOOD + b"\r\n"


def endless_tiny_chunks(_: Asked) -> Iterator[bytes]:
    yield head("Transfer-Encoding: chunked\r\n")
    while True:
        yield b"1;" + b"x" * 1000 + b"\r\n.\r\n"


def endless_trailers(_: Asked) -> Iterator[bytes]:
    yield head("Transfer-Encoding: chunked\r\n") + b"f\r\n" + BLOCK + b"\r\n0\r\n"
    while True:
        yield b"X-Trailer: " + b"x" * 1000 + b"\r\n"


def endless_headers(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    while True:
        yield b"X-Header: " + b"x" * 1000 + b"\r\n"


def endless_continues(_: Asked) -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n" * 1000


def endless_status(_: Asked) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 "
    while True:
        yield b"x" * 65536


def huge_chunk(_: Asked) -> Iterator[bytes]:
    yield head("Transfer-Encoding: chunked\r\n") + b"7fffffffffffffff\r\n"
    while True:
        yield FLOOD


def no_http(_: Asked) -> Iterator[bytes]:
    yield b"SSH-2.0-OpenSSH_9.9\r\n"


def nothing(_: Asked) -> Iterator[bytes]:
    return iter(())


@pytest.mark.parametrize(
    "handler",
    [
        endless_body,
        endless_chunks,
        endless_tiny_chunks,
        endless_trailers,
        endless_headers,
        endless_continues,
        endless_status,
        huge_chunk,
        no_http,
        nothing,
    ],
)
def test_a_flood_or_nonsense_is_left(handler: Handler) -> None:
    outcome(handler, StorageUnavailable)


@pytest.mark.parametrize("part", ["silence", "status", "header", "body", "chunk"])
def test_who_trickles_is_left_at_the_deadline(part: str) -> None:
    """Slow loris, the other way round: a byte now and then would keep a plain timeout waiting for ever."""
    before = {
        "silence": b"",
        "status": b"HTTP/1.1 2",
        "header": b"HTTP/1.1 200 OK\r\nX: ",
        "body": head("Content-Length: 1000000\r\n"),
        "chunk": head("Transfer-Encoding: chunked\r\n") + b"fffff\r\n",
    }[part]

    with WebNode(lambda _: []) as node:

        def trickle(_: Asked) -> Iterator[bytes]:
            yield before
            while not node.is_over.wait(0.05):
                yield b"" if part == "silence" else b"1"

        node.handler = trickle
        start = time.monotonic()
        with pytest.raises(StorageUnavailable, match="within"):
            gateway(node).get(CID)
        assert TIMEOUT_S * 0.9 < time.monotonic() - start < TIMEOUT_S + 1.5


def test_a_place_that_is_not_there_is_our_own_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(StorageUnavailable):
        GatewayBlobs(url, timeout_s=TIMEOUT_S, allow_private=True).get(CID)


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:1/",
        "http://localhost:1/",
        "http://[::1]:1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[64:ff9b::a00:1]/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "file:///etc/passwd",
        "ftp://host/",
        "//user:secret@10.0.0.1/",
        "http://host:99999/",
        "http://[::1",
        "",
        "gopher:",
        "/\u00e9",
        "http://\u00e9.example/",
        "/a b",
        "/\x7f",
    ],
)
def test_a_redirect_leads_nowhere_private(location: str) -> None:
    """Also where the gateway itself is on our own network: only its own origin keeps that right."""
    moved = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n".encode("latin-1")
    outcome(lambda _: [moved], StorageUnavailable)


def test_a_redirect_to_another_port_of_this_machine_is_not_followed() -> None:
    with WebNode(lambda _: [answered(BLOCK, headers=RAW_TYPE)]) as victim:
        moved = answered(b"", status="302 Found", headers={"Location": f"{victim.url}/admin"})
        outcome(lambda _: [moved], StorageUnavailable)
    assert victim.asked == []


def test_a_redirect_in_a_circle_ends() -> None:
    moved = answered(b"", status="302 Found", headers={"Location": "/again"})
    _, node = outcome(lambda _: [moved], StorageUnavailable)
    assert len(node.asked) <= 4


def test_a_name_that_leads_to_a_private_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with WebNode(lambda _: [answered(BLOCK, headers=RAW_TYPE)]) as node:
        port = int(node.url.rpartition(":")[2])
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(StorageUnavailable, match="private"):
                GatewayBlobs(f"http://{host}:{port}", timeout_s=TIMEOUT_S).get(CID)
        entry = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *_, **__: [entry])
        with pytest.raises(StorageUnavailable, match="private"):
            GatewayBlobs("http://gateway.example", timeout_s=TIMEOUT_S).get(CID)
    assert node.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:5ef5:79fd:0:0:f5ff:fffe", "not an address",
    ],
)  # fmt: skip
def test_private_addresses_are_known_also_inside_others(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(address)


def test_an_archive_is_believed_block_by_block() -> None:
    blobs = MemoryBlobs()
    root = add_file(blobs, bytes(range(256)) * 5000)
    archive = car_of(blobs, root)
    good = {cid: blobs.get(cid) for cid in blobs.cids()}
    other = Cid.of(DAG_PB, b"another root")
    forged = archive[:-1] + bytes((archive[-1] ^ 1,))
    for body, asked_for, expected in (
        (forged, root, BlockMismatch),
        (archive[:-1], root, MalformedCar),
        (archive, other, MalformedCar),
        (b"", root, MalformedCar),
        (b"<html>", root, MalformedCar),
    ):
        taken = {}
        with WebNode(lambda _, body=body: [answered(body, headers=CAR_TYPE)]) as node, pytest.raises(expected):
            for cid, block in gateway(node).blocks_below(asked_for, blocks_max=10, bytes_max=2**22):
                taken[cid] = block
        assert taken.items() <= good.items()


def test_an_endless_archive_ends_at_its_bound() -> None:
    def endless(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.ipld.car\r\n\r\n"
        blobs = MemoryBlobs()
        root = add_file(blobs, BLOCK)
        archive = car_of(blobs, root)
        yield archive
        header = len(archive) - len(BLOCK) - 36 - 1
        while True:
            yield archive[header:] * 100

    with WebNode(endless) as node, pytest.raises(StorageError):
        list(gateway(node).blocks_below(CID, blocks_max=50, bytes_max=10_000))
    assert node.bytes_sent < FLOOD_BYTES_MAX + HEADER_BYTES_MAX


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_at_all_are_an_answer_or_our_own_error(wire: bytes) -> None:
    with WebNode(lambda _: [wire]) as node:
        try:
            assert gateway(node).get(CID) == BLOCK
        except StorageError:
            return


def test_a_redirect_that_may_be_followed_takes_no_token_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda _: True)
    with WebNode(lambda _: [answered(b"taken")]) as thief:
        moved = answered(b"", status="302 Found", headers={"Location": f"{thief.url}/there"})
        with WebNode(lambda _: [moved]) as node:
            place = HttpPlace(node.url, name="place", token="secret", allow_private=True)  # noqa: S106
            with place.ask("GET", "/", redirects_max=1) as answer:
                assert answer.body(bytes_max=10) == b"taken"
        assert node.asked[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in thief.asked[0].headers
