"""How a proposal stands: the votes a board knows, what they add up to, and whether it was decided, stopped, done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from storage.cid import Cid
from vault.assembly import charter_then, fetch_from, proposal_on
from vault.ballot import Proposal, Vote
from vault.ballot_box import Held, is_omitted
from vault.board import Board, Kind
from vault.charter import Charter
from vault.closing import BallotPage, Cast, Period, final_at
from vault.decision import Decision, recounted
from vault.errors import InvalidDecision, NotYet, VaultError
from vault.head import Head
from vault.history import History, verified_history
from vault.tally import Tally, tally
from vault.utc import time_text
from vault.vote_delegation import Delegations, in_force


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a proposal stands: the votes that verify, what they add up to, and why others do not count.

    Until its decision is there, what counts is not settled: which votes came in time, custodians say at the close.
    """

    proposal: Proposal
    charter: Charter  # of the head that it was made against
    votes: tuple[Vote, ...]
    tally: Tally
    refused: tuple[str, ...]
    decision: Cid | None  # on the board, and verified
    free_at: int | None  # UTC seconds: from when on the decision may be carried out
    is_carried_out: bool
    is_canceled: bool
    is_outdated: bool  # the charter has changed since
    left_out: tuple[Vote, ...]  # votes that this board knows and the decision does not hold

    def words(self, at: int) -> str:
        """Return its state in the field's words, from pending to executed."""
        if self.is_carried_out:
            return "executed"
        if self.is_canceled:
            return "canceled"
        if self.is_outdated:
            return "outdated"
        if at < self.proposal.opens_at:
            return "pending"
        return self._undecided(at) if self.decision is None else self._decided(at)

    def _undecided(self, at: int) -> str:
        if at < self.proposal.closes_at:
            return "open"
        return "closing" if at < final_at(self.proposal, self.charter) else "closed"

    def _decided(self, at: int) -> str:
        if not self.tally.is_carried():
            return "defeated"
        return "queued" if self.free_at is not None and at < self.free_at else "ready"


def standing_of(
    board: Board, history: History, cid: Cid, *, at: int, past: Mapping[int, History] | None = None
) -> Standing:
    """Count the votes on a proposal; those that do not verify are named and left out.

    Args:
        past: the history by epoch, where it is known already; otherwise verified anew for what an older charter ruled.
    """
    proposal = proposal_on(board, history, cid)
    charter = charter_then(board, history, proposal)
    delegations = _delegations_then(board, history, proposal, past, at=at)
    votes, refused = votes_on(board, charter, proposal)
    decided, problems = _decision_on(board, history, proposal, charter, delegations)
    count = _counted(charter, proposal, votes, delegations) if decided is None else decided[1]
    return Standing(
        proposal=proposal,
        charter=charter,
        votes=votes,
        tally=count,
        refused=(*refused, *problems),
        decision=decided[0] if decided is not None else None,
        free_at=count.closed_at + charter.voting.timelock_s if decided is not None else None,
        is_carried_out=history.is_carried(cid),
        is_canceled=history.is_canceled(proposal),
        is_outdated=proposal.epoch < history.charter_epoch,
        left_out=_left_out(board, votes, decided[0]) if decided is not None else (),
    )


def _counted(charter: Charter, proposal: Proposal, votes: tuple[Vote, ...], delegations: Delegations) -> Tally:
    known = [Cast(vote.ballot, int.from_bytes(vote.weight, "big"), Period.EARLY) for vote in votes]
    return tally(charter, proposal, known, delegations)


def votes_on(board: Board, charter: Charter, proposal: Proposal) -> tuple[tuple[Vote, ...], tuple[str, ...]]:
    """Return the votes on a proposal that verify, and a sentence for each that does not count."""
    good: list[Vote] = []
    refused: list[str] = []
    for known, body in board.list(Kind.VOTE, proposal.genesis, parent=proposal.cid()):
        try:
            vote = Vote.from_bytes(body)
            vote.verify(charter, proposal)
        except VaultError as error:
            refused.append(f"vote {known} does not count: {error}")
        else:
            good.append(vote)
    return tuple(good), tuple(refused)


def next_sequence(board: Board, history: History, cid: Cid, voter: bytes, *, at: int) -> int:
    """Return the sequence number above every answer that a voter gave before (rule G1), or raise why it is too late."""
    standing = standing_of(board, history, cid, at=at)
    proposal, voting = standing.proposal, history.charter.voting
    if standing.is_outdated:
        raise InvalidDecision("the charter has changed since the proposal was made; propose it anew")
    if standing.is_canceled:
        raise InvalidDecision("guardians canceled this proposal; propose it anew")
    if standing.is_carried_out or standing.decision is not None or at >= proposal.closes_at + voting.extension_s:
        raise InvalidDecision(f"voting closed at {time_text(proposal.closes_at)}; propose it anew to vote again")
    if at < proposal.opens_at:
        raise NotYet(f"voting opens at {time_text(proposal.opens_at)}; check this machine's clock")
    given = (vote.ballot.sequence + 1 for vote in standing.votes if vote.ballot.voter == voter)
    return max(given, default=0)


def ready_decision(board: Board, history: History, cid: Cid, *, at: int) -> Decision:
    """Return the decision of a proposal that may be carried out now, or raise why there is none."""
    standing = standing_of(board, history, cid, at=at)
    history.require_current(standing.proposal)
    if standing.decision is None:
        if at < standing.proposal.closes_at:
            raise NotYet(f"voting is open until {time_text(standing.proposal.closes_at)}; then: coffer dao queue {cid}")
        why = f" ({standing.refused[-1]})" if standing.refused else ""
        raise NotYet(f"there is no decision on this proposal yet{why}; make it with: coffer dao queue {cid}")
    if not standing.tally.is_carried():
        raise InvalidDecision("the charter's quorum or threshold is not met; the proposal is defeated")
    if standing.free_at is not None and at < standing.free_at:
        raise NotYet(f"the timelock ends at {time_text(standing.free_at)}; then: coffer dao execute {cid}")
    return Decision.from_bytes(fetch_from(board)(standing.decision))


def _delegations_then(
    board: Board, history: History, proposal: Proposal, past: Mapping[int, History] | None, *, at: int
) -> Delegations:
    """Return the delegations in the head that a proposal was made against."""
    if proposal.epoch >= history.charter_epoch:
        return in_force(history.delegations, epoch=proposal.epoch)
    then = (past or {}).get(proposal.epoch)
    if then is None:
        then = verified_history(history.genesis, proposal.head, fetch_from(board), at=at)
    return in_force(then.delegations, epoch=proposal.epoch)


def _decision_on(
    board: Board, history: History, proposal: Proposal, charter: Charter, delegations: Delegations
) -> tuple[tuple[Cid, Tally] | None, list[str]]:
    """Return the first decision on the board that verifies, with its count, and why those before it do not."""
    problems: list[str] = []
    done = _causes(board, history, proposal) if history.is_carried(proposal.cid()) else frozenset()
    for cid, body in board.list(Kind.DECISION, history.genesis, parent=proposal.cid()):
        try:
            decision = Decision.from_bytes(body)
            if done:
                if cid not in done:
                    continue  # another one of the same vote was carried out
                count = recounted(charter, decision, delegations, fetch_from(board))
            else:
                count = history.counted(decision, fetch_from(board))
        except VaultError as error:
            if not history.is_canceled(proposal) and proposal.epoch >= history.charter_epoch:
                problems.append(f"decision {cid} does not count: {error}")
        else:
            return (cid, count), problems
    return None, problems


def _causes(board: Board, history: History, proposal: Proposal) -> frozenset[Cid]:
    fetch = fetch_from(board)
    heads = (Head.from_bytes(fetch(head)) for head in history.heads[proposal.epoch + 1 :])
    return frozenset(head.cause for head in heads if head.cause is not None)


def _left_out(board: Board, votes: tuple[Vote, ...], decision: Cid) -> tuple[Vote, ...]:
    """Return each voter's latest vote where a decision lacks it and any greater one.

    When votes came, a board does not know: a greater one of a later period stands for each.
    """
    fetch = fetch_from(board)
    cast: dict[bytes, list[tuple[tuple[int, bytes], Period]]] = defaultdict(list)
    for page in Decision.from_bytes(fetch(decision)).pages():
        for one in BallotPage.from_bytes(fetch(page)).cast():
            cast[one.ballot.voter].append((one.ballot.rank(), one.period))
    latest: dict[bytes, Vote] = {}
    for vote in sorted(votes, key=lambda vote: vote.ballot.rank()):
        latest[vote.ballot.voter] = vote
    return tuple(
        vote
        for vote in votes
        if latest[vote.ballot.voter] is vote and is_omitted(_as_held(vote), cast.get(vote.ballot.voter, ()))
    )


def _as_held(vote: Vote) -> Held:
    """Return a vote as one that came in the last period."""
    return Held(vote=vote, digest=vote.ballot.digest(), acknowledgments=(), period=Period.EXTENDED, direct=0)
