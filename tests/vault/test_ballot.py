"""Proposals and ballots: nothing in them can be changed, and nobody votes with another's weight."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import adopting, ballot, dao, policy, proof, proposal, revoking, seeded, vote, wallet, weight
from vault.action import Scope
from vault.ballot import REASON_BYTES_MAX, Ballot, Proposal, Support, Vote
from vault.ballot_digest import BallotDigests
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject
from vault.typed_data import Domain

DAO = dao(5, weights=(5, 4, 3, 2, 1))
DOMAIN = DAO.charter.domain(DAO.genesis)
PROPOSAL = proposal(DAO.history, adopting(policy(DAO.genesis)))
FIRST = ballot(DAO.history, PROPOSAL, DAO.wallets[0])
VOTE = vote(DAO.history, FIRST)


@pytest.mark.parametrize(
    "field",
    [
        {"proposal": bytes(32)},
        {"voter": DAO.wallets[1].address},
        {"support": Support.AGAINST},
        {"sequence": 1},
        {"reason": "another"},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_of_a_ballot_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    FIRST.verify(DOMAIN)
    with pytest.raises(InvalidSignature):
        replace(FIRST, **field).verify(DOMAIN)


@pytest.mark.parametrize(
    "field",
    [
        {"genesis": PROPOSAL.action.adopts},
        {"epoch": 1},
        {"head": DAO.genesis},
        {"proposer": DAO.wallets[1].address},
        {"weight": weight(15)},
        {"proof": PROPOSAL.proof[:-1]},
        {"action": revoking(Scope.DAO)},
        {"opens_at": 0},
        {"closes_at": 2**63 - 1},
        {"nonce": bytes(32)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_of_a_proposal_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    PROPOSAL.verify(DOMAIN)
    with pytest.raises(InvalidSignature):
        replace(PROPOSAL, **field).verify(DOMAIN)


@pytest.mark.parametrize("field", [{"chain_id": 1}, {"dao_id": bytes(32)}], ids=lambda field: next(iter(field)))
def test_signatures_hold_for_one_dao_on_one_chain(field: dict[str, Any]) -> None:
    for record in (PROPOSAL, FIRST):
        with pytest.raises(InvalidSignature):
            record.verify(replace(DOMAIN, **field))


def test_a_proposals_identity_is_its_proposers() -> None:
    other = proposal(DAO.history, PROPOSAL.action, proposer=DAO.wallets[3])
    assert other.cid() != PROPOSAL.cid()
    assert replace(PROPOSAL, signature=bytes(65)).cid() != PROPOSAL.cid()


def test_proposing_takes_the_charters_weight() -> None:
    strict = dao(5, weights=(5, 4, 3, 2, 1), proposal_weight=weight(3))
    for key, own in zip(strict.wallets, (strict.roll.weight_of(key.address) for key in strict.wallets), strict=True):
        made = proposal(strict.history, PROPOSAL.action, proposer=key)
        if own >= 3:
            made.require_member(strict.charter)
        else:
            with pytest.raises(InvalidDecision, match="takes a weight of 3"):
                made.require_member(strict.charter)


def test_a_member_votes_with_its_own_weight() -> None:
    for key in DAO.wallets:
        handed_in = vote(DAO.history, ballot(DAO.history, PROPOSAL, key))
        handed_in.verify(DAO.charter, PROPOSAL)
        assert Vote.from_bytes(handed_in.encoded()) == handed_in


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ({"weight": weight(15)}, AccessDenied),
        ({"weight": weight(0)}, AccessDenied),
        ({"proof": ()}, AccessDenied),
        ({"proof": VOTE.proof[::-1]}, AccessDenied),
        ({"proof": (*VOTE.proof, bytes(32))}, AccessDenied),
        ({"proof": proof(DAO.history, DAO.wallets[1].address)}, AccessDenied),
        ({"ballot": ballot(DAO.history, PROPOSAL, DAO.wallets[1])}, AccessDenied),
        ({"ballot": ballot(DAO.history, PROPOSAL, wallet("stranger"))}, AccessDenied),
        ({"ballot": replace(FIRST, proposal=bytes(32))}, InvalidDecision),
        ({"ballot": replace(FIRST, sequence=9)}, InvalidSignature),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_a_vote_with_one_wrong_fact_is_refused(field: dict[str, Any], error: type[Exception]) -> None:
    VOTE.verify(DAO.charter, PROPOSAL)
    with pytest.raises(error):
        replace(VOTE, **field).verify(DAO.charter, PROPOSAL)


def test_a_ballots_digest_covers_its_signature() -> None:
    assert FIRST.digest() != replace(FIRST, signature=bytes(65)).digest()
    assert FIRST.digest() == Ballot.from_bytes(FIRST.encoded()).digest()


def test_rank_goes_by_sequence_and_then_by_signature() -> None:
    later = replace(FIRST, sequence=1, signature=bytes(65))
    assert later.rank() > FIRST.rank() > replace(FIRST, signature=bytes(65)).rank()


def test_a_proposal_and_a_ballot_come_back_from_their_bytes() -> None:
    assert Proposal.from_bytes(PROPOSAL.encoded()) == PROPOSAL
    assert Ballot.from_bytes(FIRST.encoded()) == FIRST


texts = st.text(max_size=REASON_BYTES_MAX).filter(lambda text: len(text.encode()) <= REASON_BYTES_MAX)


@settings(max_examples=80, deadline=None)
@given(st.binary(min_size=20, max_size=20), st.sampled_from(Support), st.integers(0, 2**63 - 1), texts)
def test_the_digests_of_many_ballots_are_those_that_wallets_sign(
    voter: bytes, support: Support, sequence: int, reason: str
) -> None:
    record = replace(FIRST, voter=voter, support=support, sequence=sequence, reason=reason)
    digests = BallotDigests(DOMAIN, FIRST.proposal)
    assert digests.of(voter, support, sequence, reason) == DOMAIN.digest(Ballot.STRUCT, record.message())


def test_digests_differ_by_dao_chain_and_proposal() -> None:
    places = [
        (DOMAIN, FIRST.proposal),
        (Domain(chain_id=1, dao_id=DOMAIN.dao_id), FIRST.proposal),
        (Domain(chain_id=DOMAIN.chain_id, dao_id=seeded("other")), FIRST.proposal),
        (DOMAIN, seeded("other")),
    ]
    made = {BallotDigests(*place).of(FIRST.voter, FIRST.support, 0, "") for place in places}
    assert len(made) == len(places)
    for short in (b"", bytes(31), bytes(33)):
        with pytest.raises(MalformedObject):
            BallotDigests(DOMAIN, short)


def test_a_reason_is_bounded_by_the_room_it_takes() -> None:
    for reason in ("x" * 200, "é" * 100, "🜚" * 50):
        assert ballot(DAO.history, PROPOSAL, DAO.wallets[0], reason=reason).reason == reason
    for reason in ("x" * 201, "é" * 101, "🜚" * 51):
        with pytest.raises(MalformedObject):
            ballot(DAO.history, PROPOSAL, DAO.wallets[0], reason=reason)
