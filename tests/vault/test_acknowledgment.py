"""Custodians' words on when something came: whose they are, and what several of them say."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.people import NOW
from tests.voting import voting_dao
from vault.acknowledgment import (
    PERIODS,
    Acknowledgment,
    Acknowledgments,
    arrivals,
    is_in_time,
    require_given,
    times_for,
)
from vault.errors import InvalidSignature, MalformedObject
from vault.machine import MachineKey

DAO = voting_dao(4)
SUBJECT = bytes(range(32))
KEYS = [keys.signing for keys in DAO.custodians]
ROUND_S = 10
TIMES = st.dictionaries(st.sampled_from([key.public for key in KEYS]), st.integers(NOW - 30, NOW + 60))


def word(index: int = 0, *, at: int = NOW, period: int = 0) -> Acknowledgment:
    return Acknowledgment.made(KEYS[index], DAO.genesis, SUBJECT, at=at, period=period)


def test_each_custodians_earliest_time_counts() -> None:
    words = [word(0, at=NOW + 2), word(1, at=NOW + 5), word(0, at=NOW + 1, period=1)]
    times = arrivals(words, DAO.charter, genesis=DAO.genesis, subject=SUBJECT)
    assert times == {KEYS[0].public: NOW + 1, KEYS[1].public: NOW + 5}


@pytest.mark.parametrize(("period", "expected"), [(0, {0}), (1, {0, 1}), (2, {0, 1, 2})])
def test_a_word_counts_for_its_own_period_and_later_ones(period: int, expected: set[int]) -> None:
    words = [word(index, period=index) for index in range(PERIODS)]
    assert set(times_for(words, period)) == {KEYS[index].public for index in expected}


@pytest.mark.parametrize(
    "change",
    [{"arrived_at": NOW - 1}, {"period": 1}, {"subject": bytes(32)}, {"custodian": KEYS[1].public}],
)
def test_a_word_that_was_changed_is_nobodys(change: dict[str, object]) -> None:
    with pytest.raises(InvalidSignature):
        require_given([replace(word(), **change)], DAO.charter, genesis=DAO.genesis, subject=SUBJECT)


def test_a_strangers_word_is_none() -> None:
    stranger = Acknowledgment.made(MachineKey(bytes(32)), DAO.genesis, SUBJECT, at=NOW)
    with pytest.raises(InvalidSignature, match="no custodian"):
        require_given([stranger], DAO.charter, genesis=DAO.genesis, subject=SUBJECT)


def test_there_is_no_fourth_period_and_no_more_words_than_custodians_can_give() -> None:
    with pytest.raises(MalformedObject, match="3 periods"):
        word(period=PERIODS)
    with pytest.raises(MalformedObject):
        Acknowledgments(given=(word(),) * 49)


@given(data=st.binary(max_size=200))
def test_foreign_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    with pytest.raises(MalformedObject):
        Acknowledgments.from_bytes(data)


@pytest.mark.parametrize(
    ("times", "is_taken"),
    [
        ([NOW], True),
        ([NOW + 1], False),
        ([NOW + ROUND_S, NOW], True),
        ([NOW + ROUND_S + 1, NOW], False),
        ([NOW + ROUND_S, NOW + 1], False),
        ([NOW + 10_000, NOW, NOW + ROUND_S], True),  # more than f others
        ([NOW + 10_000, NOW, NOW + ROUND_S + 1], False),
    ],
)
def test_one_round_more_for_each_word_that_comes_with_it(times: list[int], is_taken: bool) -> None:
    known = {key.public: at for key, at in zip(KEYS, times, strict=False)}
    assert is_in_time(known, KEYS[0].public, by=NOW, round_s=ROUND_S, liars=1) is is_taken


@given(times=TIMES, more=TIMES)
def test_what_more_words_or_earlier_ones_say_never_undoes_it(times: dict[bytes, int], more: dict[bytes, int]) -> None:
    """So whoever hears all that another one knew counts what that one counted."""
    both = {key: min(known[key] for known in (times, more) if key in known) for key in times | more}
    for own in (KEYS[0].public, KEYS[3].public):
        if is_in_time(times, own, by=NOW, round_s=ROUND_S, liars=1):
            assert is_in_time(both, own, by=NOW, round_s=ROUND_S, liars=1)
