"""Attacks on a decision: ballots left out or put in, closings that are none, its timelock, and size (rules G2, G3)."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import (
    NOW,
    adopting,
    after,
    answered,
    carried,
    closed,
    closings,
    dao,
    decided,
    policy,
    proposal,
    resigned,
    revoking,
    with_blocks,
)
from vault.action import Scope
from vault.ballot import Proposal, Support
from vault.closing import BallotPage, Closing, Period, pages_of
from vault.codec import OBJECT_BYTES_MAX, encode
from vault.decision import Bundle
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject, NotYet, VaultError
from vault.machine import BLANK
from vault.policy import Policy
from vault.tally import Tally
from vault.utc import time_text

DAO = dao(5, custodians=4, shares=3, signatures=3, liars=1, timelock_s=3_600)
HISTORY, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
PROPOSAL = proposal(HISTORY, adopting(POLICY))
CAST = [answered(HISTORY, PROPOSAL, key) for key in DAO.wallets[:3]]
BUNDLE = with_blocks(closed(HISTORY, PROPOSAL, CAST), POLICY)
FREE_AT = NOW + 3_600


def counted(bundle: Bundle) -> Tally:
    return HISTORY.counted(bundle.decision, bundle.blocks.__getitem__)


def closed_by(pages: Sequence[BallotPage], *names: str, proposal: Proposal = PROPOSAL) -> tuple[Closing, ...]:
    made = closings(HISTORY, proposal, pages, *names)
    return tuple(sorted(made, key=lambda closing: closing.custodian))


PAGES = pages_of(PROPOSAL, CAST)


def with_closings(closings: tuple[Closing, ...], *pages: BallotPage) -> Bundle:
    blocks = BUNDLE.blocks | {page.cid(): page.encoded() for page in pages}
    return Bundle(decision=replace(BUNDLE.decision, closings=closings), blocks=blocks)


def test_three_of_four_custodians_and_three_of_five_members_carry_it() -> None:
    assert counted(with_closings(closed_by(PAGES, "0", "1", "2"))).is_carried()
    assert after(HISTORY, BUNDLE, at=FREE_AT).policies


@pytest.mark.parametrize("names", [("0",), ("0", "3"), ("2", "1")], ids=str)
def test_fewer_custodians_than_q_close_nothing(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidDecision, match="the charter asks for 3"):
        counted(with_closings(closed_by(PAGES, *names)))


def test_one_custodian_given_twice_is_not_two() -> None:
    once = closed_by(PAGES, "0", "1")
    for wrong in ((*once, once[0]), (once[0], *once)):
        with pytest.raises(MalformedObject, match="once each"):
            replace(BUNDLE.decision, closings=wrong)


def test_strangers_close_nothing() -> None:
    for names in (("stranger",), ("0", "1", "stranger"), ("0", "1", "2", "stranger")):
        with pytest.raises(InvalidSignature, match="no custodian"):
            counted(with_closings(closed_by(PAGES, *names)))


def test_a_closing_signed_by_another_machine_is_none() -> None:
    first, *others = closed_by(PAGES, "0", "1", "2")
    for forged in (replace(first, signature=BLANK), replace(first, signature=others[0].signature)):
        with pytest.raises(InvalidSignature):
            counted(with_closings((forged, *others)))


def test_custodians_of_another_dao_close_nothing_here() -> None:
    other = dao(5, name="Elsewhere", custodians=4, shares=3, signatures=3, liars=1)
    assert other.charter.custodians == DAO.charter.custodians
    foreign = sorted(closings(other.history, PROPOSAL, PAGES), key=lambda closing: closing.custodian)
    with pytest.raises(InvalidDecision, match="different ballots"):
        counted(with_closings(tuple(foreign)))
    with pytest.raises(InvalidSignature):
        counted(with_closings(tuple(replace(closing, genesis=GENESIS) for closing in foreign)))


def test_closings_of_another_proposal_close_nothing_here() -> None:
    other = proposal(HISTORY, adopting(POLICY), nonce=bytes(32))
    with pytest.raises(InvalidDecision, match="different ballots"):
        counted(with_closings(closed_by(PAGES, proposal=other)))


def test_closings_of_different_sets_are_no_agreement() -> None:
    """A lying custodian may sign both; that makes neither of them the set of q."""
    fewer = pages_of(PROPOSAL, CAST[:2])
    mixed = (*closed_by(PAGES, "0", "1"), *closed_by(fewer, "2", "3"))
    with pytest.raises(InvalidDecision, match="different ballots"):
        counted(with_closings(tuple(sorted(mixed, key=lambda closing: closing.custodian)), *fewer))


def test_a_ballot_left_out_of_the_set_is_missing_from_the_count_and_from_the_closings() -> None:
    fewer = pages_of(PROPOSAL, CAST[:2])
    assert not counted(closed(HISTORY, PROPOSAL, CAST[:2])).is_carried()
    with pytest.raises(InvalidDecision, match="different ballots"):  # the set without it, as one custodian's word
        mixed = (*closed_by(PAGES, "0", "1"), *closed_by(fewer, "2"))
        counted(with_closings(tuple(sorted(mixed, key=lambda closing: closing.custodian)), *fewer))


def test_a_ballot_needed_for_the_quorum_cannot_be_left_out_of_the_pages() -> None:
    """Nor can an Against ballot, nor a later answer: pages are named by q custodians, not by whoever assembles them."""
    smaller = pages_of(PROPOSAL, CAST[:2])[0]
    named = BUNDLE.decision.pages()[0]
    with pytest.raises(MalformedObject, match="another one"):
        counted(replace(BUNDLE, blocks=BUNDLE.blocks | {named: smaller.encoded()}))
    with pytest.raises(InvalidSignature):
        edited = tuple(replace(closing, pages=(smaller.cid(),)) for closing in BUNDLE.decision.closings)
        counted(with_closings(edited, smaller))


def test_a_ballot_that_custodians_did_not_close_with_cannot_be_put_in() -> None:
    minority = closed(HISTORY, PROPOSAL, CAST[:2])
    extra = pages_of(PROPOSAL, CAST[2:])[0]
    for pages in ((*minority.decision.pages(), extra.cid()), (extra.cid(), *minority.decision.pages())):
        edited = tuple(replace(closing, pages=pages) for closing in minority.decision.closings)
        with pytest.raises(InvalidSignature):
            counted(with_closings(edited, *pages_of(PROPOSAL, CAST[:2]), extra))


def test_a_page_put_in_twice_or_out_of_order_is_refused_even_with_everyones_word() -> None:
    first, second = (pages_of(PROPOSAL, [one])[0] for one in sorted(CAST[:2], key=lambda one: one.ballot.voter))
    assert not counted(split(first, second)).is_carried()
    for wrong in ((first, first), (second, first), (first, second, first)):
        with pytest.raises(MalformedObject, match="sorted by voter"):
            counted(split(*wrong))


def split(*pages: BallotPage) -> Bundle:
    voters = [one for page in dict.fromkeys(pages) for one in page.cast()]
    weights = closed(HISTORY, PROPOSAL, voters)
    made = with_closings(closed_by(pages), *pages)
    decision = replace(made.decision, weights=weights.decision.weights)
    return Bundle(decision=decision, blocks=made.blocks | weights.blocks)


@pytest.mark.parametrize("early_s", [1, 3_599, 3_600, 7_200])
def test_nothing_is_carried_out_within_its_timelock(early_s: int) -> None:
    with pytest.raises(NotYet, match=time_text(FREE_AT)):
        after(HISTORY, BUNDLE, at=FREE_AT - early_s)


def test_a_vote_that_was_extended_has_a_later_timelock() -> None:
    extending = dao(5, extension_s=600, timelock_s=3_600)
    history, grant = extending.history, policy(extending.genesis)
    made = proposal(history, adopting(grant))
    late = [answered(history, made, key, period=Period.LATE) for key in extending.wallets[:3]]
    bundle = with_blocks(closed(history, made, late), grant)
    with pytest.raises(NotYet, match=time_text(FREE_AT + 600)):
        after(history, bundle, at=FREE_AT + 599)
    assert after(history, bundle, at=FREE_AT + 600).policies


def test_a_proposal_cannot_shorten_its_own_vote_or_timelock() -> None:
    """Times are the proposer's to name; how long voting lasts is the charter's."""
    proposer = next(key for key in DAO.wallets if key.address == PROPOSAL.proposer)
    for opens_at, closes_at in ((NOW - 1, NOW), (0, 0), (NOW, NOW - 1), (0, 2**63 - 1)):
        short = resigned(HISTORY, proposer, PROPOSAL, opens_at=opens_at, closes_at=closes_at)
        with pytest.raises(InvalidDecision, match="has to be open for"):
            counted(decided(HISTORY, short, [Support.FOR] * 5))


def test_a_defeated_proposal_stays_defeated_whoever_hands_it_in() -> None:
    for answers in ([Support.AGAINST] * 5, [Support.FOR] * 2 + [Support.AGAINST] * 3, [Support.ABSTAIN] * 5):
        with pytest.raises(InvalidDecision, match="quorum or threshold"):
            after(HISTORY, with_blocks(decided(HISTORY, PROPOSAL, answers), POLICY), at=FREE_AT)


def test_a_policy_of_ten_megabytes_is_refused_before_it_is_read() -> None:
    huge = encode({**POLICY.value(), "title": "x" * (10 << 20)})
    assert len(huge) > 10 << 20
    with pytest.raises(MalformedObject, match="over the limit"):
        Policy.from_bytes(huge)
    named = Cid.of(DAG_CBOR, huge)
    action = replace(adopting(POLICY), adopts=named)
    made = carried(HISTORY, action)
    with pytest.raises(MalformedObject, match=f"over the limit of {OBJECT_BYTES_MAX}"):
        after(HISTORY, Bundle(decision=made.decision, blocks=made.blocks | {named: huge}), at=FREE_AT)


def test_no_block_of_a_decision_is_read_beyond_what_a_block_may_have() -> None:
    for kind in (BallotPage, Proposal):
        with pytest.raises(MalformedObject, match="over the limit"):
            kind.from_bytes(bytes(OBJECT_BYTES_MAX + 1))


def test_every_object_named_but_not_there_or_of_another_kind_is_refused() -> None:
    bundle = with_blocks(carried(HISTORY, adopting(POLICY)), POLICY)
    wrong = revoking(Scope.DAO).encoded()
    for cid in (*bundle.decision.pages(), *bundle.decision.weights, POLICY.cid()):
        with pytest.raises(VaultError):
            after(HISTORY, replace(bundle, blocks=bundle.blocks | {cid: wrong}), at=FREE_AT)
