"""Attacks on a vote: forged, replayed, foreign and multiplied ballots (rules B3, G1, G3)."""

from dataclasses import replace

import pytest

from tests.builders import adopting, ballot, carried, dao, decided, policy, proposal, resigned, signed, voters, wallet
from vault.ballot import Ballot, Support
from vault.decision import Decision, verified_tally
from vault.errors import InvalidDecision, InvalidSignature, VaultError
from vault.head import advanced
from vault.signing import CURVE_ORDER

DAO = dao(5)
HISTORY = DAO.history
POLICY = policy(DAO.genesis)
PROPOSAL = proposal(HISTORY, adopting(POLICY))
MEMBERS = voters(HISTORY)
MINORITY = decided(HISTORY, PROPOSAL, [Support.FOR] * 2)
AT = PROPOSAL.closes_at


def carries(decision: Decision) -> bool:
    return verified_tally(DAO.charter, decision, genesis=DAO.genesis).is_carried()


def with_ballots(*ballots: Ballot) -> Decision:
    return Decision.of(MINORITY.proposal, MINORITY.ballots + ballots)


def test_a_third_genuine_ballot_would_carry_what_the_attacks_below_try_to() -> None:
    assert not carries(MINORITY)
    assert carries(with_ballots(ballot(HISTORY, PROPOSAL, MEMBERS[2])))


def test_one_ballot_handed_in_many_times_counts_once() -> None:
    assert not carries(with_ballots(*MINORITY.ballots * 10))


def test_one_voter_with_many_sequence_numbers_counts_once() -> None:
    again = [ballot(HISTORY, PROPOSAL, MEMBERS[0], sequence=n) for n in range(1, 9)]
    assert not carries(with_ballots(*again))


def test_a_ballot_signed_by_someone_else_is_refused() -> None:
    genuine = ballot(HISTORY, PROPOSAL, MEMBERS[0])
    forged = replace(genuine, voter=MEMBERS[2].address)
    domain = DAO.charter.domain(DAO.genesis)
    stolen = replace(forged, signature=wallet("mallory").sign(domain.digest(Ballot.STRUCT, forged.message())))
    for attempt in (forged, stolen):
        with pytest.raises(InvalidSignature):
            carries(with_ballots(attempt))


def test_an_answer_turned_around_is_refused() -> None:
    against = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.AGAINST)
    with pytest.raises(InvalidSignature):
        carries(with_ballots(replace(against, support=Support.FOR)))


def test_an_older_answer_does_not_win_by_coming_last() -> None:
    first = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.FOR, sequence=0)
    second = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.AGAINST, sequence=1)
    assert carries(with_ballots(first))
    assert not carries(with_ballots(first, second))
    assert not carries(with_ballots(second, first))


def test_an_older_answer_cannot_be_renumbered() -> None:
    first = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.FOR, sequence=0)
    second = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.AGAINST, sequence=1)
    with pytest.raises(InvalidSignature):
        carries(with_ballots(second, replace(first, sequence=2)))


def test_the_high_s_twin_of_a_ballot_is_no_second_ballot() -> None:
    genuine = MINORITY.ballots[0].signature
    s = CURVE_ORDER - int.from_bytes(genuine[32:64], "big")
    twin = genuine[:32] + s.to_bytes(32, "big") + bytes([55 - genuine[64]])
    with pytest.raises(InvalidSignature):
        carries(with_ballots(replace(MINORITY.ballots[0], signature=twin)))


def test_strangers_cannot_make_up_a_quorum() -> None:
    with pytest.raises(InvalidDecision, match="no vote"):
        carries(with_ballots(*(ballot(HISTORY, PROPOSAL, wallet(f"sybil {n}")) for n in range(5))))


def test_ballots_on_one_proposal_do_not_carry_another() -> None:
    popular = carried(HISTORY, adopting(POLICY))
    wanted = proposal(HISTORY, adopting(policy(DAO.genesis, price_per_query=1)))
    with pytest.raises(InvalidDecision, match="another proposal"):
        carries(replace(popular, proposal=wanted))


def test_ballots_do_not_follow_a_proposal_that_was_changed_or_signed_anew() -> None:
    popular = carried(HISTORY, adopting(POLICY))
    proposer = next(key for key in MEMBERS if key.address == PROPOSAL.proposer)
    changed = resigned(HISTORY, proposer, PROPOSAL, closes_at=PROPOSAL.closes_at + 1)
    stolen = signed(HISTORY, MEMBERS[3], replace(PROPOSAL, proposer=MEMBERS[3].address))
    for attempt in (changed, stolen):
        with pytest.raises(InvalidDecision, match="another proposal"):
            carries(replace(popular, proposal=attempt))


def test_a_decision_of_the_same_people_in_another_dao_means_nothing_here() -> None:
    other = dao(5, name="Elsewhere")
    assert other.wallets == DAO.wallets
    decision = carried(other.history, adopting(POLICY))
    assert verified_tally(other.charter, decision, genesis=other.genesis).is_carried()
    with pytest.raises(InvalidDecision, match="another DAO"):
        advanced(HISTORY, decision, policy=POLICY, at=AT)
    renamed = replace(decision, proposal=replace(decision.proposal, genesis=DAO.genesis))
    with pytest.raises(InvalidSignature):
        advanced(HISTORY, renamed, policy=POLICY, at=AT)


def test_ballots_of_the_same_people_on_another_chain_mean_nothing_here() -> None:
    other = dao(5, chain_id=1)
    foreign = [ballot(other.history, PROPOSAL, key) for key in MEMBERS]
    with pytest.raises(InvalidSignature):
        carries(Decision.of(MINORITY.proposal, foreign))


def test_the_founder_of_a_charter_with_the_same_custodians_decides_nothing_for_the_victim() -> None:
    mallory = dao(1, name="Mallory's")
    taken = carried(mallory.history, adopting(policy(mallory.genesis)))
    for attempt in (taken, carried(mallory.history, adopting(POLICY))):
        with pytest.raises(VaultError):
            advanced(HISTORY, attempt, policy=POLICY, at=AT)


def test_a_large_minority_is_no_majority_when_the_rest_stays_away() -> None:
    low_quorum = dao(5, quorum_bps=1)
    decision = decided(low_quorum.history, proposal(low_quorum.history, adopting(POLICY)), [Support.FOR] * 2)
    assert not verified_tally(low_quorum.charter, decision, genesis=low_quorum.genesis).is_carried()
