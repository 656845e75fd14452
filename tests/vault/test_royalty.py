"""Splitting payments: sums are exact whatever the numbers are (rule L4)."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import policy, seeded, wallet
from tests.people import dao
from vault.attribution import RANK_WEIGHTS, rank_weight
from vault.policy import PRICE_MAX
from vault.royalty import largest_remainder, owner_account, shares_of

GENESIS = dao(1).genesis
WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=40).filter(any)
OWNERS = st.lists(st.sampled_from([seeded(f"owner {n}", 20) for n in range(5)]), min_size=1, max_size=100)


def ranked(owners: list[bytes]) -> list[int]:
    return [rank_weight(rank) for rank in range(len(owners))]


@given(total=st.integers(0, 10**15), weights=WEIGHTS)
def test_parts_add_up_and_are_within_one_of_their_share(total: int, weights: list[int]) -> None:
    parts = largest_remainder(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert 0 <= part * sum(weights) - (total * weight - total * weight % sum(weights)) <= sum(weights)
        assert part == 0 or weight > 0


@given(total=st.integers(0, 10**6), weights=WEIGHTS)
def test_a_greater_weight_never_gets_less(total: int, weights: list[int]) -> None:
    parts = largest_remainder(total, weights)
    by_weight = sorted(zip(weights, parts, strict=True))
    assert all(before[1] <= after[1] for before, after in pairwise(by_weight) if before[0] < after[0])


def test_units_left_over_go_to_the_largest_remainders_and_ties_to_the_first() -> None:
    assert largest_remainder(10, [1, 1, 1]) == [4, 3, 3]
    assert largest_remainder(11, [1, 1, 1]) == [4, 4, 3]
    assert largest_remainder(1, [1, 2]) == [0, 1]
    assert largest_remainder(0, [5]) == [0]


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [-1, 2]), (1, []), (1, [0, 0])])
def test_what_cannot_be_split_is_a_misuse(total: int, weights: list[int]) -> None:
    with pytest.raises(ValueError, match="needed"):
        largest_remainder(total, weights)


@given(
    price=st.integers(0, PRICE_MAX),
    owners=OWNERS | st.just([]),
    cuts=st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)).filter(lambda cuts: sum(cuts) <= 10_000),
)
def test_shares_add_up_to_the_price_and_none_is_zero(price: int, owners: list[bytes], cuts: tuple[int, int]) -> None:
    made = policy(GENESIS, price_per_query=price, treasury_bps=cuts[0], operator_bps=cuts[1])
    shares = shares_of(price, made, owners, ranked(owners))
    assert sum(share.amount for share in shares) == price
    assert all(share.amount > 0 for share in shares)
    assert len({share.account for share in shares}) == len(shares)


def test_owners_get_what_treasury_and_operator_leave_by_rank() -> None:
    first, second = wallet("a").address, wallet("b").address
    made = policy(GENESIS, price_per_query=1_000, treasury_bps=1_000, operator_bps=500)
    shares = {share.account: share.amount for share in shares_of(1_000, made, [first, second, first], RANK_WEIGHTS[:3])}
    weights = {first: RANK_WEIGHTS[0] + RANK_WEIGHTS[2], second: RANK_WEIGHTS[1]}
    expected = 850 * weights[first] // sum(weights.values())
    assert abs(shares[owner_account(first, "USDC")] - expected) <= 1
    assert shares[owner_account(first, "USDC")] + shares[owner_account(second, "USDC")] == 850
    assert shares["treasury/0x" + wallet("treasury").address.hex() + "/USDC"] == 100
    assert shares["operator/0x" + wallet("operator").address.hex() + "/USDC"] == 50


def test_where_nothing_was_returned_the_owners_part_is_the_treasurys() -> None:
    made = policy(GENESIS, price_per_query=1_000, treasury_bps=1_000, operator_bps=500)
    shares = {share.account: share.amount for share in shares_of(1_000, made, [], [])}
    assert shares == {
        "treasury/0x" + wallet("treasury").address.hex() + "/USDC": 950,
        "operator/0x" + wallet("operator").address.hex() + "/USDC": 50,
    }


def test_the_order_of_owners_in_a_dictionary_decides_nothing() -> None:
    owners = [seeded(f"owner {n}", 20) for n in range(3)]
    made = policy(GENESIS, price_per_query=101, treasury_bps=0, operator_bps=0)
    by_order = [shares_of(101, made, [*order, owners[0]], RANK_WEIGHTS[:4]) for order in permutations(owners)]
    assert all([share.account for share in shares] == sorted(share.account for share in shares) for shares in by_order)
