"""What a payer signs for: what it received, and beyond that never more than may be unpaid, whatever an enclave says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import seeded
from vault.channel import Voucher
from vault.errors import ExcessiveDemand, MalformedObject
from vault.paying import Tally

CHANNEL = seeded("channel")
UNPAID = 100


def voucher(amount: int) -> Voucher:
    return Voucher(channel=CHANNEL, amount=amount, signature=bytes(65))


def tally(received: int, signed: int, amount: int = 0) -> Tally:
    return Tally(channel=CHANNEL, received=received, signed=signed, voucher=voucher(amount) if amount else None)


@pytest.mark.parametrize(
    ("known", "due", "is_demanded", "payable"),
    [
        (tally(50, 0), 50, False, 50),
        (tally(50, 0), 30, False, 30),  # the rest was paid in advance
        (tally(50, 0), 80, False, 50),  # 30 are on their way, or lost
        (tally(50, 0), 80, True, 80),
        (tally(50, 0), 150, True, 150),
        (tally(50, 50, 450), 450, True, 450),  # others had signed for 400
        (tally(50, 50, 450), 400, True, 450),  # a host that rolled back knows of less
        (tally(0, 100, 100), 100, True, 100),
    ],
)
def test_what_is_signed_for(known: Tally, due: int, is_demanded: bool, payable: int) -> None:
    assert known.payable(due, unpaid_max=UNPAID, is_demanded=is_demanded) == payable


@pytest.mark.parametrize(
    ("known", "due"),
    [(tally(50, 0), 151), (tally(0, 0), 101), (tally(50, 50, 450), 551), (tally(0, 100, 100), 101)],
)
@pytest.mark.parametrize("is_demanded", [True, False])
def test_more_is_refused(known: Tally, due: int, is_demanded: bool) -> None:
    with pytest.raises(ExcessiveDemand, match=f"a voucher for {due} is asked for"):
        known.payable(due, unpaid_max=UNPAID, is_demanded=is_demanded)


def test_a_person_may_take_the_enclaves_word() -> None:
    assert tally(10, 60, 60).accepting(1_000).payable(1_000, unpaid_max=UNPAID, is_demanded=True) == 1_000


def test_what_was_paid_in_advance_is_not_signed_for_later() -> None:
    """A deposit paid for 900 of these 1000, as the enclave said once; it cannot ask for them again."""
    known = tally(1_000, 0).without_excess(100, unpaid_max=UNPAID)
    assert known.received == 200  # receipts may have come since it said so
    assert tally(150, 100, 100).without_excess(100, unpaid_max=UNPAID) == tally(150, 100, 100)
    with pytest.raises(ExcessiveDemand):
        known.payable(301, unpaid_max=UNPAID, is_demanded=True)


def test_a_tally_is_of_one_channel() -> None:
    with pytest.raises(MalformedObject):
        Tally(channel=bytes(32), received=0, signed=0, voucher=voucher(1))
    held = tally(50, 30, 70)
    assert Tally.from_bytes(held.encoded()) == held


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), st.integers(0, 60)),
        st.tuples(st.just("ask"), st.integers(0, 2_000), st.booleans()),
        st.tuples(st.just("show"), st.integers(0, 2_000)),
        st.tuples(st.just("restart")),
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_an_enclave_that_says_anything_gains_at_most_what_may_be_unpaid(steps: list[tuple[Any, ...]]) -> None:
    """It shows vouchers that were signed, old or new, and asks for any amount at any time."""
    known, received, raised = Tally.fresh(CHANNEL), 0, 0
    signed: list[int] = [0]
    for kind, *step in steps:
        if kind == "receive":
            known, received = known.with_received(step[0]), received + step[0]
        elif kind == "show":
            known = known.with_shown(voucher(max(1, signed[step[0] % len(signed)])) if signed[-1] else None)
        elif kind == "restart":
            known = Tally.from_bytes(known.encoded())
        else:
            due, is_demanded = step
            known = known.without_excess(due, unpaid_max=UNPAID)
            try:
                amount = known.payable(due, unpaid_max=UNPAID, is_demanded=is_demanded)
            except ExcessiveDemand:
                continue
            if amount > known.amount:
                raised += amount - known.amount
                known = known.with_signed(voucher(amount))
                signed.append(amount)
        assert known.amount == max(signed) == raised <= received + UNPAID
