"""A decision proves from raw signatures alone that a proposal was carried."""

from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import DAY_S, NOW, adopting, ballot, carried, dao, decided, policy, proposal, resigned, wallet
from vault.ballot import Support
from vault.decision import BALLOTS_MAX, Decision, verified_tally, verify_proposal
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject

DAO = dao(5)
CHARTER, HISTORY, GENESIS = DAO.charter, DAO.history, DAO.genesis
ACTION = adopting(policy(GENESIS))
DECISION = carried(HISTORY, ACTION)
PROPOSAL = DECISION.proposal
PROPOSER = next(key for key in DAO.wallets if key.address == PROPOSAL.proposer)


def test_a_decision_comes_back_from_its_bytes_and_counts_the_same() -> None:
    again = Decision.from_bytes(DECISION.encoded())
    counted = verified_tally(CHARTER, again, genesis=GENESIS)
    assert counted == verified_tally(CHARTER, DECISION, genesis=GENESIS)
    assert counted.weight_for == 5 and counted.is_carried()


def test_every_answer_is_counted_as_it_was_given() -> None:
    answers = [Support.FOR, Support.AGAINST, Support.ABSTAIN, Support.AGAINST]
    counted = verified_tally(CHARTER, decided(HISTORY, PROPOSAL, answers), genesis=GENESIS)
    assert (counted.weight_for, counted.weight_against, counted.weight_abstain) == (1, 2, 1)
    assert not counted.is_carried()


@pytest.mark.parametrize("ballots", [(), DECISION.ballots[:1] * (BALLOTS_MAX + 1)], ids=["none", "too many"])
def test_a_decision_has_some_ballots_and_not_too_many(ballots: tuple[Any, ...]) -> None:
    with pytest.raises(MalformedObject):
        replace(DECISION, ballots=ballots)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({"genesis": Cid.of(DAG_CBOR, b"other")}, "another DAO"),
        ({"opens_at": NOW - DAY_S + 1}, "open for at least"),
        ({"closes_at": NOW - DAY_S}, "open for at least"),
        ({"closes_at": 0}, "open for at least"),
    ],
    ids=["genesis", "opens", "closes", "closes before it opens"],
)
def test_a_well_signed_proposal_with_one_wrong_fact_is_refused(field: dict[str, Any], reason: str) -> None:
    verify_proposal(CHARTER, PROPOSAL, genesis=GENESIS)
    with pytest.raises(InvalidDecision, match=reason):
        verify_proposal(CHARTER, resigned(HISTORY, PROPOSER, PROPOSAL, **field), genesis=GENESIS)


def test_a_stranger_cannot_propose() -> None:
    with pytest.raises(InvalidDecision, match="proposer has no vote"):
        verify_proposal(CHARTER, proposal(HISTORY, ACTION, proposer=wallet("stranger")), genesis=GENESIS)


def test_an_unsigned_proposal_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify_proposal(CHARTER, replace(PROPOSAL, signature=bytes(65)), genesis=GENESIS)


@pytest.mark.parametrize("place", range(5))
def test_one_unsigned_ballot_among_many_is_enough_to_refuse(place: int) -> None:
    ballots = list(DECISION.ballots)
    ballots[place] = replace(ballots[place], signature=bytes(65))
    with pytest.raises(InvalidSignature):
        verified_tally(CHARTER, replace(DECISION, ballots=tuple(ballots)), genesis=GENESIS)


@pytest.mark.parametrize("place", range(5))
def test_one_ballot_on_another_proposal_is_enough_to_refuse(place: int) -> None:
    other = proposal(HISTORY, ACTION, nonce=bytes(32))
    ballots = list(DECISION.ballots)
    ballots[place] = ballot(HISTORY, other, DAO.wallets[place])
    with pytest.raises(InvalidDecision, match="another proposal"):
        verified_tally(CHARTER, replace(DECISION, ballots=tuple(ballots)), genesis=GENESIS)
