"""The count: the same for everyone, whatever order ballots arrived in, and nobody counted twice."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import adopting, ballot, cast, dao, policy, proposal
from vault.ballot import Support
from vault.charter import Charter
from vault.closing import Cast, Period
from vault.tally import Tally, tally
from vault.vote_delegation import Delegated

DAO = dao(5)
PROPOSAL = proposal(DAO.history, adopting(policy(DAO.genesis)))
FIRST = ballot(DAO.history, PROPOSAL, DAO.wallets[0])
MEMBERS = [key.address for key in DAO.wallets]
FOR, AGAINST, ABSTAIN = Support.FOR, Support.AGAINST, Support.ABSTAIN
EARLY, LATE, EXTENDED = Period
EXTENDING = dao(5, extension_s=3600).charter


def said(
    who: int, support: Support = FOR, period: Period = EARLY, *, sequence: int = 0, mark: int = 0, weight: int = 1
) -> Cast:
    """Return a ballot in a closed set; whether it is signed is not the count's business."""
    made = replace(FIRST, voter=MEMBERS[who], support=support, sequence=sequence, signature=mark.to_bytes(65, "big"))
    return cast(made, period, weight=weight)


def counts(cast: Sequence[Cast], charter: Charter = DAO.charter, **delegated: int) -> tuple[int, int, int]:
    """Return the weights for, against and abstaining; `m1=0` says that member 1 chose member 0."""
    made = {MEMBERS[int(name[1:])]: Delegated(MEMBERS[to], 1, 0, 0) for name, to in delegated.items()}
    count = tally(charter, PROPOSAL, cast, made)
    return count.weight_for, count.weight_against, count.weight_abstain


casts = st.lists(
    st.builds(
        said,
        st.integers(0, 4),
        st.sampled_from(Support),
        st.sampled_from(Period),
        sequence=st.integers(0, 3),
        mark=st.integers(0, 2),
    ),
    min_size=1,
    max_size=12,
)
choices = st.dictionaries(st.sampled_from([f"m{n}" for n in range(5)]), st.integers(0, 4), max_size=5)


@settings(max_examples=100, deadline=None)
@given(casts, choices, st.sampled_from([DAO.charter, EXTENDING]), st.randoms(use_true_random=False))
def test_the_count_does_not_depend_on_the_order_or_on_repeats(
    casts: list[Cast], choices: dict[str, int], charter: Charter, random: Any
) -> None:
    ballots = {(one.ballot.voter, one.ballot.rank()): one for one in casts}.values()  # one signature, one ballot
    delegated = {name: to for name, to in choices.items() if name != f"m{to}"}
    once = counts(list(ballots), charter, **delegated)
    again = [*ballots, *random.choices(list(ballots), k=3)]
    random.shuffle(again)
    assert counts(again, charter, **delegated) == once
    assert sum(once) <= len(MEMBERS)


def test_the_highest_sequence_wins_whenever_it_came() -> None:
    votes = [said(0, AGAINST, sequence=2), said(0, FOR, sequence=9), said(0, ABSTAIN, sequence=10)]
    for order in (votes, votes[::-1]):
        assert counts(order) == (0, 0, 1)


def test_of_two_ballots_with_one_sequence_the_greater_signature_wins() -> None:
    twins = [said(0, FOR, mark=1), said(0, AGAINST, mark=2)]
    for order in (twins, twins[::-1]):
        assert counts(order) == (0, 1, 0)


def test_weights_count_not_heads() -> None:
    ballots = [said(n, AGAINST, weight=10 ** (19 * n)) for n in range(4)]
    charter = replace(DAO.charter, total_weight=(10**76 + sum(10 ** (19 * n) for n in range(4))).to_bytes(32, "big"))
    count = tally(charter, PROPOSAL, [*ballots, said(4, weight=10**76)], {})
    assert count.weight_for == 10**76 and count.is_carried()
    assert count.weight_against == 1 + 10**19 + 10**38 + 10**57


@pytest.mark.parametrize(
    ("votes", "delegated", "expected"),
    [
        ([said(0)], {"m1": 0}, (2, 0, 0)),
        ([said(0)], {"m1": 0, "m2": 0, "m3": 0}, (4, 0, 0)),
        ([said(0), said(1, AGAINST)], {"m1": 0}, (1, 1, 0)),
        ([said(0), said(1)], {"m1": 0}, (2, 0, 0)),
        ([said(0), said(1), said(1, AGAINST, sequence=1)], {"m1": 0}, (1, 1, 0)),
        ([said(0), said(0, AGAINST, sequence=1)], {"m1": 0}, (0, 2, 0)),
        ([said(0)], {"m1": 0, "m2": 1}, (2, 0, 0)),
        ([said(0)], {"m0": 1, "m1": 0}, (2, 0, 0)),
        ([said(0), said(1, AGAINST)], {"m0": 1, "m1": 0}, (1, 1, 0)),
        ([said(2)], {"m0": 1, "m1": 0}, (1, 0, 0)),
        ([said(1)], {"m0": 0}, (1, 0, 0)),
        ([said(2)], {"m1": 0}, (1, 0, 0)),
    ],
    ids=[
        "a delegate votes for two",
        "for four",
        "the delegator's own answer stands",
        "an own answer that is the same counts once",
        "so does the last of several own answers",
        "the delegate changes its mind for both",
        "what was handed on is not handed on again",
        "two who chose one another",
        "who both vote",
        "a circle that nobody of votes in",
        "a choice of oneself is none",
        "a delegate that stays away",
    ],
)
def test_nobody_counts_twice_through_delegation(
    votes: list[Cast], delegated: dict[str, int], expected: tuple[int, int, int]
) -> None:
    assert counts(votes, **delegated) == expected


def test_without_an_extension_what_came_after_the_close_does_not_count() -> None:
    assert counts([said(0), said(1, FOR, EXTENDED), said(2, FOR, LATE)]) == (2, 0, 0)
    assert counts([said(0), said(0, AGAINST, EXTENDED, sequence=1)]) == (1, 0, 0)  # nor does a second thought


def test_a_delegators_answer_that_came_too_late_leaves_its_delegates_in_place() -> None:
    assert counts([said(0), said(1, AGAINST, EXTENDED)], m1=0) == (2, 0, 0)
    assert counts([said(0, AGAINST, EXTENDED, sequence=1), said(0)], m1=0) == (2, 0, 0)


@pytest.mark.parametrize(
    ("votes", "is_extended", "expected"),
    [
        ([said(0), said(1), said(2, FOR, EXTENDED)], False, (2, 0, 0)),
        ([said(0), said(1, FOR, LATE), said(2, AGAINST, EXTENDED)], True, (2, 1, 0)),
        ([said(0), said(1, FOR, LATE), said(1, AGAINST, EXTENDED, sequence=1)], True, (1, 1, 0)),
        ([said(0, FOR, LATE), said(1, FOR, LATE), said(0, ABSTAIN, EXTENDED, sequence=1)], True, (1, 0, 1)),
        ([said(0), said(1, FOR, EXTENDED)], False, (1, 0, 0)),
        ([said(0, FOR, EXTENDED), said(1, FOR, EXTENDED), said(2, FOR, EXTENDED)], False, (0, 0, 0)),
        ([said(0), said(1), said(1, AGAINST, LATE, sequence=1), said(2, FOR, EXTENDED)], False, (1, 1, 0)),
    ],
    ids=[
        "quorum early",
        "quorum late",
        "a second thought in the extension",
        "of the one that made the quorum",
        "quorum only after the close",
        "nothing before the close",
        "an early quorum that changes its mind late",
    ],
)
def test_voting_is_extended_where_the_quorum_came_late(
    votes: list[Cast], is_extended: bool, expected: tuple[int, int, int]
) -> None:
    count = tally(EXTENDING, PROPOSAL, votes, {})
    assert count.is_extended is is_extended
    assert count.closed_at == PROPOSAL.closes_at + 3600 * is_extended
    assert (count.weight_for, count.weight_against, count.weight_abstain) == expected


def test_a_quorum_that_delegation_makes_counts_by_when_the_delegate_came() -> None:
    chosen = {MEMBERS[1]: Delegated(MEMBERS[0], 1, 0, 0)}
    assert not tally(EXTENDING, PROPOSAL, [said(0, FOR, EARLY)], chosen).is_extended
    assert tally(EXTENDING, PROPOSAL, [said(0, FOR, LATE)], chosen).is_extended
    assert not tally(EXTENDING, PROPOSAL, [said(0, FOR, EARLY), said(1, FOR, LATE)], chosen).is_extended


def test_a_charter_without_extension_never_extends() -> None:
    count = tally(DAO.charter, PROPOSAL, [said(n, FOR, LATE) for n in range(5)], {})
    assert not count.is_extended and count.closed_at == PROPOSAL.closes_at and count.is_carried()


BASE = Tally(
    weight_for=51,
    weight_against=0,
    weight_abstain=0,
    total=100,
    quorum_bps=4_000,
    threshold_bps=5_001,
    closed_at=0,
    is_extended=False,
)


@pytest.mark.parametrize(
    ("field", "is_carried"),
    [
        ({}, True),
        ({"weight_for": 50}, False),
        ({"weight_for": 50, "threshold_bps": 5_000}, True),
        ({"weight_for": 39, "threshold_bps": 1}, False),
        ({"weight_for": 39, "weight_abstain": 1, "threshold_bps": 1}, True),
        ({"weight_for": 20, "weight_against": 20, "threshold_bps": 1}, False),
        ({"weight_for": 21, "weight_against": 20, "threshold_bps": 1}, True),
        ({"weight_for": 30, "weight_against": 20, "threshold_bps": 3_001}, False),
        ({"quorum_bps": 5_101}, False),
        ({"total": 2**256 - 1}, False),
        ({"weight_for": 2**255, "total": 2**256 - 1, "threshold_bps": 5_000}, True),
        ({"weight_for": 2**255 - 1, "total": 2**256 - 1, "threshold_bps": 5_000}, False),
        ({"weight_for": 99, "weight_abstain": 1, "threshold_bps": 10_000}, False),
        ({"weight_for": 100, "threshold_bps": 10_000, "quorum_bps": 10_000}, True),
    ],
    ids=str,
)
def test_quorum_and_threshold_are_of_the_total_weight_and_exact(field: dict[str, int], is_carried: bool) -> None:
    assert replace(BASE, **field).is_carried() is is_carried  # type: ignore[arg-type]
