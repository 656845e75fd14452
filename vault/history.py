"""Histories: a chain of heads, verified from the genesis charter and raw signatures alone (rules B3, G4, G5).

Whoever holds the genesis CID can verify everything from blocks that anyone serves. A head follows from what caused it:
a decision, whose vote is counted anew; an act of guardians, who only take away; or delegations that members signed. A
proposal is carried once, and an act is carried out once: a history remembers which were, since a decision replayed
after its policy was dropped would bring that policy back.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from storage.cid import Cid
from vault.action import Scope, named_by
from vault.ballot import Proposal
from vault.charter import Charter
from vault.codec import Record, decode
from vault.decision import Decision, Fetch, block_of, verified_tally
from vault.errors import ForkedHistory, InvalidDecision, MalformedObject, NotYet, StaleState
from vault.guardian import EPOCHS_VALID, GuardianAct
from vault.head import EPOCHS_MAX, EPOCHS_OF_ACTS, EPOCHS_OF_DELEGATIONS, Head, Revocation, revoked
from vault.policy import Policy
from vault.tally import Tally
from vault.utc import time_text
from vault.vote_delegation import (
    DelegationBatch,
    DelegationLog,
    delegated,
    delegations_digest,
    in_force,
    withdrawn,
)

R = TypeVar("R", bound=Record)
Cause = Decision | GuardianAct | DelegationBatch
_CAUSES: dict[str, type[Decision] | type[GuardianAct] | type[DelegationBatch]] = {
    kind.TYPE: kind for kind in (Decision, GuardianAct, DelegationBatch)
}
_EPOCHS: dict[type[Cause], int] = {
    Decision: EPOCHS_MAX,
    GuardianAct: EPOCHS_OF_ACTS,
    DelegationBatch: EPOCHS_OF_DELEGATIONS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A verified chain: its tip, the charter and policies in force, the delegations, and what was carried so far."""

    head: Head
    charter: Charter
    charter_epoch: int = 0  # since which the charter is in force
    policies: Mapping[Cid, Policy] = field(default_factory=dict)
    adopted: Mapping[Cid, int] = field(default_factory=dict)  # by policy in force: the epoch it was proposed at
    delegations: DelegationLog = field(default_factory=dict)
    delegated_epoch: int = 0  # at which they changed last
    done: frozenset[bytes] = frozenset()  # digests of proposals and guardians' acts that were carried out
    canceled: frozenset[bytes] = frozenset()  # digests of proposals that guardians canceled
    heads: tuple[Cid, ...]  # by epoch, genesis first

    @property
    def genesis(self) -> Cid:
        """Return the CID that is the DAO's identity."""
        return self.head.genesis

    def is_carried(self, proposal: Cid) -> bool:
        """Say whether a proposal was carried out."""
        return proposal.digest in self.done

    def is_canceled(self, proposal: Proposal) -> bool:
        """Say whether guardians canceled a grant; charter changes and revocations are not theirs to stop."""
        return proposal.action.adopts is not None and proposal.cid().digest in self.canceled

    def require_current(self, proposal: Proposal) -> None:
        """Raise `InvalidDecision` unless a proposal was made against a head of this chain, under this charter."""
        if proposal.genesis != self.genesis:
            raise InvalidDecision("the proposal was made to another DAO")
        if self.heads[proposal.epoch : proposal.epoch + 1] != (proposal.head,):
            raise InvalidDecision(f"the proposal was not made against this DAO's head of epoch {proposal.epoch}")
        if proposal.epoch < self.charter_epoch:
            raise InvalidDecision("the charter has changed since the proposal was made; propose it anew")
        if self.is_carried(proposal.cid()):
            raise InvalidDecision("this proposal was carried out before")
        if self.is_canceled(proposal):
            raise InvalidDecision("guardians canceled this proposal; propose it anew")

    def require_fresh(self, proposal: Proposal) -> None:
        """Raise `StaleState` where delegations have changed since the head that a proposal was made against (rule G3).

        Whoever takes a new proposal asks this: against an older head, a delegation would count that its member took
        back before voting opened. Later changes are no matter: what counts was fixed by then.
        """
        self.require_current(proposal)
        if proposal.epoch < self.delegated_epoch:
            raise StaleState(
                f"delegations have changed since epoch {proposal.epoch}, against which it was proposed; propose it anew"
            )

    def counted(self, decision: Decision, fetch: Fetch, *, pool: Executor | None = None) -> Tally:
        """Return the verified count of a decision under this history, or raise what is wrong with it."""
        self.require_current(decision.proposal)
        delegations = in_force(self.delegations, epoch=decision.proposal.epoch)
        return verified_tally(self.charter, decision, delegations, fetch, genesis=self.genesis, pool=pool)


def founded(charter: Charter) -> History:
    """Return the history of a DAO that has decided nothing yet."""
    cid = charter.cid()
    head = Head(
        genesis=cid, epoch=0, previous=None, charter=cid, policies=(), revocations=(), delegations=None, cause=None
    )
    return History(head=head, charter=charter, heads=(head.cid(),))


def cause_from(block: bytes) -> Cause:
    """Return what caused a head, or raise `MalformedObject`."""
    value = decode(block)
    kind = _CAUSES.get(str(value.get("type"))) if isinstance(value, dict) else None
    if kind is None:
        raise MalformedObject("a head is caused by a decision, an act of guardians, or delegations")
    return kind.from_value(value)


def advanced(history: History, cause: Cause, fetch: Fetch, *, at: int, pool: Executor | None = None) -> History:
    """Return the history with `cause` carried out, or raise why it cannot be.

    Args:
        fetch: gives the blocks that the cause names.
        at: UTC seconds, by the verifier's own clock or lease.
    """
    if history.head.epoch + 1 >= (most := _EPOCHS[type(cause)]):
        raise InvalidDecision(f"a DAO has at most {most} epochs for this; found a new one")
    match cause:
        case Decision():
            after = _decided(history, cause, fetch, at, pool)
        case GuardianAct():
            after = _acted(history, cause)
        case DelegationBatch():
            after = _delegated(history, cause)
    is_changed = after.delegations is not history.delegations
    head = replace(
        after.head,
        epoch=history.head.epoch + 1,
        previous=history.head.cid(),
        policies=tuple(after.policies),
        delegations=delegations_digest(after.delegations) if is_changed else history.head.delegations,
        cause=cause.cid(),
    )
    return replace(after, head=head, heads=(*history.heads, head.cid()))


def _decided(history: History, decision: Decision, fetch: Fetch, at: int, pool: Executor | None) -> History:
    proposal, action = decision.proposal, decision.proposal.action
    history.require_current(proposal)
    if at < (earliest := proposal.closes_at + history.charter.voting.timelock_s):  # before the count, which takes long
        raise NotYet(f"the decision may be carried out from {time_text(earliest)} on, when its timelock ends")
    count = history.counted(decision, fetch, pool=pool)
    if not count.is_carried():
        raise InvalidDecision("the charter's quorum or threshold is not met")
    if at < (free_at := count.closed_at + history.charter.voting.timelock_s):
        raise NotYet(f"the decision may be carried out from {time_text(free_at)} on, when its timelock ends")
    done = history.done | {proposal.cid().digest}
    if action.charter is not None:
        return _rechartered(replace(history, done=done), _named(Charter, action.charter, fetch))
    if action.revokes is not None:
        return _revoked(replace(history, done=done), action.revokes, action.subject)
    if action.adopts is None:
        raise MalformedObject("the action does nothing")
    return _adopted(replace(history, done=done), proposal, _named(Policy, action.adopts, fetch))


def _adopted(history: History, proposal: Proposal, policy: Policy) -> History:
    """Put a policy in force. What was revoked after it was proposed stays revoked under it (rule G4)."""
    cid = policy.cid()
    if policy.genesis != history.genesis:
        raise InvalidDecision("the policy was written for another DAO")
    kept = {known: one for known, one in history.policies.items() if known not in proposal.action.drops}
    if cid in kept:
        raise InvalidDecision("the policy is in force already")
    if any(history.head.revoked_since(scope, subject, proposal.epoch) for scope, subject in subjects_of(policy)):
        raise InvalidDecision("a revocation in the proposal's scope came after it was made")
    adopted = {known: history.adopted[known] for known in kept} | {cid: proposal.epoch}
    return replace(history, policies={**kept, cid: policy}, adopted=adopted)


def subjects_of(policy: Policy) -> list[tuple[Scope, bytes]]:
    """Return all that a revocation could name to end a policy, or the queued adoption of it."""
    subjects = [(Scope.POLICY, policy.cid().binary)]
    subjects += [(Scope.DATASET, dataset.lineage(policy.genesis)) for dataset in policy.datasets]
    subjects += [(Scope.MEASUREMENT, measurement) for tee in policy.tees for measurement in tee.measurements()]
    return subjects


def _revoked(history: History, scope: Scope, subject: bytes) -> History:
    revocation = Revocation(scope=scope, subject=subject, epoch=history.head.epoch + 1)
    ends = {
        cid
        for cid, policy in history.policies.items()
        if scope is Scope.DAO
        or (scope in (Scope.POLICY, Scope.DATASET) and (scope, named_by(scope, subject)) in subjects_of(policy))
    }  # licensees and measurements are judged where they appear
    head = replace(history.head, revocations=revoked(history.head.revocations, revocation))
    policies = {cid: policy for cid, policy in history.policies.items() if cid not in ends}
    return replace(history, head=head, policies=policies, adopted={cid: history.adopted[cid] for cid in policies})


def _rechartered(history: History, charter: Charter) -> History:
    """Put a charter in force. Delegations end with the weights they were made under."""
    history.charter.require_successor(charter)
    head, epoch = replace(history.head, charter=charter.cid()), history.head.epoch + 1
    ended = withdrawn(history.delegations, epoch=epoch)
    return replace(history, head=head, charter=charter, charter_epoch=epoch, delegations=ended, delegated_epoch=epoch)


def _acted(history: History, signed: GuardianAct) -> History:
    act = signed.act
    signed.verify(history.charter, genesis=history.genesis)
    if history.heads[act.epoch : act.epoch + 1] != (act.head,):
        raise InvalidDecision(f"the act was not made against this DAO's head of epoch {act.epoch}")
    if act.epoch + EPOCHS_VALID <= history.head.epoch:
        raise StaleState(f"the act was signed at epoch {act.epoch}, and holds for {EPOCHS_VALID} epochs; sign it anew")
    if act.digest() in history.done:
        raise InvalidDecision("this act was carried out before")
    after = replace(history, done=history.done | {act.digest()})
    if act.revokes is not None:
        return _revoked(after, act.revokes, act.subject)
    if act.cancels is None or act.cancels in history.done | history.canceled:
        raise InvalidDecision("the proposal was carried out or canceled before")
    return replace(after, canceled=history.canceled | {act.cancels})


def _delegated(history: History, batch: DelegationBatch) -> History:
    epoch = history.head.epoch + 1
    log = delegated(history.delegations, batch, history.charter, genesis=history.genesis, epoch=epoch)
    return replace(history, delegations=log, delegated_epoch=epoch)


def verified_history(genesis: Cid, tip: Cid, fetch: Fetch, *, at: int, pool: Executor | None = None) -> History:
    """Verify the whole chain from `genesis` to the head `tip`, from raw signatures."""
    return extended(founded(_named(Charter, genesis, fetch)), tip, fetch, at=at, pool=pool)


def extended(history: History, tip: Cid, fetch: Fetch, *, at: int, pool: Executor | None = None) -> History:
    """Follow the chain from a verified history to `tip`.

    Raises: `StaleState` where `tip` is an older head of this history; `ForkedHistory` where it grew from another one;
    otherwise what `advanced` raises.
    """
    if tip != history.head.cid() and tip in history.heads:
        raise StaleState(f"head {tip} is older than epoch {history.head.epoch}, which was accepted before")
    for cid in reversed(_missing(history, tip, fetch)):
        head = _named(Head, cid, fetch)
        if head.cause is None:
            raise MalformedObject("a head after genesis names its cause")
        history = advanced(history, cause_from(block_of(head.cause, fetch)), fetch, at=at, pool=pool)
        if history.head != head:
            raise ForkedHistory(f"head {cid} is not what its cause leads to")
    return history


def _missing(history: History, tip: Cid, fetch: Fetch) -> list[Cid]:
    """Return the heads from `tip` down to, and without, the history's own; newest first.

    Only their names: heads of a chain that nobody signed could be as large as blocks get.
    """
    missing: list[Cid] = []
    known, cid, above = history.head.cid(), tip, EPOCHS_MAX
    while cid != known:
        head = _named(Head, cid, fetch)
        if not history.head.epoch < head.epoch < above or head.previous is None or head.genesis != history.genesis:
            raise ForkedHistory(f"head {tip} does not grow from epoch {history.head.epoch}, which was accepted before")
        missing.append(cid)
        cid, above = head.previous, head.epoch
    return missing


def _named(kind: type[R], cid: Cid, fetch: Fetch) -> R:
    record = kind.from_bytes(fetch(cid))
    if record.cid() != cid:
        raise MalformedObject(f"{cid} is not the CID of the block that came for it")
    return record


def link_cids(head: Cid, fetch: Fetch) -> list[Cid]:
    """Return the CIDs of all blocks that a head adds to a chain, itself first: its cause and what that names."""
    cids, cause_cid = [head], Head.from_bytes(fetch(head)).cause
    if cause_cid is None:
        return cids
    cids.append(cause_cid)
    cause = cause_from(fetch(cause_cid))
    if isinstance(cause, Decision):
        action = cause.proposal.action
        cids += [*cause.pages(), *cause.weights]
        cids += [cid for cid in (action.adopts, action.charter) if cid is not None]
    return cids
