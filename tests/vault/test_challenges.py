"""Challenges that cost nobody memory until they are used: bound, short-lived and good once (rule E1)."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import challenges as module
from vault.challenges import RETURNED_MAX, Challenges
from vault.custodian import NONCE_LIFETIME_S
from vault.errors import AccessDenied, MalformedObject, NotYet

ME, OTHER, KEYS, OTHER_KEYS = bytes(32), b"o" * 32, b"k" * 32, b"l" * 32
NOW = 1_800_000_000


@pytest.fixture
def challenges() -> Challenges:
    return Challenges()


def refused(challenges: Challenges, nonce: bytes, instance: bytes = ME, keys: bytes = KEYS, *, at: int = NOW) -> bool:
    try:
        challenges.spend(nonce, instance, keys, at=at)
    except AccessDenied:
        return True
    return False


def test_one_is_good_once_for_its_instance_and_keys(challenges: Challenges) -> None:
    nonce = challenges.issue(ME, KEYS, at=NOW)
    assert len(nonce) == 32
    assert refused(challenges, nonce, OTHER)
    assert refused(challenges, nonce, ME, OTHER_KEYS)
    assert refused(Challenges(), nonce)  # another custodian, or this one after a restart
    assert not refused(challenges, nonce)  # and none of these attempts used it up
    assert refused(challenges, nonce)


def test_no_two_are_the_same(challenges: Challenges) -> None:
    assert len({challenges.issue(ME, KEYS, at=NOW) for _ in range(1000)}) == 1000


@given(st.integers(0, 255))
def test_every_bit_of_it_counts(bit: int) -> None:
    challenges = Challenges()
    nonce = challenges.issue(ME, KEYS, at=NOW)
    flipped = (int.from_bytes(nonce, "big") ^ 1 << bit).to_bytes(32, "big")
    assert refused(challenges, flipped)
    assert not refused(challenges, nonce)


@given(st.binary(max_size=64))
def test_what_was_never_issued_is_refused(nonce: bytes) -> None:
    assert refused(Challenges(), nonce)


def test_fields_of_other_lengths_name_nobody(challenges: Challenges) -> None:
    for instance, keys in ((ME[:31], KEYS), (ME, KEYS + b"0"), (b"", b"")):
        with pytest.raises(MalformedObject):
            challenges.issue(instance, keys, at=NOW)


def test_it_ends_to_the_second_and_no_clock_brings_it_back(challenges: Challenges) -> None:
    early, late = challenges.issue(ME, KEYS, at=NOW), challenges.issue(ME, KEYS, at=NOW)
    assert not refused(challenges, early, at=NOW + NONCE_LIFETIME_S - 1)
    assert refused(challenges, late, at=NOW + NONCE_LIFETIME_S)
    assert refused(challenges, late, at=NOW)
    challenges.issue(ME, KEYS, at=NOW + 10 * NONCE_LIFETIME_S)  # by now nothing is remembered of the first
    assert refused(challenges, early, at=NOW)


def test_used_ones_are_remembered_as_long_as_they_could_be_used_again(challenges: Challenges) -> None:
    nonce = challenges.issue(ME, KEYS, at=NOW)
    for after in range(NONCE_LIFETIME_S + 5):
        assert refused(challenges, nonce, at=NOW + after) == bool(after)
    assert len(challenges._spent) == 0


def test_asking_costs_no_memory(challenges: Challenges) -> None:
    for number in range(20_000):
        challenges.issue((number % 7).to_bytes(32, "big"), KEYS, at=NOW)
    assert max(sys.getsizeof(value) for value in vars(challenges).values()) < 100


def test_guesses_and_used_ones_fill_nothing(challenges: Challenges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPENT_MAX", 2)
    for number in range(100):
        assert refused(challenges, number.to_bytes(32, "big"))
    nonces = [challenges.issue(ME, KEYS, at=NOW) for _ in range(3)]
    assert not refused(challenges, nonces[0]) and not refused(challenges, nonces[1])
    with pytest.raises(NotYet, match="too many challenges were used"):
        challenges.spend(nonces[2], ME, KEYS, at=NOW)
    fresh = challenges.issue(ME, KEYS, at=NOW + NONCE_LIFETIME_S)
    assert not refused(challenges, fresh, at=NOW + NONCE_LIFETIME_S)


class TestHandedBack:
    def test_what_was_asked_before_is_void_and_what_others_asked_is_not(self, challenges: Challenges) -> None:
        mine, theirs = challenges.issue(ME, KEYS, at=NOW), challenges.issue(OTHER, KEYS, at=NOW)
        challenges.forget(ME, at=NOW + 1, is_leased=True)
        for after in range(1, NONCE_LIFETIME_S + 5):
            assert refused(challenges, mine, at=NOW + after)
            assert refused(challenges, theirs, OTHER, at=NOW + after) == (after > 1)

    def test_what_is_asked_after_is_good(self, challenges: Challenges) -> None:
        challenges.forget(ME, at=NOW, is_leased=True)
        assert not refused(challenges, challenges.issue(ME, KEYS, at=NOW + 1), at=NOW + 1)

    def test_handing_back_twice_counts_from_the_second(self, challenges: Challenges) -> None:
        challenges.forget(ME, at=NOW, is_leased=True)
        nonce = challenges.issue(ME, KEYS, at=NOW + 5)
        challenges.forget(ME, at=NOW + 6, is_leased=False)
        assert refused(challenges, nonce, at=NOW + NONCE_LIFETIME_S + 1)

    def test_strangers_cannot_crowd_out_who_holds_a_lease(self, challenges: Challenges) -> None:
        for number in range(RETURNED_MAX):
            challenges.forget(number.to_bytes(32, "big"), at=NOW, is_leased=False)
        with pytest.raises(NotYet, match="too many hand-backs"):
            challenges.forget(OTHER, at=NOW, is_leased=False)
        mine = challenges.issue(b"m" * 32, KEYS, at=NOW)
        challenges.forget(b"m" * 32, at=NOW, is_leased=True)
        assert refused(challenges, mine, b"m" * 32)
        challenges.forget(OTHER, at=NOW + NONCE_LIFETIME_S, is_leased=False)
