"""A DAO's affairs over a board: found, propose, vote, carry out.

The board is a place that somebody may have edited, so nothing is taken from it on trust: every call rebuilds the
history from the genesis charter and raw signatures, and checks each block against its CID. How a proposal stands is in
`vault.standing`; what only custodians can say, which votes came in time, is in `vault.collecting`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from storage.cid import DAG_CBOR, Cid
from vault.action import Action
from vault.acts import propose, vote_of
from vault.ballot import Ballot, Proposal, Vote
from vault.board import Board, Kind
from vault.charter import Charter
from vault.codec import Record
from vault.decision import Decision, verify_proposal
from vault.errors import InvalidDecision, MalformedObject
from vault.guardian import GuardianAct
from vault.handing import Handed, HeadTaker, handed_to_all
from vault.head import Head
from vault.history import Cause, History, cause_from, founded, link_cids, verified_history
from vault.policy import Policy
from vault.roll import Roll, roll_from
from vault.signing import SigningKey
from vault.vote_delegation import DelegationBatch

BATCH_BYTES = 2 << 20  # of links handed in at once


def fetch_from(board: Board) -> Callable[[Cid], bytes]:
    """Return how to get a block of the board, checked against its CID."""

    def fetch(cid: Cid) -> bytes:
        body = board.get(cid)
        if body is None:
            raise MalformedObject(f"block {cid} is not on the board; get it with: coffer dao sync")
        if not cid.matches(body):
            raise MalformedObject(f"what the board keeps as {cid} was changed; get it anew with: coffer dao sync")
        return body

    return fetch


def found(board: Board, charter: Charter, roll: Roll) -> History:
    """Put a new DAO on the board and return its history."""
    history = founded(charter)
    put_roll(board, history.genesis, roll)
    put(board, Kind.CHARTER, history.genesis, charter)
    put(board, Kind.HEAD, history.genesis, history.head)
    board.set_tip(history.genesis, history.head.cid(), 0)
    return history


def history_of(board: Board, genesis: Cid, *, at: int) -> History:
    """Return a DAO's history, verified from its charter to the board's tip."""
    return verified_history(genesis, tip_of(board, genesis), fetch_from(board), at=at)


def tip_of(board: Board, genesis: Cid) -> Cid:
    """Return the newest head that the board knows of a DAO; raise `MalformedObject` where it knows none."""
    tip = board.tip(genesis)
    if tip is None:
        raise MalformedObject(f"there is no DAO {genesis} on the board; found one with: coffer dao init")
    return tip


def roll_of(board: Board, charter: Charter) -> Roll:
    """Return the members of a charter, verified against it."""
    return roll_by(charter, fetch_from(board))


def roll_by(charter: Charter, fetch: Callable[[Cid], bytes]) -> Roll:
    """Return the members of a charter from wherever blocks come from, verified against it."""
    return roll_from(charter.roll, fetch, members=charter.members, root=charter.weights_root, total=charter.total())


def put_roll(board: Board, genesis: Cid, roll: Roll) -> None:
    """Put a roll on the board: its root and its pages."""
    for cid, body in roll.blocks().items():
        is_root = cid == roll.cid
        put_block(board, Kind.ROLL if is_root else Kind.BLOCK, genesis, cid, body, parent=None if is_root else roll.cid)


def proposed(board: Board, history: History, action: Action, proposer: SigningKey, *, at: int) -> Proposal:
    """Return a member's signed proposal; raise `InvalidDecision` where its weight does not suffice."""
    proposal = propose(history, roll_of(board, history.charter), action, proposer, at=at)
    proposal.require_member(history.charter)
    return proposal


def put_proposal(
    board: Board, history: History, proposal: Proposal, named: Policy | Charter | None = None, roll: Roll | None = None
) -> None:
    """Put a proposal on the board, with the policy or charter that it names, and that charter's members."""
    if roll is not None:
        put_roll(board, history.genesis, roll)
    if named is not None:
        put(board, Kind.POLICY if isinstance(named, Policy) else Kind.CHARTER, history.genesis, named)
    put(board, Kind.PROPOSAL, history.genesis, proposal)


def proposal_on(board: Board, history: History, cid: Cid) -> Proposal:
    """Return a proposal that a member of this DAO signed, under the charter of the head it was made against."""
    proposal = Proposal.from_bytes(fetch_from(board)(cid))
    verify_proposal(charter_then(board, history, proposal), proposal, genesis=history.genesis)
    return proposal


def charter_then(board: Board, history: History, proposal: Proposal) -> Charter:
    """Return the charter in the head that a proposal was made against."""
    if history.heads[proposal.epoch : proposal.epoch + 1] != (proposal.head,):
        raise InvalidDecision(f"the proposal was not made against this DAO's head of epoch {proposal.epoch}")
    if proposal.epoch >= history.charter_epoch:
        return history.charter
    fetch = fetch_from(board)
    return Charter.from_bytes(fetch(Head.from_bytes(fetch(proposal.head)).charter))


def policies_then(board: Board, history: History, proposal: Proposal) -> Mapping[Cid, Policy]:
    """Return the policies in force right before a proposal was carried out; those of today where it was not yet."""
    if not history.is_carried(proposal.cid()):
        return history.policies
    fetch = fetch_from(board)
    for before, head in pairwise(history.heads[proposal.epoch :]):
        cause = Head.from_bytes(fetch(head)).cause
        decided = cause_from(fetch(cause)) if cause is not None else None
        if isinstance(decided, Decision) and decided.proposal.cid() == proposal.cid():
            return {cid: Policy.from_bytes(fetch(cid)) for cid in Head.from_bytes(fetch(before)).policies}
    raise InvalidDecision("no head on the board carries out that proposal")


def policy_of(board: Board, proposal: Proposal) -> Policy | None:
    """Return the policy a proposal would adopt; None where it adopts none."""
    adopts = proposal.action.adopts
    return Policy.from_bytes(fetch_from(board)(adopts)) if adopts is not None else None


def charter_of_proposal(board: Board, proposal: Proposal) -> Charter | None:
    """Return the charter a proposal would put in place; None where it changes none."""
    named = proposal.action.charter
    return Charter.from_bytes(fetch_from(board)(named)) if named is not None else None


def named_blocks(board: Board, proposal: Proposal) -> dict[Cid, bytes]:
    """Return the block of the policy or charter that a proposal names."""
    fetch = fetch_from(board)
    return {cid: fetch(cid) for cid in (proposal.action.adopts, proposal.action.charter) if cid is not None}


def verified_vote(board: Board, history: History, proposal: Proposal, ballot: Ballot) -> Vote:
    """Return a signed ballot with its voter's weight and proof, as it is handed in."""
    vote = vote_of(roll_of(board, history.charter), ballot)
    vote.verify(history.charter, proposal)
    return vote


def put_vote(board: Board, history: History, proposal: Cid, vote: Vote) -> None:
    """Put a verified vote on the board."""
    put(board, Kind.VOTE, history.genesis, vote, parent=proposal)


def put_decision(board: Board, history: History, decision: Decision, blocks: Mapping[Cid, bytes]) -> None:
    """Put a verified decision on the board, with its pages and the proof of the weights."""
    cid, proposal = decision.cid(), decision.proposal
    for block in (*decision.pages(), *decision.weights):
        put_block(board, Kind.BLOCK, history.genesis, block, blocks[block], parent=cid)
    put(board, Kind.DECISION, history.genesis, decision, parent=proposal.cid())


def put_cause(board: Board, genesis: Cid, cause: Cause) -> None:
    """Put what caused a head on the board; a decision's pages are put with `put_decision`."""
    match cause:
        case GuardianAct():
            put(board, Kind.ACT, genesis, cause, parent=Cid.from_digest(DAG_CBOR, cause.act.digest()))
        case DelegationBatch():
            put(board, Kind.BLOCK, genesis, cause)
        case Decision():
            put(board, Kind.DECISION, genesis, cause, parent=cause.proposal.cid())


def submit_chain(board: Board, history: History, takers: Mapping[bytes, HeadTaker]) -> Handed:
    """Hand the whole chain to custodians, in as many calls as its size needs, with their votes on its heads.

    Raises: what `handed_to_all` raises.
    """
    charter = Charter.from_bytes(fetch_from(board)(history.genesis))
    for head, blocks in chain_batches(board, history):
        handed = handed_to_all(takers, head, blocks, genesis=history.genesis, charter=charter)
    return handed


def chain_batches(board: Board, history: History) -> Iterator[tuple[Cid, dict[Cid, bytes]]]:
    """Yield a head with the blocks that lead to it from the one yielded before; the last head is the tip."""
    fetch = fetch_from(board)
    blocks = {history.genesis: fetch(history.genesis)}
    for head in history.heads:
        blocks |= {cid: fetch(cid) for cid in link_cids(head, fetch)}
        if head == history.head.cid() or sum(map(len, blocks.values())) > BATCH_BYTES:
            yield head, blocks
            blocks = {}


def put(board: Board, kind: Kind, genesis: Cid, record: Record, *, parent: Cid | None = None) -> None:
    """Put a record on the board under its CID."""
    put_block(board, kind, genesis, record.cid(), record.encoded(), parent=parent)


def put_block(board: Board, kind: Kind, genesis: Cid, cid: Cid, body: bytes, *, parent: Cid | None = None) -> None:
    """Put a block on the board; where it is there already, it stays as it came first."""
    board.put(kind, genesis, cid, parent, body)
