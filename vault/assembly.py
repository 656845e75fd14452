"""A DAO's affairs over a member's board: found, propose, vote, count, carry out, and hand the chain to custodians.

The board is a database somebody may have edited, so nothing is taken from it on trust: every call rebuilds the history
from the genesis charter and raw signatures, checks each block against its CID, and counts only ballots that verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from storage.cid import Cid
from vault.acts import propose, vote
from vault.ballot import Action, Ballot, Proposal, Support, Tally, tally
from vault.charter import Charter
from vault.codec import Record
from vault.decision import BALLOTS_MAX, Decision, verify_proposal
from vault.errors import AccessDenied, InvalidDecision, MalformedObject, NotYet, StaleState, VaultError
from vault.head import EPOCHS_MAX, Head, History, advanced, extended, founded, verified_history
from vault.policy import Policy
from vault.signing import SigningKey, address_text

BATCH_BYTES = 2 << 20  # of blocks handed in at once; with one decision more it still fits a message


class Board(Protocol):
    """Where a member keeps governance objects; `vault.records.board` is the real one."""

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None: ...  # noqa: D102
    def get(self, cid: Cid) -> bytes | None: ...  # noqa: D102
    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None: ...  # noqa: D102
    def tip(self, genesis: Cid) -> Cid | None: ...  # noqa: D102
    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> list[tuple[Cid, bytes]]: ...  # noqa: D102


class HeadTaker(Protocol):
    """Who accepts heads; `vault.client.CustodyClient` is the real one."""

    def submit_head(self, head: Cid, blocks: dict[Cid, bytes]) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a proposal stands: the ballots that verify, what they add up to, and why others do not count."""

    proposal: Proposal
    ballots: tuple[Ballot, ...]
    tally: Tally
    refused: tuple[str, ...]
    is_carried_out: bool

    def words(self, at: int) -> str:
        """Return its state: open, carried, failed, or carried out."""
        if self.is_carried_out:
            return "carried out"
        if at < self.proposal.closes_at:
            return "open"
        return "carried" if self.tally.is_carried() else "failed"


def fetch_from(board: Board) -> Callable[[Cid], bytes]:
    """Return how to get a block of the board, checked against its CID."""

    def fetch(cid: Cid) -> bytes:
        body = board.get(cid)
        if body is None:
            raise MalformedObject(f"block {cid} is not on the board; get it from whoever told you of it")
        if not cid.matches(body):
            raise MalformedObject(f"what the board keeps as {cid} was changed; restore it from a backup")
        return body

    return fetch


def found(board: Board, charter: Charter) -> History:
    """Put a new DAO on the board and return its history."""
    history = founded(charter)
    _put(board, "charter", history.genesis, charter)
    _put(board, "head", history.genesis, history.head)
    board.set_tip(history.genesis, history.head.cid(), 0)
    return history


def history_of(board: Board, genesis: Cid, *, at: int) -> History:
    """Return a DAO's history, verified from its charter to the board's tip."""
    tip = board.tip(genesis)
    if tip is None:
        raise MalformedObject(f"there is no DAO {genesis} on the board; found one with: coffer dao init")
    return verified_history(genesis, tip, fetch_from(board), at=at)


def put_proposal(
    board: Board, history: History, action: Action, proposer: SigningKey, *, at: int, policy: Policy | None = None
) -> Proposal:
    """Put an action, and the policy it adopts, to the vote."""
    if history.charter.weight_of(proposer.address) == 0:
        raise AccessDenied(f"{address_text(proposer.address)} has no vote in this DAO, so it cannot propose")
    proposal = propose(history, action, proposer, at=at)
    if policy is not None:
        _put(board, "policy", history.genesis, policy)
    _put(board, "proposal", history.genesis, proposal)
    return proposal


def proposal_on(board: Board, history: History, cid: Cid) -> Proposal:
    """Return a proposal that a member of this DAO signed."""
    proposal = Proposal.from_bytes(fetch_from(board)(cid))
    verify_proposal(history.charter, proposal, genesis=history.genesis)
    return proposal


def policy_of(board: Board, proposal: Proposal) -> Policy | None:
    """Return the policy a proposal would adopt; None for a revocation."""
    adopts = proposal.action.adopts
    return Policy.from_bytes(fetch_from(board)(adopts)) if adopts is not None else None


def cast(
    board: Board, history: History, cid: Cid, voter: SigningKey, support: Support, *, at: int, reason: str = ""
) -> Ballot:
    """Vote, above every answer this voter gave before (rule G1)."""
    if history.charter.weight_of(voter.address) == 0:
        raise AccessDenied(f"{address_text(voter.address)} has no vote in this DAO; its charter names who has")
    standing = standing_of(board, history, cid)
    proposal = standing.proposal
    if standing.is_carried_out or at >= proposal.closes_at:
        raise InvalidDecision(f"voting closed at {time_text(proposal.closes_at)}; propose it anew to vote again")
    if at < proposal.opens_at:
        raise NotYet(f"voting opens at {time_text(proposal.opens_at)}; check this machine's clock")
    sequence = max((ballot.sequence + 1 for ballot in standing.ballots if ballot.voter == voter.address), default=0)
    ballot = vote(history, proposal, voter, support, sequence=sequence, reason=reason)
    _put(board, "ballot", history.genesis, ballot, parent=cid)
    return ballot


def standing_of(board: Board, history: History, cid: Cid) -> Standing:
    """Count the ballots on a proposal; those that do not verify are named and left out."""
    proposal = proposal_on(board, history, cid)
    domain = history.charter.domain(history.genesis)
    good: list[Ballot] = []
    refused: list[str] = []
    for known, body in board.list("ballot", history.genesis, parent=cid):
        try:
            ballot = Ballot.from_bytes(body)
            if ballot.proposal != cid.digest:
                raise InvalidDecision("it is for another proposal")
            ballot.verify(domain)
            tally(history.charter, [ballot])
        except VaultError as error:
            refused.append(f"ballot {known} does not count: {error}")
        else:
            good.append(ballot)
    return Standing(
        proposal=proposal,
        ballots=tuple(good),
        tally=tally(history.charter, good),
        refused=tuple(refused),
        is_carried_out=cid in history.carried,
    )


def carry_out(board: Board, history: History, cid: Cid, *, at: int) -> History:
    """Advance the head by a proposal that was carried; again is fine and changes nothing."""
    if cid in history.carried:
        return history
    standing = standing_of(board, history, cid)
    proposal = standing.proposal
    if at < proposal.closes_at:
        raise NotYet(f"voting is open until {time_text(proposal.closes_at)}; carry it out then")
    if not standing.ballots:
        raise InvalidDecision("nobody voted on this proposal; propose it anew")
    decision = Decision.of(proposal, _decisive(standing.ballots))
    after = advanced(history, decision, policy=policy_of(board, proposal), at=at)
    _put(board, "decision", history.genesis, decision, parent=cid)
    _put(board, "head", history.genesis, after.head, parent=decision.cid())
    board.set_tip(history.genesis, after.head.cid(), after.head.epoch)
    return after


def _decisive(ballots: tuple[Ballot, ...]) -> tuple[Ballot, ...]:
    """Return all ballots, or where they are too many for one decision, each voter's last."""
    if len(ballots) <= BALLOTS_MAX:
        return ballots
    return tuple({ballot.voter: ballot for ballot in sorted(ballots, key=lambda ballot: ballot.sequence)}.values())


def submit_chain(board: Board, history: History, taker: HeadTaker) -> int:
    """Hand the whole chain to a custodian, in as many calls as its size needs; return the epoch it is at."""
    epoch = 0
    for head, blocks in chain_batches(board, history):
        try:
            epoch = taker.submit_head(head, blocks)
        except StaleState:
            if head == history.head.cid():
                raise  # it knows a later head than this board
    return epoch


def chain_batches(board: Board, history: History) -> Iterator[tuple[Cid, dict[Cid, bytes]]]:
    """Yield a head with the blocks that lead to it from the one yielded before; the last head is the tip."""
    fetch = fetch_from(board)
    blocks = {history.genesis: fetch(history.genesis)}
    for cid in history.heads:
        head = Head.from_bytes(fetch(cid))
        blocks[cid] = head.encoded()
        if head.decision is not None:
            blocks[head.decision] = fetch(head.decision)
            adopts = Decision.from_bytes(blocks[head.decision]).proposal.action.adopts
            blocks |= {adopts: fetch(adopts)} if adopts is not None else {}
        if cid == history.head.cid() or sum(map(len, blocks.values())) > BATCH_BYTES:
            yield cid, blocks
            blocks = {}


def verified_links(board: Board, genesis: Cid, *, at: int) -> Iterator[str]:
    """Verify the chain link by link, yielding a sentence for each that holds; raise at the first that does not."""
    fetch = fetch_from(board)
    charter = Charter.from_bytes(fetch(genesis))
    history = founded(charter)
    yield f"charter {genesis}: members {len(charter.members)}, custodians {len(charter.custodians)}"
    tip = board.tip(genesis)
    if tip is None:
        raise MalformedObject(f"the board knows no head of DAO {genesis}")
    for cid in _heads(fetch, history, tip):
        history = extended(history, cid, fetch, at=at)
        if history.head.decision is not None:
            decision = Decision.from_bytes(fetch(history.head.decision))
            action = decision.proposal.action.words()
            yield f"epoch {history.head.epoch}: {action}; {_weights(tally(charter, decision.ballots))}"
    yield f"head {history.head.cid()} at epoch {history.head.epoch}: policies in force {len(history.policies)}"


def _heads(fetch: Callable[[Cid], bytes], history: History, tip: Cid) -> list[Cid]:
    heads = [tip]
    while heads[-1] != history.head.cid():
        previous = Head.from_bytes(fetch(heads[-1])).previous
        if previous is None or len(heads) > EPOCHS_MAX:
            raise MalformedObject(f"head {tip} does not lead back to the charter's own")
        heads.append(previous)
    return heads[-2::-1]


def _weights(count: Tally) -> str:
    return f"{count.weight_for} for, {count.weight_against} against, {count.weight_abstain} abstain of {count.total}"


def _put(board: Board, kind: str, genesis: Cid, record: Record, *, parent: Cid | None = None) -> None:
    board.put(kind, genesis, record.cid(), parent, record.encoded())


def time_text(seconds: int) -> str:
    """Return UTC seconds as a person reads them."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} (UTC seconds)"
