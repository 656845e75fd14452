"""Casting a ballot: what a voter has to know, what is signed, and how it reaches the custodians and this board."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cli import wiring
from cli.dao_custody import Places, caught_up, collected_json, custody_of
from cli.dao_rolls import seen_in
from cli.home import Settings
from vault.acts import blank_ballot
from vault.assembly import named_blocks, put_vote, roll_of, verified_vote
from vault.ballot import Ballot, Proposal, Support, Vote
from vault.ballot_box import BALLOTS_PER_VOTER
from vault.collecting import Collected, handed_in_proposal, handed_in_vote
from vault.errors import InvalidDecision, MalformedObject, ServiceUnavailable, VaultError
from vault.signing import address_text
from vault.standing import next_sequence, standing_of

if TYPE_CHECKING:
    from vault.history import History
    from vault.records.board import Board


def warning_of(board: Board, proposal: Proposal, support: Support) -> str:
    """Return what a voter has to know of a charter's members; refuse to vote for others than those it names."""
    seen = seen_in(board, proposal)
    if seen.is_contradicted and support is Support.FOR:
        raise InvalidDecision(seen.warning)
    return seen.warning


def verified_weight(board: Board, history: History, address: bytes) -> int:
    """Return a member's weight; raise `AccessDenied` for a stranger."""
    return roll_of(board, history.charter).weight_of(address)


def blank_for(
    board: Board,
    history: History,
    proposal: Proposal,
    support: Support,
    voter: bytes,
    reason: str,
    sequence: int | None = None,
) -> Ballot:
    """Return a voter's next ballot, unsigned; raise where it is too late, or `sequence` was given before."""
    least = next_sequence(board, history, proposal.cid(), voter, at=wiring.clock())
    if sequence is not None and sequence < least:
        raise MalformedObject(f"an answer with sequence {least - 1} was given before; take {least} or more")
    chosen = least if sequence is None else sequence
    return blank_ballot(proposal, voter, support, sequence=chosen, reason=reason)


def cast(
    settings: Settings, board: Board, history: History, proposal: Proposal, made_under: Callable[[History], Ballot]
) -> dict[str, Any]:
    """Hand a signed ballot to the custodians and keep it on the board; nothing is kept that none of them took.

    Args:
        made_under: returns the signed ballot, given the history as the custodians follow it.

    Returns: for programs, who acknowledged it and how the vote stands then.
    """
    with custody_of(settings, history) as places:
        history = caught_up(board, history, places)
        made = made_under(history)
        vote = verified_vote(board, history, proposal, made)
        collected = _acknowledged(board, history, places, proposal, vote)
        answers = collected_json(collected, places, len(history.charter.custodians))
    put_vote(board, history, proposal.cid(), vote)
    standing = standing_of(board, history, proposal.cid(), at=wiring.clock())
    count, given = standing.tally, sum(one.ballot.voter == made.voter for one in standing.votes)
    return answers | {
        "changes_left": max(0, BALLOTS_PER_VOTER - given),
        "vote": str(vote.cid()),
        "voter": address_text(made.voter),
        "support": made.support.value,
        "sequence": made.sequence,
        "for": count.weight_for,
        "against": count.weight_against,
        "abstain": count.weight_abstain,
        "total": count.total,
    }


def _acknowledged(board: Board, history: History, places: Places, proposal: Proposal, vote: Vote) -> Collected:
    """Hand a vote in; where a custodian refuses it, perhaps it has not heard of the proposal, so hand that in too."""
    try:
        collected = handed_in_vote(places.clients, history.charter, history.genesis, vote)
        if all(isinstance(error, ServiceUnavailable) for error in collected.failures.values()):
            return collected
    except ServiceUnavailable:
        raise
    except VaultError:
        pass
    with suppress(VaultError):
        handed_in_proposal(places.clients, history.charter, proposal, named_blocks(board, proposal))
    return handed_in_vote(places.clients, history.charter, history.genesis, vote)
