"""Attacks on the chain of heads: replayed decisions, grants that outlive a revocation, forged chains (G4, G5)."""

from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from storage.memory import MemoryBlobs
from tests.builders import (
    MEASUREMENT,
    NOW,
    adopted,
    adopting,
    carried,
    dao,
    policy,
    publish,
    published,
    resigned,
    revoked,
    revoking,
    seeded,
    voters,
    wallet,
)
from vault.ballot import Proposal, Scope
from vault.charter import Charter
from vault.decision import Decision
from vault.errors import ForkedHistory, InvalidDecision, InvalidSignature, MalformedObject
from vault.head import advanced, extended, founded, verified_history
from vault.policy import AcceptedTee

DAO = dao(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
SUBJECTS = {
    Scope.DAO: b"",
    Scope.DATASET: POLICY.datasets[0].binary,
    Scope.POLICY: POLICY.cid().binary,
    Scope.MEASUREMENT: MEASUREMENT,
}


def test_a_decision_replayed_after_its_policy_was_dropped_does_not_bring_it_back() -> None:
    old = carried(FOUNDED, adopting(POLICY))
    newer = policy(GENESIS, title="Newer")
    history = advanced(FOUNDED, old, policy=POLICY, at=NOW)
    history = adopted(history, newer, POLICY)
    with pytest.raises(InvalidDecision, match="carried out before"):
        advanced(history, old, policy=POLICY, at=NOW)


def test_a_replayed_decision_with_fewer_ballots_is_still_the_same_proposal() -> None:
    old = carried(FOUNDED, adopting(POLICY))
    history = adopted(advanced(FOUNDED, old, policy=POLICY, at=NOW), policy(GENESIS, title="Newer"), POLICY)
    for ballots in (old.ballots[:2], old.ballots[::-1]):
        with pytest.raises(InvalidDecision, match="carried out before"):
            advanced(history, Decision.of(old.proposal, ballots), policy=POLICY, at=NOW)


@pytest.mark.parametrize("scope", SUBJECTS)
def test_a_grant_queued_before_a_revocation_in_its_scope_does_not_survive_it(scope: Scope) -> None:
    queued = carried(FOUNDED, adopting(POLICY))
    assert advanced(FOUNDED, queued, policy=POLICY, at=NOW)
    history = revoked(FOUNDED, scope, SUBJECTS[scope])
    with pytest.raises(InvalidDecision, match="revocation in the proposal's scope"):
        advanced(history, queued, policy=POLICY, at=NOW)
    assert adopted(history, POLICY).policies  # asked again, with the revocation known, it may stand


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        (Scope.DATASET, Cid.of(DAG_CBOR, b"unrelated").binary),
        (Scope.POLICY, Cid.of(DAG_CBOR, b"unrelated").binary),
        (Scope.MEASUREMENT, seeded("unrelated")),
        (Scope.LICENSEE, wallet("licensee").address),
    ],
)
def test_a_revocation_in_another_scope_does_not_stop_a_grant(scope: Scope, subject: bytes) -> None:
    queued = carried(FOUNDED, adopting(POLICY))
    assert advanced(revoked(FOUNDED, scope, subject), queued, policy=POLICY, at=NOW).policies


def test_a_revoked_measurement_among_others_stops_the_queued_grant() -> None:
    tees = tuple(AcceptedTee.simulated(seeded(str(n)), seeded("simulator")) for n in range(3))
    several = policy(GENESIS, tees=tees)
    queued = carried(FOUNDED, adopting(several))
    history = revoked(FOUNDED, Scope.MEASUREMENT, tees[2].measurements()[0])
    with pytest.raises(InvalidDecision, match="revocation"):
        advanced(history, queued, policy=several, at=NOW)


def test_a_dataset_under_another_spelling_of_its_cid_cannot_dodge_its_revocation() -> None:
    with pytest.raises(MalformedObject, match="DAG-CBOR"):
        policy(GENESIS, datasets=(Cid.from_digest(RAW, POLICY.datasets[0].digest),))


def test_a_proposal_for_an_epoch_that_is_not_there_yet_is_not_carried_out() -> None:
    ahead = carried(FOUNDED, adopting(POLICY), epoch=1)
    with pytest.raises(InvalidDecision, match="head of epoch 1"):
        advanced(FOUNDED, ahead, policy=POLICY, at=NOW)


def test_a_proposal_signed_for_a_future_epoch_does_not_survive_the_revocation_that_makes_it() -> None:
    ahead = carried(FOUNDED, adopting(POLICY), epoch=1)  # signed and voted on while the head is at epoch 0
    history = revoked(FOUNDED, Scope.POLICY, POLICY.cid().binary)
    with pytest.raises(InvalidDecision):
        advanced(history, ahead, policy=POLICY, at=NOW)


@pytest.mark.parametrize("claimed", [0, 1, 2])
def test_a_queued_grant_cannot_be_given_a_later_epoch(claimed: int) -> None:
    queued = carried(FOUNDED, adopting(POLICY))
    history = revoked(revoked(FOUNDED, Scope.DAO), Scope.DAO)
    proposer = next(key for key in voters(FOUNDED) if key.address == queued.proposal.proposer)
    moved: Proposal = resigned(FOUNDED, proposer, queued.proposal, epoch=claimed, nonce=seeded("moved"))
    with pytest.raises(InvalidDecision):
        advanced(history, replace(queued, proposal=moved), policy=POLICY, at=NOW)
    unsigned = replace(queued, proposal=replace(queued.proposal, epoch=claimed + 1))
    with pytest.raises((InvalidDecision, InvalidSignature)):
        advanced(history, unsigned, policy=POLICY, at=NOW)


def test_a_policy_written_for_another_dao_cannot_be_adopted() -> None:
    foreign = policy(dao(3, name="Elsewhere").genesis)
    with pytest.raises(InvalidDecision, match="another DAO"):
        advanced(FOUNDED, carried(FOUNDED, adopting(foreign)), policy=foreign, at=NOW)


def test_a_chain_under_another_genesis_is_refused() -> None:
    blobs, elsewhere = MemoryBlobs(), dao(3, name="Elsewhere")
    foreign = policy(elsewhere.genesis)
    tip = published(blobs, elsewhere.history, carried(elsewhere.history, adopting(foreign)), foreign)
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
    genuine = carried(FOUNDED, adopting(POLICY))
    forged: Decision = Decision.of(genuine.proposal, (replace(b, signature=bytes(65)) for b in genuine.ballots))
    head = replace(advanced(FOUNDED, genuine, policy=POLICY, at=NOW).head, decision=forged.cid())
    tip = publish(blobs, DAO.charter, FOUNDED.head, POLICY, forged, head)
    with pytest.raises(InvalidSignature):
        verified_history(GENESIS, tip, blobs.get, at=NOW)


def test_a_history_that_accepted_a_revocation_does_not_go_back_before_it() -> None:
    blobs = MemoryBlobs()
    before = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY)), POLICY)
    after = published(blobs, before, carried(before, revoking(Scope.DAO)))
    side = policy(GENESIS, title="Side")
    branch = published(blobs, before, carried(before, adopting(side)), side)
    for tip in (
        branch,
        published(blobs, branch, carried(branch, adopting(policy(GENESIS, title="B"))), policy(GENESIS, title="B")),
    ):
        with pytest.raises(ForkedHistory):
            extended(after, tip.head.cid(), blobs.get, at=NOW)


def test_an_endless_chain_of_made_up_heads_ends_with_the_epoch_it_claims() -> None:
    blobs = MemoryBlobs()
    head = replace(FOUNDED.head, epoch=1, previous=None, decision=None)
    publish(blobs, DAO.charter)
    for _ in range(50):
        head = replace(head, previous=publish(blobs, head), epoch=1)
    with pytest.raises((ForkedHistory, MalformedObject)):
        verified_history(GENESIS, publish(blobs, head), blobs.get, at=NOW)


def test_a_charter_of_one_member_does_not_pass_for_the_victims() -> None:
    lone: Charter = replace(DAO.charter, members=DAO.charter.members[:1])
    assert lone.cid() != GENESIS
    assert founded(lone).genesis != GENESIS
    assert lone.domain(lone.cid()) != DAO.charter.domain(GENESIS)
