"""What custodians hold of open votes, taken over onto a board of one's own; everything is verified on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

from storage.cid import DAG_CBOR, Cid
from vault.assembly import charter_then, fetch_from, put_block, put_decision, put_vote
from vault.ballot import Proposal
from vault.board import Board, Kind
from vault.charter import Charter
from vault.codec import OBJECT_BYTES_MAX
from vault.decision import Decision, verify_proposal
from vault.errors import MalformedObject, VaultError
from vault.guardian import GuardianAct
from vault.history import History
from vault.offered import KnownProposal, KnownVote
from vault.outcomes import Queued
from vault.policy import Policy

PAGES_MAX: Final = 4000  # of one list, from one custodian

Listed = TypeVar("Listed", KnownProposal, KnownVote)


class Informant(Protocol):
    """Who hands out what it holds of votes; `vault.client.CustodyClient` is the real one."""

    def proposals(self, genesis: Cid, after: int) -> list[KnownProposal]: ...  # noqa: D102
    def votes(self, genesis: Cid, proposal: bytes, after: int) -> list[KnownVote]: ...  # noqa: D102
    def queued(self, genesis: Cid) -> list[Queued]: ...  # noqa: D102
    def blocks(self, genesis: Cid, cids: Sequence[Cid]) -> Mapping[Cid, bytes]: ...  # noqa: D102
    def acts(self, genesis: Cid) -> list[GuardianAct]: ...  # noqa: D102


def pull_proposals(board: Board, history: History, informants: Iterable[Informant]) -> None:
    """Take over proposals with what they name; what does not verify, or cannot be had, is passed over."""
    for informant in informants:
        with suppress(VaultError):
            for known in _all(partial(informant.proposals, history.genesis)):
                with suppress(VaultError):
                    _take_proposal(board, history, known.proposal, informant)


def pull_votes(board: Board, history: History, proposal: Proposal, informants: Iterable[Informant]) -> None:
    """Take over the votes on a proposal; what does not verify is passed over."""
    charter, cid = charter_then(board, history, proposal), proposal.cid()
    here = {known for known, _ in board.list(Kind.VOTE, history.genesis, parent=cid)}
    for informant in informants:
        with suppress(VaultError):
            for known in _all(partial(informant.votes, history.genesis, cid.digest)):
                if known.vote.cid() in here:
                    continue
                with suppress(VaultError):
                    known.vote.verify(charter, proposal)
                    put_vote(board, history, cid, known.vote)
                    here.add(known.vote.cid())


def pull_decision(board: Board, history: History, proposal: Proposal, informants: Iterable[Informant]) -> bool:
    """Take over the decision that waits for a proposal at a custodian, and say whether there is one that verifies."""
    for informant in informants:
        with suppress(VaultError):
            for queued in informant.queued(history.genesis):
                if queued.proposal == proposal.cid().digest:
                    _take_decision(board, history, queued.decision, informant)
                    return True
    return False


def _take_proposal(board: Board, history: History, proposal: Proposal, informant: Informant) -> None:
    if board.get(proposal.cid()) is not None:
        return
    history.require_current(proposal)
    verify_proposal(history.charter, proposal, genesis=history.genesis)
    for kind, named in ((Kind.POLICY, proposal.action.adopts), (Kind.CHARTER, proposal.action.charter)):
        if named is not None:
            body = _block(informant, history, named)
            (Policy if kind is Kind.POLICY else Charter).from_bytes(body)
            put_block(board, kind, history.genesis, named, body)
    put_block(board, Kind.PROPOSAL, history.genesis, proposal.cid(), proposal.encoded())


def _take_decision(board: Board, history: History, cid: Cid, informant: Informant) -> None:
    decision = Decision.from_bytes(_block(informant, history, cid))
    named = (*decision.pages(), *decision.weights)
    blocks = informant.blocks(history.genesis, named)
    if missing := [one for one in named if one not in blocks or not one.matches(blocks[one])]:
        raise MalformedObject(f"a custodian does not hand out block {missing[0]} of a decision that it keeps")
    kept = fetch_from(board)
    history.counted(decision, lambda one: blocks[one] if one in blocks else kept(one))
    put_decision(board, history, decision, blocks)


def _block(informant: Informant, history: History, cid: Cid) -> bytes:
    body = informant.blocks(history.genesis, [cid]).get(cid)
    if body is None or len(body) > OBJECT_BYTES_MAX or cid.codec != DAG_CBOR or not cid.matches(body):
        raise MalformedObject(f"a custodian does not hand out block {cid}, which it names")
    return body


def _all(page_after: Callable[[int], list[Listed]]) -> Iterable[Listed]:
    """Yield what is listed, page by page; a list that does not go on, or never ends, is left there."""
    after = 0
    for _ in range(PAGES_MAX):
        page = page_after(after)
        if not page or page[-1].position <= after:
            return
        yield from page
        after = page[-1].position
