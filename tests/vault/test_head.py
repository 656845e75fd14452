"""The chain of heads: what its blocks are, and what a verifier refuses to follow."""

from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, Cid
from storage.memory import MemoryBlobs
from tests.builders import (
    NOW,
    adopted,
    adopting,
    carried,
    dataset,
    policy,
    publish,
    published,
    revoking,
)
from tests.governing import act, batch, carried_out, choice, guarded, guardians_act, rechartering
from vault.action import Scope
from vault.errors import ForkedHistory, InvalidDecision, MalformedObject, NotYet, StaleState
from vault.head import Head, Revocation
from vault.history import (
    Cause,
    History,
    cause_from,
    extended,
    founded,
    link_cids,
    verified_history,
)

DAO = guarded(3)
FOUNDED, GENESIS = DAO.history, DAO.genesis
POLICY = policy(GENESIS)
OTHER = policy(GENESIS, title="Other", datasets=(dataset("other"),))


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def tip(blobs: MemoryBlobs) -> History:
    """Three epochs: a policy, another, and the first revoked."""
    first = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY))
    second = published(blobs, first, carried(first, adopting(OTHER), OTHER))
    return published(blobs, second, carried(second, revoking(Scope.POLICY, POLICY.cid().binary)))


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
    branch = published(blobs, FOUNDED, carried(FOUNDED, adopting(OTHER), OTHER))
    assert branch.head == first.head
    grown = branch
    for n in range(4):  # until the branch is longer than the history it forks from
        with pytest.raises(ForkedHistory):
            extended(tip, grown.head.cid(), blobs.get, at=NOW)
        newer = policy(GENESIS, title=str(n))
        grown = published(blobs, grown, carried(grown, adopting(newer), newer))
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
        ({"delegations": bytes(32)}, ForkedHistory),
        ({"charter": Cid.of(DAG_CBOR, b"other")}, ForkedHistory),
        ({"genesis": Cid.of(DAG_CBOR, b"other")}, ForkedHistory),
        ({"previous": None}, ForkedHistory),
        ({"previous": FOUNDED.head.cid()}, InvalidDecision),
        ({"cause": None}, MalformedObject),
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


def test_a_chain_of_every_cause_is_followed_from_its_blocks(blobs: MemoryBlobs) -> None:
    history = published(blobs, FOUNDED, carried(FOUNDED, adopting(POLICY), POLICY))
    queued = carried(history, adopting(OTHER), OTHER)
    history = kept(blobs, history, batch(history, choice(history, DAO.wallets[0], DAO.wallets[1])))
    history = kept(blobs, history, guardians_act(history, act(history, revokes=Scope.LICENSEE, subject=bytes(20))))
    stopped = act(history, cancels=queued.decision.proposal.cid().digest)
    history = kept(blobs, history, guardians_act(history, stopped))
    history = published(blobs, history, rechartering(history, quorum_bps=5_000))
    again = verified_history(GENESIS, history.head.cid(), blobs.get, at=NOW)
    assert again == history and again.head.epoch == 5
    assert len(again.heads) == 6


def kept(blobs: MemoryBlobs, history: History, cause: Cause) -> History:
    changed = carried_out(history, cause)
    publish(blobs, cause, changed.head)
    return changed


def test_the_blocks_of_a_link_are_its_head_its_cause_and_what_that_names(blobs: MemoryBlobs) -> None:
    bundle = carried(FOUNDED, adopting(POLICY), POLICY)
    history = published(blobs, FOUNDED, bundle)
    link = link_cids(history.head.cid(), blobs.get)
    assert set(link) == {history.head.cid(), *bundle.blocks}


@pytest.mark.parametrize("block", [POLICY.encoded(), b"\xa0", b"\x80", b"", FOUNDED.head.encoded()], ids=len)
def test_what_can_cause_no_head_is_malformed(block: bytes) -> None:
    with pytest.raises(MalformedObject):
        cause_from(block)
