"""A decision proves from raw signatures alone that a proposal was carried."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import (
    DAY_S,
    NOW,
    adopting,
    answered,
    ballot,
    cast,
    closed,
    closings,
    dao,
    decided,
    policy,
    proposal,
    resigned,
    wallet,
    weight,
)
from vault.ballot import Support
from vault.closing import PAGE_BALLOTS, BallotPage, Cast, Period, pages_of
from vault.decision import CHUNK_BYTES, CHUNKS_MAX, Bundle, Chunk, Decision, recounted, verified_tally, verify_proposal
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject
from vault.signing import SigningKey
from vault.tally import Tally
from vault.vote_delegation import Delegated
from vault.weights import MultiProof

DAO = dao(5, weights=(5, 4, 3, 2, 1))
CHARTER, HISTORY, GENESIS = DAO.charter, DAO.history, DAO.genesis
ACTION = adopting(policy(GENESIS))
PROPOSAL = proposal(HISTORY, ACTION)
PROPOSER = next(key for key in DAO.wallets if key.address == PROPOSAL.proposer)
CAST = [answered(HISTORY, PROPOSAL, key) for key in DAO.wallets]
BUNDLE = closed(HISTORY, PROPOSAL, CAST)


def verified(bundle: Bundle) -> Tally:
    return verified_tally(CHARTER, bundle.decision, {}, bundle.blocks.__getitem__, genesis=GENESIS)


def with_page(page: BallotPage) -> Bundle:
    """Return the decision of custodians that closed with this page, the proof of weights as it was."""
    signed = tuple(closings(HISTORY, PROPOSAL, [page]))
    decision = replace(BUNDLE.decision, closings=signed)
    return Bundle(decision=decision, blocks=BUNDLE.blocks | {page.cid(): page.encoded()})


def page_of(*cast: Cast) -> BallotPage:
    """Return a page of ballots in the order given."""
    return BallotPage.of(PROPOSAL.cid().digest, cast)


def test_a_decision_comes_back_from_its_bytes_and_counts_the_same() -> None:
    again = replace(BUNDLE, decision=Decision.from_bytes(BUNDLE.decision.encoded()))
    assert verified(again) == verified(BUNDLE)
    assert verified(BUNDLE).weight_for == 15 and verified(BUNDLE).is_carried()
    assert BUNDLE.blocks[BUNDLE.decision.cid()] == BUNDLE.decision.encoded()


def test_every_answer_is_counted_as_it_was_given() -> None:
    answers = [Support.FOR, Support.AGAINST, Support.ABSTAIN, Support.AGAINST]
    own = [DAO.roll.weight_of(key.address) for key in DAO.wallets]
    counted = verified(decided(HISTORY, PROPOSAL, answers))
    expected = (own[0], own[1] + own[3], own[2])
    assert (counted.weight_for, counted.weight_against, counted.weight_abstain) == expected


def test_a_decision_verified_before_counts_the_same_without_its_signatures() -> None:
    fetch = BUNDLE.blocks.__getitem__
    assert recounted(CHARTER, BUNDLE.decision, {}, fetch) == verified(BUNDLE)


def test_delegations_are_those_that_the_verifier_knows() -> None:
    minority = closed(HISTORY, PROPOSAL, CAST[:1])
    voter, absent = DAO.wallets[0].address, DAO.wallets[1].address
    chosen = {absent: Delegated(voter, DAO.roll.weight_of(absent), 0, 0)}
    alone = verified(minority).cast()
    counted = verified_tally(CHARTER, minority.decision, chosen, minority.blocks.__getitem__, genesis=GENESIS)
    assert counted.cast() == alone + DAO.roll.weight_of(absent)


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        ({"genesis": Cid.of(DAG_CBOR, b"other")}, "another DAO"),
        ({"opens_at": NOW - DAY_S + 1}, "has to be open for"),
        ({"opens_at": NOW - DAY_S - 1}, "has to be open for"),
        ({"closes_at": NOW - DAY_S}, "has to be open for"),
        ({"closes_at": 0}, "has to be open for"),
    ],
    ids=["genesis", "opens", "opens early", "closes", "closes before it opens"],
)
def test_a_well_signed_proposal_with_one_wrong_fact_is_refused(field: dict[str, Any], reason: str) -> None:
    verify_proposal(CHARTER, PROPOSAL, genesis=GENESIS)
    with pytest.raises(InvalidDecision, match=reason):
        verify_proposal(CHARTER, resigned(HISTORY, PROPOSER, PROPOSAL, **field), genesis=GENESIS)


@pytest.mark.parametrize("weights", [weight(6), weight(0), weight(15)], ids=["more", "none", "all"])
def test_a_proposer_cannot_claim_another_weight(weights: bytes) -> None:
    with pytest.raises(AccessDenied):
        verify_proposal(CHARTER, resigned(HISTORY, PROPOSER, PROPOSAL, weight=weights), genesis=GENESIS)


def test_a_stranger_cannot_propose() -> None:
    with pytest.raises(AccessDenied, match="no such weight"):
        verify_proposal(CHARTER, proposal(HISTORY, ACTION, proposer=wallet("stranger")), genesis=GENESIS)


def test_an_unsigned_proposal_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify_proposal(CHARTER, replace(PROPOSAL, signature=bytes(65)), genesis=GENESIS)


@pytest.mark.parametrize("place", range(5))
def test_one_unsigned_ballot_among_many_is_enough_to_refuse(place: int) -> None:
    ordered = sorted(CAST, key=lambda one: one.ballot.voter)
    ordered[place] = replace(ordered[place], ballot=replace(ordered[place].ballot, signature=bytes(65)))
    with pytest.raises(InvalidSignature):
        verified(with_page(page_of(*ordered)))


@pytest.mark.parametrize("place", range(5))
def test_one_ballot_on_another_proposal_is_enough_to_refuse(place: int) -> None:
    other = proposal(HISTORY, ACTION, nonce=bytes(32))
    ordered = sorted(CAST, key=lambda one: one.ballot.voter)
    key = next(key for key in DAO.wallets if key.address == ordered[place].ballot.voter)
    ordered[place] = answered(HISTORY, other, key)
    with pytest.raises(InvalidSignature):
        verified(with_page(page_of(*ordered)))


def test_a_page_of_another_proposal_is_refused() -> None:
    with pytest.raises(InvalidDecision, match="another proposal"):
        verified(with_page(BallotPage.of(bytes(32), sorted(CAST, key=lambda one: one.ballot.voter))))


@pytest.mark.parametrize("order", [(1, 0, 2, 3, 4), (0, 1, 2, 4, 3), (0, 0, 1, 2, 3, 4)], ids=str)
def test_ballots_out_of_order_or_given_twice_are_refused(order: tuple[int, ...]) -> None:
    ordered = sorted(CAST, key=lambda one: one.ballot.voter)
    assert verified(with_page(page_of(*ordered)))
    with pytest.raises(MalformedObject, match="sorted by voter"):
        verified(with_page(page_of(*(ordered[n] for n in order))))


def test_several_ballots_of_one_voter_stand_in_the_order_of_their_numbers() -> None:
    key = DAO.wallets[0]
    first, second = (answered(HISTORY, PROPOSAL, key, sequence=n) for n in range(2))
    assert verified(closed(HISTORY, PROPOSAL, [second, first])).cast() == first.weight
    with pytest.raises(MalformedObject, match="sorted by voter"):
        verified(with_page(page_of(second, first)))


def test_a_voter_has_one_weight() -> None:
    key = DAO.wallets[0]
    first, second = (answered(HISTORY, PROPOSAL, key, sequence=n) for n in range(2))
    with pytest.raises(InvalidDecision, match="two weights"):
        verified(with_page(page_of(first, replace(second, weight=first.weight + 1))))


@pytest.mark.parametrize("weights", [0, 6, 2**255], ids=["none", "more", "huge"])
@pytest.mark.parametrize("place", range(5))
def test_one_wrong_weight_among_many_is_enough_to_refuse(place: int, weights: int) -> None:
    ordered = sorted(CAST, key=lambda one: one.ballot.voter)
    ordered[place] = replace(ordered[place], weight=weights)
    with pytest.raises(AccessDenied):
        verified(with_page(page_of(*ordered)))


def test_weights_cannot_be_swapped_between_voters() -> None:
    ordered = sorted(CAST, key=lambda one: one.ballot.voter)
    swapped = [replace(one, weight=other.weight) for one, other in zip(ordered, ordered[::-1], strict=True)]
    assert sum(one.weight for one in swapped) == sum(one.weight for one in ordered)
    with pytest.raises(AccessDenied):
        verified(with_page(page_of(*swapped)))


def test_the_proof_of_weights_is_for_exactly_the_voters() -> None:
    fewer = closed(HISTORY, PROPOSAL, CAST[:3])
    with pytest.raises((AccessDenied, MalformedObject)):
        verified(
            Bundle(
                decision=replace(BUNDLE.decision, weights=fewer.decision.weights), blocks=BUNDLE.blocks | fewer.blocks
            )
        )


def test_a_proof_of_weights_may_come_in_several_chunks_and_none_may_be_missing() -> None:
    proof = MultiProof.encoded(DAO.roll.tree().multiproof([key.address for key in DAO.wallets]))
    chunks = [Chunk(data=proof[i : i + 7]) for i in range(0, len(proof), 7)][:CHUNKS_MAX]
    assert b"".join(chunk.data for chunk in chunks) == proof
    blocks = BUNDLE.blocks | {chunk.cid(): chunk.encoded() for chunk in chunks}
    cids = tuple(chunk.cid() for chunk in chunks)
    split = Bundle(decision=replace(BUNDLE.decision, weights=cids), blocks=blocks)
    assert verified(split) == verified(BUNDLE)
    for wrong in (cids[:-1], cids[1:], cids[::-1]):
        with pytest.raises(MalformedObject):
            verified(replace(split, decision=replace(split.decision, weights=wrong)))


@pytest.mark.parametrize("data", [b"", bytes(CHUNK_BYTES + 1)], ids=["empty", "too large"])
def test_a_chunk_is_bounded(data: bytes) -> None:
    with pytest.raises(MalformedObject):
        Chunk(data=data)


def test_a_block_that_is_not_the_one_named_is_refused_whatever_the_fetcher_checks() -> None:
    other = closed(HISTORY, PROPOSAL, CAST[:3])
    for cid in (*BUNDLE.decision.pages(), *BUNDLE.decision.weights):
        swapped = next(iter(other.blocks.values()))
        with pytest.raises(MalformedObject, match="another one"):
            verified(replace(BUNDLE, blocks=BUNDLE.blocks | {cid: swapped}))


def test_pages_are_full_but_the_last_and_a_vote_of_many_verifies_in_a_pool_as_well() -> None:
    many, weights = PAGE_BALLOTS + 3, (1,) * (PAGE_BALLOTS + 3)
    large = dao(many, weights=weights)
    made = proposal(large.history, ACTION)
    bundle = decided(large.history, made, [Support.FOR] * many)
    assert len(bundle.decision.pages()) == 2
    with ThreadPoolExecutor(2) as pool:
        pooled = large.history.counted(bundle.decision, bundle.blocks.__getitem__, pool=pool)
    assert pooled == large.history.counted(bundle.decision, bundle.blocks.__getitem__)
    assert pooled.weight_for == many
    broken = dict(bundle.blocks)
    last = BallotPage.from_bytes(broken[bundle.decision.pages()[1]])
    forged = replace(last, signatures=last.signatures[:-65] + bytes(65))
    signed = closings(large.history, made, [BallotPage.from_bytes(broken[bundle.decision.pages()[0]]), forged])
    decision = replace(bundle.decision, closings=tuple(signed))
    broken[forged.cid()] = forged.encoded()
    with ThreadPoolExecutor(2) as pool, pytest.raises(InvalidSignature):
        large.history.counted(decision, broken.__getitem__, pool=pool)


def test_the_same_ballots_make_the_same_pages_in_whatever_order_they_came() -> None:
    assert pages_of(PROPOSAL, CAST[::-1]) == pages_of(PROPOSAL, CAST)
    with pytest.raises(InvalidDecision, match="nobody voted"):
        pages_of(PROPOSAL, [])


def test_a_ballot_counts_in_the_period_that_the_set_gives_it() -> None:
    late = [replace(one, period=Period.EXTENDED) for one in CAST]
    assert verified(closed(HISTORY, PROPOSAL, [*CAST[:1], *late[1:]])).cast() == CAST[0].weight


def test_an_answer_by_a_stranger_is_refused_even_in_a_closed_set() -> None:
    stranger: SigningKey = wallet("stranger")
    sybil = cast(ballot(HISTORY, PROPOSAL, stranger))
    with pytest.raises((AccessDenied, MalformedObject)):
        verified(with_page(page_of(*sorted([*CAST, sybil], key=lambda one: one.ballot.voter))))
