"""A bounded rate per peer: who floods is refused, others are not, and the table of peers is bounded (rule R6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.errors import RateExceeded
from vault.rate import BYTES_PER_CALL, UNNAMED, PeerLimit, peer_name


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


def taken(limit: PeerLimit, peer: str, most: int = 1000) -> int:
    """Return how many calls the peer may make at once."""
    for count in range(most):
        try:
            limit.take(peer)
        except RateExceeded:
            return count
    return most


def test_a_burst_is_allowed_and_then_the_rate(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    assert taken(limit, "mallory") == 20
    seconds.now += 1
    assert taken(limit, "mallory") == 5
    seconds.now += 0.1
    assert taken(limit, "mallory") == 0
    seconds.now += 0.1
    assert taken(limit, "mallory") == 1
    seconds.now += 3600
    assert taken(limit, "mallory") == 20


def test_one_peers_flood_is_not_anothers(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    assert taken(limit, "mallory") == 20
    assert taken(limit, "alice") == 20


def test_refused_calls_do_not_lengthen_the_wait(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    taken(limit, "mallory")
    for _ in range(500):
        with pytest.raises(RateExceeded, match="more than 5 such calls a second"):
            limit.take("mallory")
    seconds.now += 1
    assert taken(limit, "mallory") == 5


def test_a_message_counts_by_its_size(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    limit.charge("mallory", BYTES_PER_CALL - 1)
    assert taken(limit, "mallory") == 20
    seconds.now += 4
    limit.charge("mallory", 7 * BYTES_PER_CALL)
    assert taken(limit, "mallory") == 13


def test_the_largest_message_gets_through_and_those_beside_it_wait_until_it_is_paid(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    limit.take("mallory")
    limit.take("mallory")  # both calls begin before a message of theirs is there
    limit.charge("mallory", 100 * BYTES_PER_CALL)
    with pytest.raises(RateExceeded):
        limit.charge("mallory", 100 * BYTES_PER_CALL)
    limit.charge("mallory", 100)  # a small one begun before is not held up
    seconds.now += 16
    assert taken(limit, "mallory") == 0
    seconds.now += 1
    assert taken(limit, "mallory") == 3
    assert taken(limit, "alice") == 20


def test_peers_remembered_are_bounded_and_the_busiest_stay(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=1, burst=3, peers_max=10, monotonic=seconds)
    assert taken(limit, "mallory") == 3
    for number in range(100):
        limit.take(f"peer {number}")
        assert taken(limit, "mallory") == 0  # it goes on calling, so it is never the one forgotten
        assert len(limit._left) <= 10


def test_a_clock_that_goes_back_gives_nothing(seconds: Seconds) -> None:
    limit = PeerLimit(per_s=5, burst=20, monotonic=seconds)
    taken(limit, "mallory")
    seconds.now -= 500
    assert taken(limit, "mallory") == 0
    seconds.now += 1
    assert taken(limit, "mallory") == 5  # and takes nothing either


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("ipv4:192.0.2.7:50123", "192.0.2.7"),
        ("ipv4:192.0.2.7:1", "192.0.2.7"),
        ("ipv6:[2001:db8:1:2::9]:50123", "20010db800010002"),
        ("ipv6:%5B2001:db8:1:2:ffff::1%5D:50123", "20010db800010002"),  # another address of the same network
        ("ipv6:[2001:db8:1:3::9]:50123", "20010db800010003"),
        ("ipv6:[::ffff:192.0.2.7]:50123", "192.0.2.7"),  # one machine over a dual-stack socket
        ("ipv6:%5Bfe80::1%25eth0%5D:50123", "fe80000000000000"),
        ("unix:/tmp/a", UNNAMED),
        ("unix-abstract:x", UNNAMED),
        ("", UNNAMED),
        ("ipv4:", UNNAMED),
        ("unknown", UNNAMED),
    ],
)
def test_a_peer_is_its_machine_whatever_its_port(peer: str, name: str) -> None:
    assert peer_name(peer) == name


@given(st.text(max_size=80))
def test_any_name_is_some_peer(peer: str) -> None:
    assert peer_name(peer)
