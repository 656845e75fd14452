"""Attacks on a vote: forged, replayed, foreign, late and multiplied ballots (rules B3, G1, G3)."""

from collections.abc import Iterable
from dataclasses import replace

import coincurve
import pytest

from tests.builders import (
    adopting,
    after,
    answered,
    ballot,
    carried,
    cast,
    closed,
    closings,
    dao,
    decided,
    policy,
    proof,
    proposal,
    resigned,
    signed,
    vote,
    voters,
    wallet,
    weight,
)
from vault.ballot import Ballot, Support, Vote
from vault.closing import BallotPage, Cast, Period, pages_of
from vault.decision import Bundle, Decision, Fetch, assembled
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, MalformedObject, VaultError
from vault.signing import CURVE_ORDER, wallet_signature_from

DAO = dao(5)
HISTORY = DAO.history
DOMAIN = DAO.charter.domain(DAO.genesis)
POLICY = policy(DAO.genesis)
PROPOSAL = proposal(HISTORY, adopting(POLICY))
MEMBERS = voters(HISTORY)
MINORITY = [answered(HISTORY, PROPOSAL, key) for key in MEMBERS[:2]]


def carries(*more: Cast) -> bool:
    """Say whether the minority's ballots and these carry the proposal, every custodian having closed with them."""
    return is_carried(closed(HISTORY, PROPOSAL, [*MINORITY, *more]))


def is_carried(bundle: Bundle) -> bool:
    return HISTORY.counted(bundle.decision, bundle.blocks.__getitem__).is_carried()


def with_strangers(*more: Cast) -> Bundle:
    """Return the same where the proof of weights is of the members among the voters: there is no other."""
    pages = pages_of(PROPOSAL, [*MINORITY, *more])
    members = {key.address for key in MEMBERS}
    known = [one for one in [*MINORITY, *more] if one.ballot.voter in members]
    weights = assembled(PROPOSAL, closings(HISTORY, PROPOSAL, pages), pages_of(PROPOSAL, known), DAO.roll.tree())
    blocks = weights.blocks | {page.cid(): page.encoded() for page in pages}
    return Bundle(decision=weights.decision, blocks=blocks)


def taken(vote: Vote) -> None:
    """Do as a custodian or board that is handed a vote."""
    Vote.from_bytes(vote.encoded()).verify(DAO.charter, PROPOSAL)


def refuses(ballot: Ballot, *errors: type[VaultError]) -> None:
    """Have a ballot refused when it is handed in, and in a decision whose custodians closed with it."""
    with pytest.raises(errors):
        taken(vote(HISTORY, ballot))
    with pytest.raises(errors):
        is_carried(with_strangers(cast(ballot)))


def test_a_third_genuine_ballot_would_carry_what_the_attacks_below_try_to() -> None:
    assert not carries()
    assert carries(answered(HISTORY, PROPOSAL, MEMBERS[2]))
    taken(vote(HISTORY, ballot(HISTORY, PROPOSAL, MEMBERS[2])))


def page_in_given_order(cast: Iterable[Cast]) -> BallotPage:
    return BallotPage.of(PROPOSAL.cid().digest, list(cast))


def test_one_ballot_put_in_many_times_is_refused_even_where_custodians_closed_with_it() -> None:
    with pytest.raises(MalformedObject, match="stand once"):
        is_carried(closed(HISTORY, PROPOSAL, MINORITY * 10))
    page = page_in_given_order(sorted(MINORITY * 2, key=lambda one: one.ballot.voter))
    made = closed(HISTORY, PROPOSAL, MINORITY)
    decision = replace(made.decision, closings=tuple(closings(HISTORY, PROPOSAL, [page])))
    with pytest.raises(MalformedObject, match="stand once"):
        is_carried(Bundle(decision=decision, blocks=made.blocks | {page.cid(): page.encoded()}))


def test_one_ballot_in_two_periods_is_one_ballot() -> None:
    with pytest.raises(MalformedObject, match="stand once"):
        carries(*(replace(one, period=Period.LATE) for one in MINORITY))


def test_one_voter_with_many_sequence_numbers_counts_once() -> None:
    assert not carries(*(answered(HISTORY, PROPOSAL, MEMBERS[0], sequence=n) for n in range(1, 9)))


def test_many_ballots_of_one_voter_with_one_number_count_once() -> None:
    same = [cast(ballot(HISTORY, PROPOSAL, MEMBERS[0], reason=str(n))) for n in range(8)]
    assert {one.ballot.sequence for one in same} == {0}
    assert not carries(*same)


def test_a_ballot_signed_by_someone_else_is_refused() -> None:
    genuine = ballot(HISTORY, PROPOSAL, MEMBERS[0])
    forged = replace(genuine, voter=MEMBERS[2].address)
    stolen = replace(forged, signature=wallet("mallory").sign(DOMAIN.digest(Ballot.STRUCT, forged.message())))
    for attempt in (forged, stolen, replace(forged, signature=bytes(65))):
        refuses(attempt, InvalidSignature)


def test_an_answer_turned_around_is_refused() -> None:
    against = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.AGAINST)
    refuses(replace(against, support=Support.FOR), InvalidSignature)


def test_an_older_answer_does_not_win_by_coming_last() -> None:
    first = answered(HISTORY, PROPOSAL, MEMBERS[2], Support.FOR, sequence=0)
    second = answered(HISTORY, PROPOSAL, MEMBERS[2], Support.AGAINST, sequence=1)
    assert carries(first)
    assert not carries(first, second)
    assert not carries(second, first)
    assert not carries(replace(first, period=Period.LATE), second)


def test_an_older_answer_cannot_be_renumbered() -> None:
    first = ballot(HISTORY, PROPOSAL, MEMBERS[2], Support.FOR, sequence=0)
    refuses(replace(first, sequence=2), InvalidSignature)


def altered(signature: bytes, *, r: int = 0, s: int = 0, v: int = 0) -> bytes:
    """Return a signature with parts of it replaced, where they are given."""
    old_r, old_s, old_v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    return (r or old_r).to_bytes(32, "big") + (s or old_s).to_bytes(32, "big") + bytes([v or old_v])


def test_the_high_s_twin_of_a_ballot_is_no_second_ballot() -> None:
    genuine = MINORITY[0].ballot
    s = CURVE_ORDER - int.from_bytes(genuine.signature[32:64], "big")
    twin = altered(genuine.signature, s=s, v=55 - genuine.signature[64])
    digest = DOMAIN.digest(Ballot.STRUCT, genuine.message())
    raw = twin[:64] + bytes([twin[64] - 27])
    recovered = coincurve.PublicKey.from_signature_and_message(raw, digest, hasher=None)
    key = coincurve.PublicKey.from_signature_and_message(
        genuine.signature[:64] + bytes([genuine.signature[64] - 27]), digest, hasher=None
    )
    assert recovered == key  # the library takes it for the voter's own
    refuses(replace(genuine, signature=twin), InvalidSignature)
    with pytest.raises(InvalidSignature, match="high s"):
        wallet_signature_from(twin.hex())


@pytest.mark.parametrize("v", [1, 2, 3, 26, 29, 30, 31, 35, 36, 255])
def test_a_v_out_of_range_is_refused_though_libraries_take_some(v: int) -> None:
    genuine = MINORITY[0].ballot
    refuses(replace(genuine, signature=altered(genuine.signature, v=v)), InvalidSignature)


def test_a_v_of_zero_or_the_other_one_is_refused() -> None:
    genuine = MINORITY[0].ballot
    for v in (0, 55 - genuine.signature[64]):
        refuses(replace(genuine, signature=genuine.signature[:64] + bytes([v])), InvalidSignature)


@pytest.mark.parametrize("part", ["r", "s"])
@pytest.mark.parametrize("value", [CURVE_ORDER, CURVE_ORDER + 1, 2**256 - 1, CURVE_ORDER - 1])
def test_parts_of_a_signature_out_of_range_are_refused(part: str, value: int) -> None:
    genuine = MINORITY[0].ballot
    refuses(replace(genuine, signature=altered(genuine.signature, **{part: value})), InvalidSignature)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_proposal_named_by_too_few_bytes_is_never_hashed(size: int) -> None:
    """A library would pad them, and so two names would share one signature."""
    genuine = MINORITY[0].ballot
    with pytest.raises(MalformedObject):
        replace(genuine, proposal=bytes(size))
    with pytest.raises(MalformedObject, match="not a bytes32"):
        DOMAIN.digest(Ballot.STRUCT, {**genuine.message(), "proposal": bytes(size)})


@pytest.mark.parametrize("name", [name for name, _ in Ballot.STRUCT.fields])
def test_a_ballot_with_a_field_missing_or_too_many_is_never_hashed(name: str) -> None:
    """A library would hash nothing in its place, and so a ballot without a reason could pass for one with another."""
    values = dict(MINORITY[0].ballot.message())
    missing = {key: value for key, value in values.items() if key != name}
    for wrong in (missing, values | {name: None}, missing | {name + "2": values[name]}, values | {"extra": 1}):
        with pytest.raises(MalformedObject):
            DOMAIN.digest(Ballot.STRUCT, wrong)
    encoded = MINORITY[0].ballot.value()
    with pytest.raises(MalformedObject):
        Ballot.from_value({key: value for key, value in encoded.items() if key != name})


def test_strangers_cannot_make_up_a_quorum() -> None:
    sybils = [cast(ballot(HISTORY, PROPOSAL, wallet(f"sybil {n}"))) for n in range(5)]
    with pytest.raises((AccessDenied, MalformedObject)):
        is_carried(with_strangers(*sybils))
    for one in sybils:
        with pytest.raises(AccessDenied):
            taken(vote(HISTORY, one.ballot))


def test_nobody_votes_with_the_proof_of_another() -> None:
    genuine = vote(HISTORY, ballot(HISTORY, PROPOSAL, MEMBERS[2]))
    for other in (*MEMBERS[:2], *MEMBERS[3:]):
        with pytest.raises(AccessDenied):
            taken(replace(genuine, proof=proof(HISTORY, other.address)))


def test_a_weight_is_not_inflated_nor_an_inner_node_passed_for_a_member() -> None:
    genuine = vote(HISTORY, ballot(HISTORY, PROPOSAL, MEMBERS[2]))
    for claimed in (0, 2, 5, 2**256 - 1):
        with pytest.raises(AccessDenied):
            taken(replace(genuine, weight=weight(claimed)))
        with pytest.raises(AccessDenied):
            is_carried(closed(HISTORY, PROPOSAL, [*MINORITY, replace(cast(genuine.ballot), weight=claimed)]))
    for shorter in range(len(genuine.proof)):
        with pytest.raises(AccessDenied):
            taken(replace(genuine, proof=genuine.proof[shorter + 1 :]))


def test_what_came_after_the_close_does_not_count_unless_voting_was_extended() -> None:
    late = [answered(HISTORY, PROPOSAL, key, period=Period.EXTENDED) for key in MEMBERS[2:]]
    assert not carries(*late)
    extending = dao(5, extension_s=60)
    made = proposal(extending.history, adopting(policy(extending.genesis)))
    early = [answered(extending.history, made, key) for key in extending.wallets[:2]]
    more = [answered(extending.history, made, key, period=Period.EXTENDED) for key in extending.wallets[2:]]
    bundle = closed(extending.history, made, [*early, *more])  # two of five are a quorum, reached early
    assert not extending.history.counted(bundle.decision, bundle.blocks.__getitem__).is_carried()


def test_ballots_on_one_proposal_do_not_carry_another() -> None:
    popular = carried(HISTORY, adopting(POLICY))
    wanted = proposal(HISTORY, adopting(policy(DAO.genesis, price_per_query=1)))
    with pytest.raises(InvalidDecision, match="different ballots"):
        is_carried(replace(popular, decision=replace(popular.decision, proposal=wanted)))
    closings_moved = closings(HISTORY, wanted, [BallotPage.from_bytes(popular.blocks[popular.decision.pages()[0]])])
    moved = replace(popular.decision, proposal=wanted, closings=tuple(closings_moved))
    with pytest.raises(InvalidDecision, match="another proposal"):
        is_carried(replace(popular, decision=moved))
    refuses(ballot(HISTORY, wanted, MEMBERS[2]), InvalidDecision, InvalidSignature)


def test_ballots_do_not_follow_a_proposal_that_was_changed_or_signed_anew() -> None:
    popular = carried(HISTORY, adopting(POLICY))
    proposer = next(key for key in MEMBERS if key.address == PROPOSAL.proposer)
    period = {"opens_at": PROPOSAL.opens_at + 1, "closes_at": PROPOSAL.closes_at + 1}
    changed = resigned(HISTORY, proposer, PROPOSAL, **period)
    other = MEMBERS[3]
    stolen = signed(HISTORY, other, replace(PROPOSAL, proposer=other.address, proof=proof(HISTORY, other.address)))
    for attempt in (changed, stolen):
        assert is_carried(decided(HISTORY, attempt, [Support.FOR] * 5))  # it could be carried, by ballots of its own
        with pytest.raises(InvalidDecision, match="different ballots"):
            is_carried(replace(popular, decision=replace(popular.decision, proposal=attempt)))
        pages = [BallotPage.from_bytes(popular.blocks[cid]) for cid in popular.decision.pages()]
        renamed = [replace(page, proposal=attempt.cid().digest) for page in pages]
        blocks = popular.blocks | {page.cid(): page.encoded() for page in renamed}
        decision = replace(popular.decision, proposal=attempt, closings=tuple(closings(HISTORY, attempt, renamed)))
        with pytest.raises(InvalidSignature):
            is_carried(Bundle(decision=decision, blocks=blocks))


def test_a_proposal_edited_after_the_vote_is_refused_unsigned() -> None:
    popular = carried(HISTORY, adopting(POLICY))
    for field in ({"opens_at": 0}, {"action": adopting(policy(DAO.genesis, price_per_query=1))}, {"nonce": bytes(32)}):
        edited = replace(popular.decision.proposal, **field)
        with pytest.raises((InvalidSignature, InvalidDecision)):
            is_carried(replace(popular, decision=replace(popular.decision, proposal=edited)))


def test_a_decision_of_the_same_people_in_another_dao_means_nothing_here() -> None:
    other = dao(5, name="Elsewhere")
    assert other.wallets == DAO.wallets
    foreign = carried(other.history, adopting(POLICY), POLICY)
    assert other.history.counted(foreign.decision, foreign.blocks.__getitem__).is_carried()
    with pytest.raises(InvalidDecision, match="another DAO"):
        after(HISTORY, foreign)
    fields = {"genesis": DAO.genesis, "head": HISTORY.head.cid()}
    renamed = replace(foreign.decision.proposal, **fields)
    with pytest.raises(InvalidSignature):
        after(HISTORY, replace(foreign, decision=replace(foreign.decision, proposal=renamed)))
    pages = [
        replace(BallotPage.from_bytes(foreign.blocks[cid]), proposal=PROPOSAL.cid().digest)
        for cid in foreign.decision.pages()
    ]
    decision = replace(foreign.decision, proposal=PROPOSAL, closings=tuple(closings(HISTORY, PROPOSAL, pages)))
    blocks = foreign.blocks | {page.cid(): page.encoded() for page in pages}
    with pytest.raises(InvalidSignature):
        after(HISTORY, Bundle(decision=decision, blocks=blocks))


def test_ballots_of_the_same_people_on_another_chain_mean_nothing_here() -> None:
    other = dao(5, chain_id=1)
    for key in MEMBERS:
        refuses(ballot(other.history, PROPOSAL, key), InvalidSignature)


def test_a_ballot_signed_for_this_very_dao_on_another_chain_means_nothing_here() -> None:
    for chain_id in (1, DAO.charter.chain_id + 1):
        elsewhere = replace(DOMAIN, chain_id=chain_id)
        assert elsewhere.dao_id == DOMAIN.dao_id
        for key in MEMBERS:
            blank = ballot(HISTORY, PROPOSAL, key)
            taken(vote(HISTORY, blank))
            refuses(blank.signed_by(key, elsewhere), InvalidSignature)


def test_the_founder_of_a_charter_with_the_same_custodians_decides_nothing_for_the_victim() -> None:
    mallory = dao(1, name="Mallory's")
    assert mallory.charter.custodians == DAO.charter.custodians
    own = policy(mallory.genesis)
    for attempt in (carried(mallory.history, adopting(own), own), carried(mallory.history, adopting(POLICY), POLICY)):
        with pytest.raises(VaultError):
            after(HISTORY, attempt)
    assert after(mallory.history, carried(mallory.history, adopting(own), own)).policies
    with pytest.raises(InvalidDecision, match="another DAO"):  # nor can it adopt the victim's policy as its own
        after(mallory.history, carried(mallory.history, adopting(POLICY), POLICY))


def test_a_large_minority_is_no_majority_when_the_rest_stays_away() -> None:
    low_quorum = dao(5, quorum_bps=1)
    history = low_quorum.history
    bundle = decided(history, proposal(history, adopting(POLICY)), [Support.FOR] * 2)
    assert not history.counted(bundle.decision, bundle.blocks.__getitem__).is_carried()


def test_a_member_cannot_propose_below_the_charters_weight_nor_borrow_anothers() -> None:
    heavy = dao(5, weights=(9, 1, 1, 1, 1), proposal_weight=weight(2))
    light = next(key for key in heavy.wallets if heavy.roll.weight_of(key.address) == 1)
    rich = next(key for key in heavy.wallets if heavy.roll.weight_of(key.address) == 9)
    history, action = heavy.history, adopting(policy(heavy.genesis))
    with pytest.raises(InvalidDecision, match="takes a weight of 2"):
        history.counted(*parts(decided(history, proposal(history, action, proposer=light), [Support.FOR] * 5)))
    borrowed = proposal(history, action, proposer=light, weight=weight(9), proof=proof(history, rich.address))
    with pytest.raises(AccessDenied):
        history.counted(*parts(decided(history, borrowed, [Support.FOR] * 5)))
    assert history.counted(*parts(decided(history, proposal(history, action, proposer=rich), [Support.FOR] * 5)))


def parts(bundle: Bundle) -> tuple[Decision, Fetch]:
    return bundle.decision, bundle.blocks.__getitem__
