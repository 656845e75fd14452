"""Attacks around a change of the charter: what outlives it, what it may not touch, and whose it is (rule B3)."""

from dataclasses import replace

import pytest

from storage.memory import MemoryBlobs
from tests.builders import (
    NOW,
    adopted,
    adopting,
    after,
    answered,
    carried,
    closed,
    custodian,
    dao,
    policy,
    proposal,
    publish,
    published,
    seeded,
    voters,
    wallet,
    weighted,
    with_blocks,
)
from tests.governing import charter_changed, guarded, rechartering, successor
from tests.people import roll_fields
from vault.action import charter_change
from vault.charter import Charter
from vault.errors import AccessDenied, ForkedHistory, InvalidDecision, InvalidSignature, MalformedObject, NotYet
from vault.history import History, extended, verified_history

DAO = guarded(5, timelock_s=0)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 1),
        ("custodians", (custodian("mallory").public(),)),
        ("custodians", (replace(DAO.charter.custodians[0], hpke=custodian("mallory").public().hpke),)),
        ("suite_floor", "weaker"),
    ],
    ids=["chain id", "other custodians", "other keys to seal to", "suite floor"],
)
def test_no_majority_changes_what_keys_and_signatures_rest_on(field: str, value: object) -> None:
    with pytest.raises(MalformedObject, match=field):
        charter_changed(FOUNDED, **{field: value})


@pytest.mark.parametrize("fields", [{"shares": 2}, {"liars": 0}, {"signatures": 4, "liars": 0}], ids=str)
def test_no_majority_changes_how_many_custodians_it_takes(fields: dict[str, int]) -> None:
    several = dao(3, custodians=4, shares=3, signatures=3, liars=1)
    with pytest.raises(MalformedObject, match=next(iter(fields))):
        charter_changed(several.history, **fields)


def test_a_grant_queued_under_the_old_charter_is_void_under_the_new_one() -> None:
    """Its votes were counted by other weights; whoever lost weight since must not have decided."""
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    changed = charter_changed(FOUNDED, **roll_fields(weighted((1, 1, 1, 1, 96))))
    with pytest.raises(InvalidDecision, match="the charter has changed"):
        after(changed, queued)
    assert adopted(changed, POLICY).policies


def test_a_charter_change_queued_before_another_one_is_void_too() -> None:
    first, second = rechartering(FOUNDED, quorum_bps=5_000), rechartering(FOUNDED, quorum_bps=6_000)
    other = with_blocks(
        carried(FOUNDED, charter_change(successor(FOUNDED.charter, quorum_bps=7_000).cid()), nonce=seeded("other")),
        successor(FOUNDED.charter, quorum_bps=7_000),
    )
    for late in (second, other):
        with pytest.raises(InvalidDecision, match="the charter has changed"):
            after(after(FOUNDED, first), late)


def test_going_back_to_an_earlier_charter_revives_nothing() -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    there = charter_changed(FOUNDED, quorum_bps=5_000)
    back = charter_changed(there, quorum_bps=FOUNDED.charter.voting.quorum_bps)
    assert back.charter == FOUNDED.charter
    with pytest.raises(InvalidDecision, match="the charter has changed"):
        after(back, queued)
    with pytest.raises(InvalidDecision, match="the charter has changed"):  # nor the change that led away from it
        after(back, rechartering(FOUNDED, quorum_bps=5_000))


def test_votes_under_the_new_charter_count_by_its_weights_alone() -> None:
    rich = voters(FOUNDED)[0]
    weights = tuple(96 if wallet(f"member {n}") is rich else 1 for n in range(5))
    changed = charter_changed(FOUNDED, **roll_fields(weighted(weights)))
    made = proposal(changed, adopting(POLICY), proposer=rich)
    poor = [answered(changed, made, key) for key in voters(changed)[1:]]
    with pytest.raises(InvalidDecision, match="quorum or threshold"):
        after(changed, with_blocks(closed(changed, made, poor), POLICY))
    with pytest.raises(AccessDenied):  # by the weights of before
        after(changed, with_blocks(closed(changed, made, [replace(one, weight=20) for one in poor]), POLICY))
    assert after(changed, with_blocks(closed(changed, made, [answered(changed, made, rich)]), POLICY)).policies


def test_a_member_who_left_neither_votes_nor_proposes() -> None:
    changed = charter_changed(FOUNDED, **roll_fields(weighted((1, 1, 1, 1))))
    gone = wallet("member 4")
    made = proposal(changed, adopting(POLICY))
    with pytest.raises(AccessDenied):
        closed(changed, made, [answered(changed, made, gone)])
    with pytest.raises(AccessDenied):
        after(changed, carried(changed, adopting(POLICY), POLICY, proposer=gone))


def test_a_charter_that_nobody_voted_for_is_not_put_in_place() -> None:
    wanted = successor(FOUNDED.charter, quorum_bps=1)
    voted = rechartering(FOUNDED, quorum_bps=9_000)
    named = voted.decision.proposal.action.charter
    assert named is not None
    with pytest.raises(MalformedObject, match="not the CID"):
        after(FOUNDED, replace(voted, blocks=voted.blocks | {named: wanted.encoded()}))
    moved = replace(voted.decision.proposal, action=charter_change(wanted.cid()))
    unsigned = replace(with_blocks(voted, wanted), decision=replace(voted.decision, proposal=moved))
    with pytest.raises(InvalidSignature):
        after(FOUNDED, unsigned)


def test_a_foreign_charter_put_in_place_would_have_to_keep_the_custodians_and_its_genesis_stays() -> None:
    mallory = dao(1, name="Mallory's")
    taken = carried(FOUNDED, charter_change(mallory.charter.cid()), mallory.charter)
    changed = after(FOUNDED, taken)  # the members may: it is theirs, under their own genesis
    assert changed.genesis == GENESIS != mallory.genesis
    assert changed.charter.domain(changed.genesis) != mallory.charter.domain(mallory.genesis)


def test_a_charter_change_waits_for_its_timelock_too() -> None:
    slow = dao(3, timelock_s=3_600).history
    with pytest.raises(NotYet):
        charter_changed(slow, at=NOW + 3_599, timelock_s=0)
    assert charter_changed(slow, at=NOW + 3_600, timelock_s=0).charter.voting.timelock_s == 0


def test_the_timelock_of_a_queued_grant_is_the_one_it_was_voted_under() -> None:
    slow = dao(3, timelock_s=3_600).history
    queued = carried(slow, adopting(policy(slow.genesis)), policy(slow.genesis))
    changed = charter_changed(slow, at=NOW + 3_600, timelock_s=0)
    with pytest.raises(InvalidDecision, match="the charter has changed"):
        after(changed, queued, at=NOW)


def test_a_head_that_changes_the_charter_without_a_decision_is_refused() -> None:
    blobs = MemoryBlobs()
    tip = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY))
    wanted: Charter = successor(FOUNDED.charter, quorum_bps=1)
    edited = publish(blobs, wanted, replace(tip.head, charter=wanted.cid()))
    with pytest.raises(ForkedHistory):
        verified_history(GENESIS, edited, blobs.get, at=NOW)


def test_a_chain_with_a_charter_change_is_followed_from_genesis_and_not_without_it() -> None:
    blobs = MemoryBlobs()
    change = rechartering(FOUNDED, quorum_bps=5_000)
    changed = published(blobs, FOUNDED, change)
    tip: History = published(blobs, changed, carried(changed, adopting(POLICY), POLICY))
    assert verified_history(GENESIS, tip.head.cid(), blobs.get, at=NOW) == tip
    assert extended(changed, tip.head.cid(), blobs.get, at=NOW) == tip
    skipped = publish(blobs, replace(tip.head, epoch=1, previous=FOUNDED.head.cid()))
    with pytest.raises(InvalidDecision, match="head of epoch 1"):
        verified_history(GENESIS, skipped, blobs.get, at=NOW)
