"""A DAO's chain told epoch by epoch: each one verified, with what caused it; and all blocks that it takes to do so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from storage.cid import Cid
from vault.charter import Charter
from vault.closing import BallotPage, Cast
from vault.codec import decode
from vault.decision import Decision, recounted
from vault.errors import InvalidDecision, MalformedObject
from vault.guardian import GuardianAct
from vault.head import EPOCHS_MAX, Head
from vault.history import Cause, History, cause_from, extended, founded, link_cids
from vault.roll import RollRoot
from vault.tally import Tally
from vault.vote_delegation import DelegationBatch, in_force

Fetch = Callable[[Cid], bytes]
"""Returns the block of a CID, already checked against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The history at one epoch, verified, and what led to it."""

    before: History
    after: History
    cause: Cause | None  # None at genesis

    def count(self, fetch: Fetch) -> Tally | None:
        """Return the count of the decision; None where the cause was no vote."""
        if not isinstance(self.cause, Decision):
            return None
        delegations = in_force(self.before.delegations, epoch=self.cause.proposal.epoch)
        return recounted(self.before.charter, self.cause, delegations, fetch)

    def words(self, fetch: Fetch) -> str:
        """Return what happened, as a person says it."""
        match self.cause:
            case Decision():
                return self.cause.proposal.action.words()
            case GuardianAct():
                return f"guardians: {self.cause.act.words()}; {len(self.cause.signatures)} signatures"
            case DelegationBatch():
                return f"delegations: {len(self.cause.delegations)}"
            case None:
                charter = self.after.charter
                return f"charter: members {charter.members}, custodians {len(charter.custodians)}"


def verified_epochs(fetch: Fetch, genesis: Cid, tip: Cid, *, at: int) -> Iterator[Epoch]:
    """Verify the chain link by link from the charter, yielding each that holds; raise at the first that does not."""
    charter = Charter.from_bytes(fetch(genesis))
    if charter.cid() != genesis:
        raise MalformedObject(f"{genesis} is not the CID of the charter that came for it")
    history = founded(charter)
    yield Epoch(before=history, after=history, cause=None)
    for cid in _heads(fetch, history, tip):
        before, history = history, extended(history, cid, fetch, at=at)
        cause = history.head.cause
        yield Epoch(before=before, after=history, cause=None if cause is None else cause_from(fetch(cause)))


def ballots_of(decision: Decision, fetch: Fetch) -> list[Cast]:
    """Return every ballot that a decision holds."""
    return [one for page in decision.pages() for one in BallotPage.from_bytes(fetch(page)).cast()]


def count_text(count: Tally) -> str:
    """Return a count as a person says it."""
    return f"{count.weight_for} for, {count.weight_against} against, {count.weight_abstain} abstain of {count.total}"


def _heads(fetch: Fetch, history: History, tip: Cid) -> list[Cid]:
    """Return the heads from the one after genesis to `tip`."""
    heads, genesis_head = [tip], history.head.cid()
    while heads[-1] != genesis_head:
        head = Head.from_bytes(fetch(heads[-1]))
        if head.previous is None or head.genesis != history.genesis or len(heads) > EPOCHS_MAX:
            raise MalformedObject(f"head {tip} does not lead back to the charter {history.genesis}")
        heads.append(head.previous)
    return heads[-2::-1] if len(heads) > 1 else []


def chain_blocks(fetch: Fetch, genesis: Cid, tip: Cid, *, at: int) -> dict[Cid, bytes]:
    """Return all blocks that prove a chain, and the rolls of its charters where they are there; the charter first."""
    blocks = {genesis: fetch(genesis)}
    for epoch in verified_epochs(fetch, genesis, tip, at=at):
        blocks |= {cid: fetch(cid) for cid in link_cids(epoch.after.head.cid(), fetch)}
        if epoch.cause is None or epoch.after.charter != epoch.before.charter:
            blocks |= _roll_blocks(epoch.after.charter, fetch)
    return blocks


def decision_blocks(decision: Decision, fetch: Fetch) -> dict[Cid, bytes]:
    """Return the blocks of a decision that no head holds yet, and what it puts in place."""
    action = decision.proposal.action
    named = [cid for cid in (action.adopts, action.charter) if cid is not None]
    return {cid: fetch(cid) for cid in (decision.cid(), *decision.pages(), *decision.weights, *named)}


def _roll_blocks(charter: Charter, fetch: Fetch) -> dict[Cid, bytes]:
    root = fetch(charter.roll)
    return {charter.roll: root} | {page: fetch(page) for page in RollRoot.from_bytes(root).pages}


def decision_verified(fetch: Fetch, genesis: Cid, cid: Cid, *, at: int) -> tuple[History, Decision, Tally]:
    """Verify a decision that no head holds yet, under the chain up to the head that its proposal was made against."""
    decision = Decision.from_bytes(fetch(cid))
    for epoch in verified_epochs(fetch, genesis, decision.proposal.head, at=at):
        history = epoch.after
    count = history.counted(decision, fetch)
    if not count.is_carried():
        raise InvalidDecision(f"the charter's quorum or threshold is not met: {count_text(count)}")
    return history, decision, count


def kind_of(block: bytes) -> str:
    """Return the type that a block claims to be, such as coffer/head/v1; empty where it claims none."""
    try:
        value = decode(block)
    except MalformedObject:
        return ""
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if isinstance(kind, str) else ""
