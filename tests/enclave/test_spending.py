"""What a client may spend: whatever comes, it never asks for more than it was given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.spending import Spending
from tests.builders import seeded
from vault.errors import CreditExhausted

IDS = [seeded(f"request {n}") for n in range(4)]
STEP = st.tuples(st.sampled_from(["hold", "settle", "release"]), st.sampled_from(IDS), st.integers(0, 100))


@given(most=st.integers(0, 300), steps=st.lists(STEP, max_size=40))
def test_spent_and_held_never_exceed_the_most(most: int, steps: list[tuple[str, bytes, int]]) -> None:
    spending, held, spent = Spending(most), dict[bytes, int](), 0
    for step, request, price in steps:
        if step == "hold":
            fits = spent + sum(held.values()) - held.get(request, 0) + max(price, held.get(request, 0)) <= most
            try:
                spending.hold(request, price)
            except CreditExhausted:
                assert not fits
            else:
                assert fits
                held[request] = max(price, held.get(request, 0))
        elif step == "settle" and request in held:
            cost = min(price, held.pop(request))  # a checked receipt costs no more than was held
            spending.settle(request, cost)
            spent += cost
        elif step == "release":
            spending.release(request)
            held.pop(request, None)
        assert spending.spent == spent <= most
        assert spending.left == most - spent - sum(held.values())


def test_without_a_limit_it_only_counts() -> None:
    spending = Spending(None)
    spending.hold(IDS[0], 10**18)
    spending.settle(IDS[0], 10**18)
    assert (spending.spent, spending.left) == (10**18, None)


@pytest.mark.parametrize("most", [-1, -(10**9)])
def test_less_than_nothing_is_a_mistake(most: Any) -> None:
    with pytest.raises(ValueError, match="max_spend"):
        Spending(most)
