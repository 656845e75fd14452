"""The chain of heads: what holds at its tip, and what a verifier refuses to follow."""

from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, Cid
from storage.memory import MemoryBlobs
from tests.builders import (
    MEASUREMENT,
    NOW,
    adopted,
    adopting,
    carried,
    dao,
    decided,
    policy,
    proposal,
    publish,
    published,
    revoked,
    revoking,
    wallet,
)
from vault.ballot import POLICIES_MAX, Scope, Support
from vault.errors import ForkedHistory, InvalidDecision, MalformedObject, NotYet, Revoked, StaleState
from vault.head import Head, History, Revocation, advanced, extended, founded, verified_history

DAO = dao(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
OTHER = policy(GENESIS, title="Other", datasets=(Cid.of(DAG_CBOR, b"other manifest"),))
DATASET = POLICY.datasets[0].binary


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def tip(blobs: MemoryBlobs) -> History:
    """Three epochs: a policy, another, and the first revoked."""
    first = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY)), POLICY)
    second = published(blobs, first, carried(first, adopting(OTHER)), OTHER)
    return published(blobs, second, carried(second, revoking(Scope.POLICY, POLICY.cid().binary)))


def test_a_founded_dao_has_decided_nothing() -> None:
    assert FOUNDED.head.epoch == 0 and FOUNDED.head.previous is None and FOUNDED.head.decision is None
    assert FOUNDED.genesis == FOUNDED.head.charter == DAO.charter.cid()
    with pytest.raises(Revoked):
        FOUNDED.head.require_policy(POLICY.cid())


def test_a_carried_proposal_makes_the_next_epoch() -> None:
    decision = carried(FOUNDED, adopting(POLICY))
    after = advanced(FOUNDED, decision, policy=POLICY, at=NOW)
    assert after.head.epoch == 1
    assert after.head.previous == FOUNDED.head.cid()
    assert after.head.decision == decision.cid()
    assert after.heads == (FOUNDED.head.cid(), after.head.cid())
    assert after.policies == {POLICY.cid(): POLICY}
    after.head.require_policy(POLICY.cid())


def test_adopting_replaces_exactly_what_it_drops() -> None:
    both = adopted(adopted(FOUNDED, POLICY), OTHER)
    assert set(both.policies) == {POLICY.cid(), OTHER.cid()}
    newer = policy(GENESIS, title="Newer")
    after = adopted(both, newer, POLICY)
    assert set(after.head.policies) == {OTHER.cid(), newer.cid()}
    with pytest.raises(Revoked, match="epoch 3"):
        after.head.require_policy(POLICY.cid())


@pytest.mark.parametrize(
    ("scope", "subject", "left"),
    [
        (Scope.DAO, b"", set()),
        (Scope.POLICY, POLICY.cid().binary, {OTHER.cid()}),
        (Scope.DATASET, DATASET, {OTHER.cid()}),
        (Scope.LICENSEE, wallet("licensee").address, {POLICY.cid(), OTHER.cid()}),
        (Scope.MEASUREMENT, MEASUREMENT, {POLICY.cid(), OTHER.cid()}),
    ],
)
def test_a_revocation_ends_the_policies_in_its_scope_and_stays_on_record(
    scope: Scope, subject: bytes, left: set[Cid]
) -> None:
    after = revoked(adopted(adopted(FOUNDED, POLICY), OTHER), scope, subject)
    assert set(after.policies) == set(after.head.policies) == left
    assert after.head.revocations == (Revocation(scope=scope, subject=subject, epoch=3),)
    assert after.head.revoked_since(scope, subject, 2)
    assert not after.head.revoked_since(scope, subject, 3)


def test_a_revocation_of_the_whole_dao_covers_every_subject() -> None:
    after = revoked(FOUNDED, Scope.DAO)
    assert all(after.head.revoked_since(scope, bytes(20), 0) for scope in Scope)
    other = revoked(FOUNDED, Scope.LICENSEE, wallet("licensee").address)
    assert not other.head.revoked_since(Scope.LICENSEE, wallet("other").address, 0)
    assert not other.head.revoked_since(Scope.MEASUREMENT, wallet("licensee").address, 0)
    assert not other.head.revoked_since(Scope.DAO, b"", 0)


def test_what_was_revoked_can_be_adopted_anew_by_a_later_proposal() -> None:
    after = revoked(adopted(FOUNDED, POLICY), Scope.POLICY, POLICY.cid().binary)
    assert adopted(after, POLICY).head.policies == (POLICY.cid(),)


@pytest.mark.parametrize("early_s", [1, 86_400, NOW])
def test_a_decision_takes_effect_at_its_close_and_not_before(early_s: int) -> None:
    decision = carried(FOUNDED, adopting(POLICY))
    assert advanced(FOUNDED, decision, policy=POLICY, at=NOW).head.epoch == 1
    with pytest.raises(NotYet, match=str(NOW)):
        advanced(FOUNDED, decision, policy=POLICY, at=NOW - early_s)


@pytest.mark.parametrize("answers", [[Support.FOR] * 1, [Support.AGAINST] * 3, [Support.ABSTAIN] * 3], ids=str)
def test_a_proposal_that_is_not_carried_changes_nothing(answers: list[Support]) -> None:
    decision = decided(FOUNDED, proposal(FOUNDED, adopting(POLICY)), answers)
    with pytest.raises(InvalidDecision, match="quorum or threshold"):
        advanced(FOUNDED, decision, policy=POLICY, at=NOW)


@pytest.mark.parametrize("given", [None, OTHER], ids=["none", "another"])
def test_the_adopted_policy_itself_has_to_be_given(given: object) -> None:
    with pytest.raises(MalformedObject, match="adopted policy"):
        advanced(FOUNDED, carried(FOUNDED, adopting(POLICY)), policy=given, at=NOW)  # type: ignore[arg-type]


def test_a_policy_in_force_is_not_adopted_twice() -> None:
    with pytest.raises(InvalidDecision, match="in force already"):
        adopted(adopted(FOUNDED, POLICY), POLICY)


def test_policies_in_force_are_bounded() -> None:
    many = {policy(GENESIS, title=str(n)).cid(): policy(GENESIS, title=str(n)) for n in range(POLICIES_MAX)}
    head = replace(FOUNDED.head, policies=tuple(many))
    full = replace(FOUNDED, policies=many, head=head, heads=(head.cid(),))
    with pytest.raises(MalformedObject, match=r"Head\.policies"):
        adopted(full, POLICY)
    assert len(adopted(full, POLICY, next(iter(many.values()))).policies) == POLICIES_MAX


def test_anyone_with_the_genesis_follows_the_chain_from_blocks(blobs: MemoryBlobs, tip: History) -> None:
    assert verified_history(GENESIS, tip.head.cid(), blobs.get, at=NOW) == tip
    assert verified_history(GENESIS, FOUNDED.head.cid(), blobs.get, at=NOW) == FOUNDED


def test_a_history_is_extended_from_any_of_its_epochs(blobs: MemoryBlobs, tip: History) -> None:
    for head in tip.heads:
        part = verified_history(GENESIS, head, blobs.get, at=NOW)
        assert extended(part, tip.head.cid(), blobs.get, at=NOW) == tip


def test_an_older_head_is_stale(blobs: MemoryBlobs, tip: History) -> None:
    for older in tip.heads[:-1]:
        with pytest.raises(StaleState):
            extended(tip, older, blobs.get, at=NOW)


def test_a_head_that_grew_elsewhere_is_a_fork(blobs: MemoryBlobs, tip: History) -> None:
    first = adopted(FOUNDED, OTHER)
    branch = published(blobs, FOUNDED, carried(FOUNDED, adopting(OTHER)), OTHER)
    assert branch.head == first.head
    grown = branch
    for n in range(4):  # until the branch is longer than the history it forks from
        with pytest.raises(ForkedHistory):
            extended(tip, grown.head.cid(), blobs.get, at=NOW)
        newer = policy(GENESIS, title=str(n))
        grown = published(blobs, grown, carried(grown, adopting(newer)), newer)
    with pytest.raises(ForkedHistory):
        extended(tip, grown.head.cid(), blobs.get, at=NOW)


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ({"policies": (OTHER.cid(), POLICY.cid())}, ForkedHistory),
        ({"policies": ()}, ForkedHistory),
        ({"revocations": ()}, ForkedHistory),
        ({"revocations": (Revocation(scope=Scope.DAO, subject=b"", epoch=2**63 - 1),)}, ForkedHistory),
        ({"epoch": 4}, ForkedHistory),
        ({"epoch": 0}, ForkedHistory),
        ({"charter": Cid.of(DAG_CBOR, b"other")}, ForkedHistory),
        ({"genesis": Cid.of(DAG_CBOR, b"other")}, ForkedHistory),
        ({"previous": None}, ForkedHistory),
        ({"previous": FOUNDED.head.cid()}, InvalidDecision),
        ({"decision": None}, MalformedObject),
    ],
    ids=lambda item: next(iter(item)) if isinstance(item, dict) else "",
)
def test_a_head_edited_in_one_field_is_refused(
    blobs: MemoryBlobs, tip: History, field: dict[str, object], error: type[Exception]
) -> None:
    edited = publish(blobs, replace(tip.head, **field))  # type: ignore[arg-type]
    with pytest.raises(error):
        verified_history(GENESIS, edited, blobs.get, at=NOW)


def test_a_chain_with_a_vote_still_open_is_not_followed_yet(blobs: MemoryBlobs, tip: History) -> None:
    with pytest.raises(NotYet):
        verified_history(GENESIS, tip.head.cid(), blobs.get, at=NOW - 1)


@pytest.mark.parametrize("block", [b"", b"\xa0", POLICY.encoded()], ids=["empty", "map", "policy"])
def test_a_tip_that_is_no_head_is_malformed(blobs: MemoryBlobs, block: bytes) -> None:
    publish(blobs, DAO.charter)
    cid = Cid.of(DAG_CBOR, block)
    blobs.put(cid, block)
    with pytest.raises(MalformedObject):
        verified_history(GENESIS, cid, blobs.get, at=NOW)


def test_a_head_comes_back_from_its_bytes(tip: History) -> None:
    assert Head.from_bytes(tip.head.encoded()) == tip.head
    assert founded(DAO.charter) == FOUNDED
