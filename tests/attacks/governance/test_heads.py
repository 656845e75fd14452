"""Attacks on the chain of heads: replayed decisions, grants that outlive a revocation, forged chains (G4, G5)."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from storage.memory import MemoryBlobs
from tests.builders import (
    MEASUREMENT,
    NOW,
    adopted,
    adopting,
    after,
    carried,
    closings,
    dao,
    dataset,
    decided,
    policy,
    publish,
    published,
    resigned,
    revoked,
    revoking,
    seeded,
    voters,
    wallet,
    weighted,
    with_blocks,
)
from tests.governing import act, carried_out, guarded, guardians_act, successor
from vault.action import Scope
from vault.ballot import Proposal, Support
from vault.charter import Charter
from vault.closing import BallotPage
from vault.codec import decode
from vault.decision import Bundle
from vault.errors import ForkedHistory, InvalidDecision, InvalidSignature, MalformedObject, StaleState
from vault.history import History, extended, founded, verified_history
from vault.licensees import Licensees
from vault.policy import AcceptedTee

DAO = guarded(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
SUBJECTS = {
    Scope.DAO: b"",
    Scope.DATASET: POLICY.datasets[0].lineage(GENESIS),
    Scope.POLICY: POLICY.cid().binary,
    Scope.MEASUREMENT: MEASUREMENT,
}


def test_a_decision_replayed_after_its_policy_was_dropped_does_not_bring_it_back() -> None:
    old = carried(FOUNDED, adopting(POLICY), POLICY)
    newer = policy(GENESIS, title="Newer")
    history = adopted(after(FOUNDED, old), newer, POLICY)
    with pytest.raises(InvalidDecision, match="carried out before"):
        after(history, old)


def test_a_replayed_decision_with_other_ballots_is_still_the_same_proposal() -> None:
    old = carried(FOUNDED, adopting(POLICY), POLICY)
    history = adopted(after(FOUNDED, old), policy(GENESIS, title="Newer"), POLICY)
    fewer = with_blocks(decided(FOUNDED, old.decision.proposal, [Support.FOR] * 2), POLICY)
    assert fewer.decision.cid() != old.decision.cid()
    with pytest.raises(InvalidDecision, match="carried out before"):
        after(history, fewer)


def by_members(history: History, scope: Scope, subject: bytes) -> History:
    return revoked(history, scope, subject)


def by_guardians(history: History, scope: Scope, subject: bytes) -> History:
    return carried_out(history, guardians_act(history, act(history, revokes=scope, subject=subject)))


Revoke = Callable[[History, Scope, bytes], History]
REVOKERS = pytest.mark.parametrize("revoke", [by_members, by_guardians])


@REVOKERS
@pytest.mark.parametrize("scope", SUBJECTS)
def test_a_grant_queued_before_a_revocation_in_its_scope_does_not_survive_it(scope: Scope, revoke: Revoke) -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    assert after(FOUNDED, queued)
    history = revoke(FOUNDED, scope, SUBJECTS[scope])
    for _ in range(3):  # nor does it get through once something else has happened since
        with pytest.raises(InvalidDecision, match="revocation in the proposal's scope"):
            after(history, queued)
        history = adopted(history, policy(GENESIS, title=str(history.head.epoch), datasets=(dataset("side"),)))
    assert POLICY.cid() in adopted(history, POLICY).policies  # asked again, with the revocation known, it may stand


@REVOKERS
@pytest.mark.parametrize("licensees", ["anyone", "listed"])
def test_a_licensee_revoked_while_a_grant_was_queued_stays_revoked_under_it(licensees: str, revoke: Revoke) -> None:
    """Its own license proves no time, so what counts is when the grant was proposed, not when it took effect."""
    bob = wallet("bob").address
    chosen = Licensees.anyone() if licensees == "anyone" else Licensees.listed([bob])
    grant = policy(GENESIS, licensees=chosen)
    queued = carried(FOUNDED, adopting(grant), grant)
    history = after(revoke(FOUNDED, Scope.LICENSEE, bob), queued)
    assert history.head.revoked_since(Scope.LICENSEE, bob, history.adopted[grant.cid()])
    anew = adopted(revoke(FOUNDED, Scope.LICENSEE, bob), grant)
    assert not anew.head.revoked_since(Scope.LICENSEE, bob, anew.adopted[grant.cid()])


@REVOKERS
@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DATASET, seeded("unrelated")),
        (Scope.POLICY, Cid.of(DAG_CBOR, b"unrelated").binary),
        (Scope.MEASUREMENT, seeded("unrelated")),
        (Scope.LICENSEE, wallet("licensee").address),
    ],
)
def test_a_revocation_in_another_scope_does_not_stop_a_grant(scope: Scope, subject: bytes, revoke: Revoke) -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    assert after(revoke(FOUNDED, scope, subject), queued).policies


def test_a_revoked_measurement_among_others_stops_the_queued_grant() -> None:
    tees = tuple(AcceptedTee.simulated(seeded(str(n)), seeded("simulator")) for n in range(3))
    several = policy(GENESIS, tees=tees)
    queued = carried(FOUNDED, adopting(several), several)
    history = revoked(FOUNDED, Scope.MEASUREMENT, tees[2].measurements()[0])
    with pytest.raises(InvalidDecision, match="revocation"):
        after(history, queued)


@pytest.mark.parametrize("manifest", [None, "version 1", "version 2"])
def test_a_revoked_dataset_is_gone_in_all_its_versions(manifest: str | None) -> None:
    version = policy(GENESIS, datasets=(dataset(manifest=manifest), dataset("another")))
    queued = carried(FOUNDED, adopting(version), version)
    lineage = dataset().lineage(GENESIS)
    with pytest.raises(InvalidDecision, match="revocation"):
        after(revoked(FOUNDED, Scope.DATASET, lineage), queued)
    assert not revoked(after(FOUNDED, queued), Scope.DATASET, lineage).policies


def test_the_dataset_of_another_owner_is_not_touched_by_a_revocation() -> None:
    other = policy(GENESIS, datasets=(dataset(owner="another owner"),))
    assert revoked(adopted(FOUNDED, other), Scope.DATASET, dataset().lineage(GENESIS)).policies


def test_a_proposal_for_an_epoch_that_is_not_there_yet_is_not_carried_out() -> None:
    ahead = carried(FOUNDED, adopting(POLICY), POLICY, epoch=1)
    with pytest.raises(InvalidDecision, match="head of epoch 1"):
        after(FOUNDED, ahead)


def test_a_proposal_signed_for_a_future_epoch_does_not_survive_the_revocation_that_makes_it() -> None:
    ahead = carried(FOUNDED, adopting(POLICY), POLICY, epoch=1)  # signed and voted on while the head is at epoch 0
    history = revoked(FOUNDED, Scope.POLICY, POLICY.cid().binary)
    with pytest.raises(InvalidDecision):
        after(history, ahead)


@pytest.mark.parametrize("claimed", [0, 1, 2])
def test_a_queued_grant_cannot_be_given_a_later_epoch(claimed: int) -> None:
    queued = carried(FOUNDED, adopting(POLICY), POLICY)
    history = revoked(revoked(FOUNDED, Scope.DAO), Scope.DAO)
    before = queued.decision.proposal
    proposer = next(key for key in voters(FOUNDED) if key.address == before.proposer)
    for head in (before.head, history.heads[claimed]):
        moved: Proposal = resigned(FOUNDED, proposer, before, epoch=claimed, head=head, nonce=seeded("moved"))
        unsigned = replace(before, epoch=claimed + 1, head=head)
        for attempt in (moved, unsigned):
            with pytest.raises((InvalidDecision, InvalidSignature)):
                after(history, replace(queued, decision=replace(queued.decision, proposal=attempt)))


def test_a_proposal_made_on_a_head_that_lost_is_void() -> None:
    """Two heads can follow one; what was proposed against the one that was not followed has to be proposed anew."""
    followed, lost = revoked(FOUNDED, Scope.DAO), adopted(FOUNDED, policy(GENESIS, title="Lost"))
    queued = carried(lost, adopting(POLICY), POLICY)
    assert after(lost, queued)
    with pytest.raises(InvalidDecision, match="head of epoch 1"):
        after(followed, queued)


def test_a_policy_written_for_another_dao_cannot_be_adopted() -> None:
    foreign = policy(dao(3, name="Elsewhere").genesis)
    with pytest.raises(InvalidDecision, match="another DAO"):
        after(FOUNDED, carried(FOUNDED, adopting(foreign), foreign))


def test_a_chain_under_another_genesis_is_refused() -> None:
    blobs, elsewhere = MemoryBlobs(), dao(3, name="Elsewhere")
    foreign = policy(elsewhere.genesis)
    tip = published(blobs, elsewhere.history, carried(elsewhere.history, adopting(foreign), foreign))
    publish(blobs, DAO.charter)
    assert verified_history(elsewhere.genesis, tip.head.cid(), blobs.get, at=NOW) == tip
    with pytest.raises(ForkedHistory):
        verified_history(GENESIS, tip.head.cid(), blobs.get, at=NOW)
    claimed = publish(blobs, replace(tip.head, genesis=GENESIS, previous=FOUNDED.head.cid()))
    with pytest.raises(InvalidDecision, match="another DAO"):
        verified_history(GENESIS, claimed, blobs.get, at=NOW)


def test_a_genesis_under_another_spelling_of_its_cid_is_refused() -> None:
    blobs = MemoryBlobs()
    publish(blobs, DAO.charter, FOUNDED.head)
    twin = Cid.from_digest(RAW, GENESIS.digest)
    blobs.put(twin, DAO.charter.encoded())
    assert verified_history(GENESIS, FOUNDED.head.cid(), blobs.get, at=NOW) == FOUNDED
    with pytest.raises(MalformedObject):
        verified_history(twin, FOUNDED.head.cid(), blobs.get, at=NOW)


def test_a_board_that_swaps_the_charter_gains_nothing_even_where_blocks_go_unchecked() -> None:
    mallory = dao(1, name="Mallory's")
    blocks = {GENESIS: mallory.charter.encoded(), mallory.history.head.cid(): mallory.history.head.encoded()}
    with pytest.raises(MalformedObject, match="not the CID"):
        verified_history(GENESIS, mallory.history.head.cid(), blocks.__getitem__, at=NOW)


def test_a_decision_nobody_signed_advances_no_head() -> None:
    blobs = MemoryBlobs()
    genuine = carried(FOUNDED, adopting(POLICY), POLICY)
    page = BallotPage.from_bytes(genuine.blocks[genuine.decision.pages()[0]])
    unsigned = replace(page, signatures=bytes(len(page.signatures)))
    word = tuple(closings(FOUNDED, genuine.decision.proposal, [unsigned]))
    forged = replace(genuine.decision, closings=word)  # by all custodians, even
    for cid, block in genuine.blocks.items():
        blobs.put(cid, block)
    head = replace(after(FOUNDED, genuine).head, cause=forged.cid())
    tip = publish(blobs, DAO.charter, FOUNDED.head, unsigned, forged, head)
    with pytest.raises(InvalidSignature):
        verified_history(GENESIS, tip, blobs.get, at=NOW)


def test_a_head_whose_cause_is_another_one_is_refused() -> None:
    """The cause is genuine and so is what the head says; they only do not belong together."""
    blobs = MemoryBlobs()
    first = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY))
    other = carried(FOUNDED, revoking(Scope.DAO))
    published(blobs, FOUNDED, other)
    tip = publish(blobs, replace(first.head, cause=other.decision.cid()))
    with pytest.raises(ForkedHistory):
        verified_history(GENESIS, tip, blobs.get, at=NOW)


def test_a_history_that_accepted_a_revocation_does_not_go_back_before_it() -> None:
    blobs = MemoryBlobs()
    before = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY))
    after_it = published(blobs, before, carried(before, revoking(Scope.DAO)))
    side, more = policy(GENESIS, title="Side"), policy(GENESIS, title="More")
    branch = published(blobs, before, carried(before, adopting(side), side))
    longer = published(blobs, branch, carried(branch, adopting(more), more))
    for tip in (branch, longer):
        with pytest.raises(ForkedHistory):
            extended(after_it, tip.head.cid(), blobs.get, at=NOW)
    with pytest.raises(StaleState):
        extended(after_it, before.head.cid(), blobs.get, at=NOW)


@pytest.mark.parametrize("claimed", [1, 50, 9_999])
@pytest.mark.parametrize("step", [0, 1, -1])
def test_an_endless_chain_of_made_up_heads_ends_with_the_epochs_it_claims(claimed: int, step: int) -> None:
    head, fetched = replace(FOUNDED.head, epoch=claimed, previous=None), 0
    blocks = {GENESIS: DAO.charter.encoded()}
    for n in range(200):
        blocks[head.cid()] = head.encoded()
        head = replace(head, previous=head.cid(), epoch=max(0, claimed + step * n))
    blocks[head.cid()] = head.encoded()

    def fetch(cid: Cid) -> bytes:
        nonlocal fetched
        fetched += 1
        return blocks[cid]

    with pytest.raises((ForkedHistory, MalformedObject)):
        verified_history(GENESIS, head.cid(), fetch, at=NOW)
    assert fetched <= 4 if step <= 0 else fetched < 210


def test_a_charter_of_one_member_does_not_pass_for_the_victims() -> None:
    lone = weighted((1,))
    small: Charter = successor(DAO.charter, roll=lone.cid, members=1, weights_root=lone.tree().root)
    assert small.cid() != GENESIS
    assert founded(small).genesis != GENESIS
    assert small.domain(small.cid()) != DAO.charter.domain(GENESIS)


def test_a_block_swapped_by_whoever_serves_it_is_refused_wherever_it_stands() -> None:
    blobs = MemoryBlobs()
    bundle: Bundle = carried(FOUNDED, adopting(POLICY), POLICY)
    tip = published(blobs, FOUNDED, bundle)
    side = policy(GENESIS, title="Side")
    others = carried(FOUNDED, adopting(side), side).blocks
    twin = published(MemoryBlobs(), FOUNDED, carried(FOUNDED, adopting(side), side))
    swaps = {GENESIS: dao(1).charter.encoded(), tip.head.cid(): twin.head.encoded()}
    kinds = {type_of(block): block for block in others.values()}
    swaps |= {cid: kinds[type_of(block)] for cid, block in bundle.blocks.items()}
    assert all(blobs.get(cid) != block or cid == bundle.decision.weights[0] for cid, block in swaps.items())
    for cid, block in swaps.items():
        if blobs.get(cid) == block:
            continue

        def fetch(asked: Cid, cid: Cid = cid, block: bytes = block) -> bytes:
            return block if asked == cid else blobs.get(asked)

        with pytest.raises((MalformedObject, ForkedHistory, InvalidDecision)):
            verified_history(GENESIS, tip.head.cid(), fetch, at=NOW)


def type_of(block: bytes) -> object:
    value = decode(block)
    assert isinstance(value, dict)
    return value["type"]
