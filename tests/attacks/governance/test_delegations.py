"""Attacks through delegated votes: counted twice, replayed, revived, or moved once voting has opened (rule G3)."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from storage.cid import Cid
from tests.builders import (
    adopting,
    after,
    answered,
    carried,
    closed,
    dao,
    policy,
    proposal,
    voters,
    wallet,
    weight,
    weighted,
)
from tests.governing import batch, carried_out, charter_changed, choice, rechartering
from tests.people import roll_fields
from tests.voting import Electorate, voting_dao
from tests.voting import proposal as opening
from vault.ballot import Proposal, Support
from vault.decision import Bundle
from vault.errors import AccessDenied, InvalidDecision, InvalidSignature, NotYet, StaleState
from vault.history import History
from vault.signing import SigningKey
from vault.vote_delegation import in_force

DAO = dao(5, weights=(1, 2, 4, 8, 16))
FOUNDED = DAO.history
ANN, BOB, CAT, DAN, EVE = DAO.wallets
POLICY = policy(DAO.genesis)


def own(key: SigningKey) -> int:
    return DAO.roll.weight_of(key.address)


def chosen(history: History, *pairs: tuple[SigningKey, SigningKey], sequence: int = 0) -> History:
    """Return the history in which each first member of a pair has chosen the second."""
    made = (choice(history, delegator, delegate, sequence=sequence) for delegator, delegate in pairs)
    return carried_out(history, batch(history, *made))


def cast(history: History, made: Proposal, *voters: SigningKey, support: Support = Support.FOR) -> int:
    """Return the weight that these voters' ballots add up to."""
    bundle = closed(history, made, [answered(history, made, key, support) for key in voters])
    return counted(history, bundle)


def counted(history: History, bundle: Bundle) -> int:
    return history.counted(bundle.decision, bundle.blocks.__getitem__).cast()


@pytest.mark.parametrize("voters", [pair for n in range(1, 5) for pair in combinations(DAO.wallets[:4], n)], ids=str)
def test_no_mix_of_voters_counts_more_than_the_weights_of_those_who_stand_behind_it(
    voters: tuple[SigningKey, ...],
) -> None:
    """Ann and Cat chose Bob, Bob chose Dan: whoever votes, each weight counts once at most."""
    history = chosen(FOUNDED, (ANN, BOB), (CAT, BOB), (BOB, DAN))
    made = proposal(history, adopting(POLICY))
    behind = {ANN: BOB, CAT: BOB, BOB: DAN}
    expected = sum(own(key) for key in voters)
    expected += sum(own(key) for key, delegate in behind.items() if key not in voters and delegate in voters)
    assert cast(history, made, *voters) == expected <= DAO.roll.total


def test_a_delegator_who_votes_is_taken_from_its_delegate() -> None:
    history = chosen(FOUNDED, (ANN, BOB))
    made = proposal(history, adopting(POLICY))
    bundle = closed(history, made, [answered(history, made, BOB), answered(history, made, ANN, Support.AGAINST)])
    count = history.counted(bundle.decision, bundle.blocks.__getitem__)
    assert (count.weight_for, count.weight_against) == (own(BOB), own(ANN))


def test_a_circle_of_delegates_makes_no_weight() -> None:
    history = chosen(FOUNDED, (ANN, BOB), (BOB, CAT), (CAT, ANN))
    made = proposal(history, adopting(POLICY))
    assert cast(history, made, ANN) == own(ANN) + own(CAT)
    assert cast(history, made, ANN, BOB, CAT) == own(ANN) + own(BOB) + own(CAT)
    assert cast(history, made, DAN) == own(DAN)


def test_a_delegation_after_voting_opened_moves_nothing() -> None:
    """The head that the proposal names is the snapshot: nobody collects delegations once the question is known."""
    made = proposal(FOUNDED, adopting(POLICY))
    later = chosen(FOUNDED, (ANN, BOB))
    assert cast(later, made, BOB) == own(BOB)


def test_a_delegation_taken_back_after_voting_opened_still_counts_and_a_vote_overrides_it() -> None:
    history = chosen(FOUNDED, (ANN, BOB))
    made = proposal(history, adopting(POLICY))
    later = chosen(history, (ANN, ANN), sequence=1)
    assert cast(later, made, BOB) == own(ANN) + own(BOB)
    assert cast(later, made, BOB, ANN) == own(ANN) + own(BOB)
    assert cast(later, proposal(later, adopting(POLICY)), BOB) == own(BOB)


def test_an_old_head_does_not_revive_a_delegation_that_was_taken_back() -> None:
    """A proposer names the head; whoever takes the proposal refuses one with other delegations than there are now."""
    before = chosen(FOUNDED, (ANN, BOB))
    now = chosen(before, (ANN, ANN), sequence=1)
    backdated = proposal(before, adopting(POLICY))
    now.require_current(backdated)
    with pytest.raises(StaleState, match="delegations have changed"):
        now.require_fresh(backdated)
    now.require_fresh(proposal(now, adopting(POLICY)))


@pytest.mark.parametrize("sequence", [0, 1, 4])
def test_a_delegation_put_forward_again_is_refused(sequence: int) -> None:
    old = choice(FOUNDED, ANN, BOB, sequence=sequence)
    history = carried_out(FOUNDED, batch(FOUNDED, old))
    history = carried_out(history, batch(history, choice(history, ANN, ANN, sequence=5)))
    with pytest.raises(InvalidDecision, match="no later"):
        carried_out(history, batch(history, old))
    assert in_force(history.delegations, epoch=history.head.epoch) == {}


def test_a_batch_put_forward_again_is_refused_with_all_its_members() -> None:
    both = batch(FOUNDED, choice(FOUNDED, ANN, BOB), choice(FOUNDED, CAT, BOB))
    with pytest.raises(InvalidDecision, match="no later"):
        carried_out(carried_out(FOUNDED, both), both)


def test_a_delegation_from_before_a_charter_change_cannot_be_put_forward_after_it() -> None:
    """Its weight was another one, and its member may have taken it back long ago."""
    first = batch(FOUNDED, choice(FOUNDED, ANN, BOB))
    history = carried_out(FOUNDED, first)
    history = chosen(history, (ANN, ANN), sequence=1)
    heavier = weighted((16, 8, 4, 2, 1))
    changed = charter_changed(history, **roll_fields(heavier))
    assert in_force(changed.delegations, epoch=changed.head.epoch) == {}
    again = choice(changed, ANN, BOB)  # what Ann signed then, with what she weighs now
    assert again.delegation == first.delegations[0].delegation
    with pytest.raises(InvalidDecision, match="no later"):
        carried_out(changed, batch(changed, again))
    made = proposal(changed, adopting(POLICY))
    assert cast(changed, made, BOB) == heavier.weight_of(BOB.address)


def test_delegations_end_with_the_charter_they_were_made_under() -> None:
    history = chosen(FOUNDED, (ANN, BOB), (CAT, BOB))
    changed = charter_changed(history, quorum_bps=4_001)
    made = proposal(changed, adopting(POLICY))
    assert cast(changed, made, BOB) == own(BOB)
    anew = chosen(changed, (ANN, BOB), sequence=1)
    assert cast(anew, proposal(anew, adopting(POLICY)), BOB) == own(ANN) + own(BOB)


def test_nobody_delegates_for_another() -> None:
    genuine = choice(FOUNDED, ANN, BOB)
    for forged in (
        replace(genuine.delegation, delegate=EVE.address),
        replace(genuine.delegation, signature=choice(FOUNDED, EVE, ANN).delegation.signature),
    ):
        with pytest.raises(InvalidSignature):
            carried_out(FOUNDED, batch(FOUNDED, replace(genuine, delegation=forged)))


def test_nobody_delegates_more_than_it_has() -> None:
    genuine, rich = choice(FOUNDED, ANN, BOB), choice(FOUNDED, EVE, BOB)
    for inflated in (replace(genuine, weight=rich.weight), replace(genuine, weight=rich.weight, proof=rich.proof)):
        with pytest.raises(AccessDenied):
            carried_out(FOUNDED, batch(FOUNDED, inflated))


def test_delegations_of_the_same_people_in_another_dao_mean_nothing_here() -> None:
    other = dao(5, name="Elsewhere", weights=(1, 2, 4, 8, 16))
    foreign = choice(other.history, ANN, BOB)
    with pytest.raises(InvalidDecision, match="another DAO"):
        carried_out(FOUNDED, batch(FOUNDED, foreign))
    moved = replace(foreign, delegation=replace(foreign.delegation, genesis=DAO.genesis))
    with pytest.raises(InvalidSignature):
        carried_out(FOUNDED, batch(FOUNDED, moved))


def test_a_stranger_as_delegate_votes_for_nobody() -> None:
    stranger = wallet("stranger")
    history = chosen(FOUNDED, (EVE, stranger))
    made = proposal(history, adopting(POLICY))
    with pytest.raises(AccessDenied):
        cast(history, made, ANN, stranger)
    assert cast(history, made, ANN) == own(ANN)
    assert cast(history, made, ANN, EVE) == own(ANN) + own(EVE)


def test_a_delegation_does_not_let_the_delegate_propose_with_it() -> None:
    heavy = dao(5, weights=(1, 2, 4, 8, 16), proposal_weight=weight(16))
    light = next(key for key in heavy.wallets if heavy.roll.weight_of(key.address) == 1)
    rich = next(key for key in heavy.wallets if heavy.roll.weight_of(key.address) == 16)
    history = chosen(heavy.history, (rich, light))
    grant = policy(heavy.genesis)
    with pytest.raises(InvalidDecision, match="takes a weight of 16"):
        after(history, carried(history, adopting(grant), grant, proposer=light))


def test_delegations_that_come_as_heads_take_effect_no_more_often(tmp_path: Path) -> None:
    """Else a member could use up the epochs that a DAO has for them in minutes."""
    with Electorate(tmp_path, voting_dao(1, delegations_every_s=100)) as made:
        (custody,), history = made.custodies, made.history
        ann, bob = voters(history)[:2]

        def handed_in(base: History, sequence: int) -> History:
            cause = batch(base, choice(base, ann, bob, sequence=sequence))
            grown = carried_out(base, cause)
            custody.submit_head(
                grown.head.cid(), [(grown.head.cid(), grown.head.encoded()), (cause.cid(), cause.encoded())]
            )
            return grown

        first = handed_in(history, 0)
        with pytest.raises(NotYet, match="delegations are taken again"):
            handed_in(first, 1)
        made.clock.seconds += 200  # who chose in the last batch leaves others a period
        assert handed_in(first, 1).head.epoch == 2 == custody.catching_up.tips(custody.public.key)[0][2]


def test_a_chain_of_delegations_takes_effect_no_more_often(tmp_path: Path) -> None:
    """Nor does it help to hand in many at once."""
    with Electorate(tmp_path, voting_dao(1, delegations_every_s=100)) as made:
        (custody,), base = made.custodies, made.history
        ann, bob = voters(base)[:2]
        chain, blocks = [base], dict[Cid, bytes]()
        for sequence in range(3):
            cause = batch(chain[-1], choice(chain[-1], ann, bob, sequence=sequence))
            chain.append(carried_out(chain[-1], cause))
            blocks |= {record.cid(): record.encoded() for record in (chain[-1].head, cause)}
        for history in chain[:1:-1]:
            with pytest.raises(NotYet, match="hand in one after the other"):
                custody.submit_head(history.head.cid(), blocks.items())
        assert custody.submit_head(chain[1].head.cid(), blocks.items()) == 1
        with pytest.raises(NotYet, match="delegations are taken again"):
            custody.submit_head(chain[2].head.cid(), blocks.items())
        made.clock.seconds += 200
        assert custody.submit_head(chain[2].head.cid(), blocks.items()) == 2


def test_a_new_charter_ends_delegations_and_keeps_nobody_from_choosing_anew(tmp_path: Path) -> None:
    with Electorate(tmp_path, voting_dao(1, delegations_every_s=100, timelock_s=0)) as made:
        (custody,), before = made.custodies, made.history
        ann, bob = voters(before)[:2]
        custody.voting.acting.submit_delegations(batch(before, choice(before, ann, bob)))
        chosen_first = carried_out(before, batch(before, choice(before, ann, bob)))
        made.clock.seconds += 100
        bundle = rechartering(chosen_first, lease_s=120)
        changed = after(chosen_first, bundle)
        custody.submit_head(changed.head.cid(), [(changed.head.cid(), changed.head.encoded()), *bundle.blocks.items()])
        assert in_force(changed.delegations, epoch=changed.head.epoch) == {}
        assert custody.voting.acting.submit_delegations(batch(changed, choice(changed, ann, bob, sequence=1))) == 3


def test_a_proposal_against_a_head_before_delegations_changed_is_taken_by_no_custodian(tmp_path: Path) -> None:
    """Otherwise a proposer could have those delegations count that members took back before voting opened."""
    with Electorate(tmp_path, voting_dao(1, delegations_every_s=0)) as made:
        (custody,), before = made.custodies, made.history
        ann, bob = voters(before)[:2]
        custody.voting.acting.submit_delegations(batch(before, choice(before, ann, bob)))
        withdrawn = carried_out(before, batch(before, choice(before, ann, bob)))
        custody.voting.acting.submit_delegations(batch(withdrawn, choice(withdrawn, ann, ann, sequence=1)))
        for history in (before, withdrawn):
            with pytest.raises(StaleState, match="delegations have changed"):
                custody.voting.balloting.submit_proposal(opening(history), {})
        now = carried_out(withdrawn, batch(withdrawn, choice(withdrawn, ann, ann, sequence=1)))
        assert custody.voting.balloting.submit_proposal(opening(now), {}).arrived_at == made.clock()
