"""What needs attention, one fact at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tui.attention import attention
from tui.desk.overview import CustodianFacts, DaoFacts, SealedFacts
from tui.pulse import Pulse
from tui.slow import Progress
from tui.words import amount, short, size, time_left_text

DAO = DaoFacts(
    name="Harbor",
    genesis="bafy",
    epoch=3,
    head="bafy",
    members=3,
    guardians=(),
    custodians=1,
    policies=(),
    open_proposals=0,
    unanswered=0,
)
CUSTODIAN = CustodianFacts(address="one:1", epoch=3)
SEALED = SealedFacts(
    manifest="bafy",
    title="Letters",
    version=1,
    owner="0x",
    state="published",
    documents=1,
    passages=1,
    sealed_bytes=1,
    created_at=0,
    copies=("folder blocks",),
    has_paper=True,
)
CALM = Pulse(dao=DAO, custodians=(CUSTODIAN,))


def test_where_all_is_well_nothing_waits() -> None:
    assert attention(CALM, [SEALED]) == ()


@pytest.mark.parametrize(
    ("changed", "words", "is_grave"),
    [
        ({"enclave_problem": "nothing answers"}, "the enclave is lost: nothing answers", True),
        ({"dao_problem": "the board was changed"}, "the board was changed", True),
        ({"custodians": (replace(CUSTODIAN, problem="one:1 is down"),)}, "one:1 is down", True),
        ({"custodians": (replace(CUSTODIAN, epoch=1),)}, "custodian one:1 is 2 epochs behind", False),
        ({"dao": replace(DAO, unanswered=1)}, "1 open proposal without a vote of yours", False),
    ],
)
def test_each_thing_that_is_not_well_is_said(changed: dict[str, Any], words: str, is_grave: bool) -> None:
    (one,) = attention(replace(CALM, **changed), [SEALED])
    assert (one.words, one.is_grave) == (words, is_grave)


def test_a_dataset_waits_until_it_is_published_and_on_paper() -> None:
    found = attention(CALM, [replace(SEALED, state="sealed", has_paper=False)])
    assert [one.page for one in found] == ["datasets", "datasets"]
    assert "not published" in found[0].words
    assert "not on paper" in found[1].words


def test_what_is_grave_comes_first() -> None:
    pulse = replace(CALM, dao=replace(DAO, unanswered=1), enclave_problem="nothing answers")
    assert [one.is_grave for one in attention(pulse, [])] == [True, False]


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        (amount(250, "USDC"), "0.00025 USDC"),
        (amount(1_250_000_000, "USDC"), "1,250 USDC"),
        (amount(-1, "USDC"), "-0.000001 USDC"),
        (time_left_text(0), "0s"),
        (time_left_text(90_061), "1d 1h"),
        (size(999), "999 B"),
        (size(1_000), "1.0 kB"),
        (size(123_456_789), "123 MB"),
        (short("abcdefghijklmnopqrstuvwxyz"), "abcdefghij…wxyz"),
        (short("abc"), "abc"),
    ],
)
def test_amounts_and_times_read_as_a_person_says_them(shown: str, meant: str) -> None:
    assert shown == meant


def test_progress_tells_rate_and_what_is_left_of_the_time() -> None:
    half = Progress(what="documents sealed", done=50, total=100, elapsed_s=5.0)
    assert (half.rate, half.left_s) == (10.0, 5.0)
    assert replace(half, total=None).left_s is None
    assert replace(half, done=0).left_s is None
