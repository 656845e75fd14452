"""What peers hand in ahead: bounded for each and in all, and gone after a while."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from storage.cid import RAW, Cid
from tests.deployment import deployed
from tests.enclaves import Clock, world
from vault import custody_server, staging
from vault.client import CustodyClient
from vault.errors import MalformedObject, RateExceeded
from vault.rate import PeerLimit
from vault.staging import LIFETIME_S, PEER_BYTES_MAX, PEERS_MAX, Staging
from vault.tls import TlsIdentity


def blocks(name: str, count: int, size: int = 10) -> dict[Cid, bytes]:
    made = [f"{name} {n} ".encode().ljust(size, b".") for n in range(count)]
    return {Cid.of(RAW, block): block for block in made}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def staged(clock: Clock) -> Staging:
    return Staging(monotonic=clock.monotonic, peer_bytes_max=100, peers_max=2)


def test_each_peer_finds_its_own(staged: Staging) -> None:
    staged.put("a", blocks("a", 2))
    staged.put("a", blocks("more", 1))
    staged.put("b", blocks("b", 1))
    assert staged.of("a") == blocks("a", 2) | blocks("more", 1)
    assert staged.of("b") == blocks("b", 1)
    assert staged.of("c") == {}


def test_a_peers_earliest_make_room_for_its_latest(staged: Staging) -> None:
    staged.put("b", blocks("b", 9))
    staged.put("a", blocks("a", 8))
    staged.put("a", blocks("more", 5))
    assert list(staged.of("a")) == [*list(blocks("a", 8))[3:], *blocks("more", 5)]
    assert staged.of("b") == blocks("b", 9)


def test_the_number_of_blocks_is_bounded_too(staged: Staging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "LINK_BLOCKS_MAX", 3)
    staged.put("a", blocks("a", 5))
    assert list(staged.of("a")) == list(blocks("a", 5))[2:]


def test_the_same_block_counts_once(staged: Staging) -> None:
    for _ in range(30):
        staged.put("a", blocks("a", 5))
    staged.put("a", blocks("more", 5))
    assert len(staged.of("a")) == 10


def test_the_peer_not_heard_of_for_longest_makes_room(staged: Staging) -> None:
    for peer in ("a", "b", "a", "c"):
        staged.put(peer, blocks(peer, 1))
    assert (bool(staged.of("a")), bool(staged.of("b")), bool(staged.of("c"))) == (True, False, True)


def test_they_expire_after_the_last(staged: Staging, clock: Clock) -> None:
    staged.put("a", blocks("a", 1))
    clock.advance(LIFETIME_S - 1)
    staged.put("a", blocks("more", 1))
    clock.advance(LIFETIME_S - 1)
    assert len(staged.of("a")) == 2
    clock.advance(1)
    assert staged.of("a") == {}


def test_what_was_needed_is_dropped(staged: Staging) -> None:
    staged.put("a", blocks("a", 10))
    staged.drop("a", [*blocks("a", 4), *blocks("other", 3)])
    staged.drop("nobody", blocks("a", 1))
    assert list(staged.of("a")) == list(blocks("a", 10))[4:]
    staged.put("a", blocks("more", 4))
    assert len(staged.of("a")) == 10
    staged.drop("a", staged.of("a"))
    assert staged.of("a") == {}


def test_memory_is_bounded() -> None:
    assert PEER_BYTES_MAX * PEERS_MAX <= 256 << 20


class TestServer:
    def test_a_large_decision_is_staged_in_seconds_and_more_is_refused(self, tmp_path: Path) -> None:
        with (
            deployed(tmp_path, world(), is_started=False) as deployment,
            CustodyClient.connect(deployment.custodians[0].address) as client,
        ):
            began = time.monotonic()
            for n in range(12):
                client.stage_blocks(blocks(f"page {n}", 1, 1 << 20))
            assert time.monotonic() - began < 10
            client.tips(bytes(32))
            with pytest.raises(RateExceeded):
                for n in range(40):
                    client.stage_blocks(blocks(f"junk {n}", 1, 2 << 20))
            client.tips(bytes(32))

    def test_a_block_under_another_cid_is_refused(self, tmp_path: Path) -> None:
        wrong = dict(zip(blocks("a", 1), blocks("b", 1).values(), strict=True))
        with (
            deployed(tmp_path, world(), is_started=False) as deployment,
            CustodyClient.connect(deployment.custodians[0].address) as client,
            pytest.raises(MalformedObject),
        ):
            client.stage_blocks(wrong)

    def test_staging_has_a_limit_of_its_own(self, tmp_path: Path) -> None:
        clock, made = Clock(), world()
        limit = PeerLimit(per_s=1, burst=100, monotonic=clock.monotonic)
        with deployed(tmp_path, made, is_started=False) as deployment:
            server, port = deployment.loop.call(
                custody_server.custody_server(
                    deployment.custodies.all[0], TlsIdentity.fresh(), "127.0.0.1:0", limit=limit
                )
            )
            with CustodyClient.connect(f"127.0.0.1:{port}") as client:
                for n in range(5):
                    client.stage_blocks(blocks(f"page {n}", 1, 1 << 20))
                client.tips(bytes(32))
            deployment.loop.call(server.stop(0))
