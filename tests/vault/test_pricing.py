"""Prices by volume: a free quota, then tiers, worked out from how many answers a licensee has had."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import dao, policy
from vault.charge import charge
from vault.errors import MalformedObject
from vault.licensees import Licensees
from vault.policy import Policy
from vault.pricing import PRICE_MAX, TIERS_MAX, Tier


def tier(after: int, per_query: int = 1, per_passage: int = 0) -> Tier:
    return Tier(after=after, price_per_query=per_query, price_per_passage=per_passage)


PLAIN = policy(dao().genesis, price_per_query=100, price_per_passage=7)
TIERED = replace(PLAIN, free_queries=2, tiers=(tier(5, 60, 3), tier(9, 80)))


def test_the_price_follows_from_the_answers_before() -> None:
    prices = [TIERED.price_of(2, before=count) for count in range(11)]
    assert prices == [0, 0, 114, 114, 114, 66, 66, 66, 66, 80, 80]
    assert [PLAIN.price_of(2, before=count) for count in (0, 10**9)] == [114, 114]


def test_the_charge_is_that_price() -> None:
    owners = [bytes(20)] * 2
    for count in range(11):
        transfers = charge(bytes(20), TIERED, owners, [2, 1], before=count)
        assert sum(transfer.amount for transfer in transfers) == TIERED.price_of(2, before=count)


TIERS = st.lists(st.tuples(st.integers(1, 20), st.integers(0, 9), st.integers(0, 9)), max_size=4).map(
    lambda made: tuple(tier(*one) for one in sorted({one[0]: one for one in made}.values()))
)


@given(TIERS, st.integers(0, 20), st.integers(0, 25), st.integers(0, 25), st.integers(0, 10))
def test_the_most_is_the_most_of_all_that_may_come_first(
    tiers: tuple[Tier, ...], free: int, before: int, racing: int, passages: int
) -> None:
    made = replace(PLAIN, tiers=tiers, free_queries=min(free, tiers[0].after - 1 if tiers else free))
    most = made.price_most(passages, before=before, racing=racing)
    assert most == max(made.price_of(passages, before=before + first) for first in range(racing + 1))
    assert most <= made.price_ever(passages)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"tiers": (tier(0),)}, "after more than the 0 free answers"),
        ({"tiers": (tier(3),), "free_queries": 3}, "after more than the 3 free answers"),
        ({"tiers": (tier(5), tier(5))}, "ever more answers"),
        ({"tiers": (tier(6), tier(5))}, "ever more answers"),
        ({"tiers": (tier(5, PRICE_MAX + 1),)}, "at most"),
        ({"tiers": (tier(5, 0, PRICE_MAX),)}, "at most"),
        ({"tiers": tuple(tier(1 + n) for n in range(TIERS_MAX + 1))}, "length 17"),
        ({"licensees": Licensees.anyone(), "free_queries": 1}, "nothing can be free"),
        ({"licensees": Licensees.anyone(), "tiers": (tier(1, 0),)}, "the price is 0"),
    ],
)
def test_prices_that_make_no_sense_are_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(MalformedObject, match=reason):
        replace(PLAIN, **changed)


def test_a_policy_with_tiers_comes_back_from_its_bytes() -> None:
    assert Policy.from_bytes(TIERED.encoded()) == TIERED
    assert TIERED.cid() != PLAIN.cid()
