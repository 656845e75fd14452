"""Heads: the hash chain of what a DAO decided, and what holds at its tip.

Each `Head` names the decision that made it and the head before it. Who holds the genesis CID can verify everything from
blocks that anyone serves (rule G5). A proposal is carried once: the history remembers which were, since a decision
replayed after its policy was dropped would bring that policy back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.ballot import POLICIES_MAX, Proposal, Scope
from vault.charter import Charter
from vault.codec import Length, Record
from vault.decision import Decision, verified_tally
from vault.errors import ForkedHistory, InvalidDecision, MalformedObject, NotYet, Revoked, StaleState
from vault.policy import Policy

REVOCATIONS_MAX = 1000
EPOCHS_MAX = 10_000

Fetch = Callable[[Cid], bytes]
"""Returns the block of a CID, already checked against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation(Record):
    """Something taken away; grants older than `epoch` stay gone (rule G4)."""

    scope: Scope
    subject: Annotated[bytes, Length(0, 64)]
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head(Record):
    """What holds after `epoch` decisions."""

    TYPE: ClassVar[str] = "coffer/head/v1"

    genesis: Cid
    epoch: int
    previous: Cid | None
    charter: Cid
    policies: Annotated[tuple[Cid, ...], Length(0, POLICIES_MAX)]
    revocations: Annotated[tuple[Revocation, ...], Length(0, REVOCATIONS_MAX)]
    decision: Cid | None

    def revoked_since(self, scope: Scope, subject: bytes, epoch: int) -> bool:
        """Say whether `subject`, or the whole DAO, was revoked after `epoch`."""
        return any(
            revocation.epoch > epoch
            and (revocation.scope is Scope.DAO or (revocation.scope is scope and revocation.subject == subject))
            for revocation in self.revocations
        )

    def require_policy(self, policy: Cid) -> None:
        """Raise `Revoked` unless the policy stands in this head."""
        if policy not in self.policies:
            raise Revoked(f"policy {policy} is not in force at epoch {self.epoch}: the DAO revoked or replaced it")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A verified chain: its tip, the charter, the policies in force, and every proposal carried so far."""

    head: Head
    charter: Charter
    policies: Mapping[Cid, Policy] = field(default_factory=dict)
    adopted: Mapping[Cid, int] = field(default_factory=dict)  # epoch at which each policy in force was adopted
    carried: frozenset[Cid] = frozenset()
    heads: tuple[Cid, ...]  # by epoch, genesis first

    @property
    def genesis(self) -> Cid:
        """Return the CID that is the DAO's identity."""
        return self.head.genesis


def founded(charter: Charter) -> History:
    """Return the history of a DAO that has decided nothing yet."""
    cid = charter.cid()
    head = Head(genesis=cid, epoch=0, previous=None, charter=cid, policies=(), revocations=(), decision=None)
    return History(head=head, charter=charter, heads=(head.cid(),))


def advanced(history: History, decision: Decision, *, policy: Policy | None, at: int) -> History:
    """Return the history with `decision` carried out, or raise why it cannot be.

    Args:
        policy: the adopted policy; None for a revocation.
        at: UTC seconds, by the verifier's own clock or lease.
    """
    head, proposal = history.head, decision.proposal
    if proposal.cid() in history.carried:
        raise InvalidDecision("this proposal was carried out before")
    if at < proposal.closes_at:
        raise NotYet(f"voting is open until {proposal.closes_at} (UTC seconds)")
    if not verified_tally(history.charter, decision, genesis=head.genesis).is_carried():
        raise InvalidDecision("the charter's quorum or threshold is not met")
    if history.heads[proposal.epoch : proposal.epoch + 1] != (proposal.head,):
        raise InvalidDecision(f"the proposal was not made against this DAO's head of epoch {proposal.epoch}")
    policies, revocations = _applied(history, proposal, policy)
    new = Head(
        genesis=head.genesis,
        epoch=head.epoch + 1,
        previous=head.cid(),
        charter=head.charter,
        policies=tuple(policies),
        revocations=revocations,
        decision=decision.cid(),
    )
    return History(
        head=new,
        charter=history.charter,
        policies=policies,
        adopted={cid: history.adopted.get(cid, new.epoch) for cid in policies},
        carried=history.carried | {proposal.cid()},
        heads=(*history.heads, new.cid()),
    )


def _applied(
    history: History, proposal: Proposal, policy: Policy | None
) -> tuple[dict[Cid, Policy], tuple[Revocation, ...]]:
    action, head = proposal.action, history.head
    policies = {cid: kept for cid, kept in history.policies.items() if cid not in action.drops}
    if action.revokes is not None:
        revocation = Revocation(scope=action.revokes, subject=action.subject, epoch=head.epoch + 1)
        survivors = {cid: kept for cid, kept in policies.items() if not _ends(revocation, cid, kept)}
        return survivors, (*head.revocations, revocation)
    if policy is None or policy.cid() != action.adopts:
        raise MalformedObject("the adopted policy was not given")
    cid = policy.cid()
    if policy.genesis != head.genesis:
        raise InvalidDecision("the policy was written for another DAO")
    if cid in policies:
        raise InvalidDecision("the policy is in force already")
    subjects = [(Scope.POLICY, cid.binary), *((Scope.DATASET, dataset.binary) for dataset in policy.datasets)]
    subjects += [(Scope.MEASUREMENT, measurement) for tee in policy.tees for measurement in tee.measurements()]
    if any(head.revoked_since(scope, subject, proposal.epoch) for scope, subject in subjects):
        raise InvalidDecision("a revocation in the proposal's scope came after it was made")
    return {**policies, cid: policy}, head.revocations


def _ends(revocation: Revocation, cid: Cid, policy: Policy) -> bool:
    match revocation.scope:
        case Scope.DAO:
            return True
        case Scope.POLICY:
            return revocation.subject == cid.binary
        case Scope.DATASET:
            return any(revocation.subject == dataset.binary for dataset in policy.datasets)
        case _:
            return False  # licensees and measurements are judged where they appear


def verified_history(genesis: Cid, tip: Cid, fetch: Fetch, *, at: int) -> History:
    """Verify the whole chain from `genesis` to the head `tip`, from raw signatures."""
    charter = Charter.from_bytes(fetch(genesis))
    if charter.cid() != genesis:
        raise MalformedObject(f"{genesis} is not the CID of the charter that came for it")
    return extended(founded(charter), tip, fetch, at=at)


def extended(history: History, tip: Cid, fetch: Fetch, *, at: int) -> History:
    """Follow the chain from a verified history to `tip`.

    Raises: `StaleState` where `tip` is an older head of this history; `ForkedHistory` where it grew from another one;
    otherwise what `advanced` raises.
    """
    if tip != history.head.cid() and tip in history.heads:
        raise StaleState(f"head {tip} is older than epoch {history.head.epoch}, which was accepted before")
    for head in reversed(_missing(history, tip, fetch)):
        if head.decision is None:
            raise MalformedObject("a head after genesis names its decision")
        decision = Decision.from_bytes(fetch(head.decision))
        adopts = decision.proposal.action.adopts
        policy = Policy.from_bytes(fetch(adopts)) if adopts is not None else None
        history = advanced(history, decision, policy=policy, at=at)
        if history.head != head:
            raise ForkedHistory(f"head {head.cid()} is not what its decision leads to")
    return history


def _missing(history: History, tip: Cid, fetch: Fetch) -> list[Head]:
    """Return the heads from `tip` down to, and without, the history's own; newest first."""
    missing: list[Head] = []
    known, cid = history.head.cid(), tip
    while cid != known:
        head = Head.from_bytes(fetch(cid))
        if head.epoch <= history.head.epoch or head.previous is None or head.genesis != history.genesis:
            raise ForkedHistory(f"head {tip} does not grow from epoch {history.head.epoch}, which was accepted before")
        if len(missing) == EPOCHS_MAX:
            raise MalformedObject(f"more than {EPOCHS_MAX} epochs in one chain")
        missing.append(head)
        cid = head.previous
    return missing


def chain_cids(history: History, after_epoch: int, head_of: Callable[[Cid], Head]) -> list[Cid]:
    """Return the CIDs of charter, heads, decisions and policies from after `after_epoch` to the tip."""
    cids = [history.genesis]
    for cid in history.heads[max(after_epoch, 0) :]:
        cids.append(cid)
        head = head_of(cid)
        if head.decision is not None and head.epoch > after_epoch:
            cids.append(head.decision)
        cids.extend(head.policies)
    return list(dict.fromkeys(cids))
