"""Votes as they are handed in, handed on, and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, Acknowledgments
from vault.ballot import Proposal, Vote
from vault.ballot_box import Held, Poll
from vault.closing import Period
from vault.errors import VaultError
from vault.polls import VoteRow

Offer = tuple[Vote, Sequence[Acknowledgment]]
Answer = Acknowledgment | VaultError


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownProposal:
    """A proposal that is held, with what custodians said of it."""

    proposal: Proposal
    acknowledgments: tuple[Acknowledgment, ...]
    position: int  # in the order of changes

    @property
    def named(self) -> Cid | None:
        """Return what its action names."""
        return self.proposal.action.adopts or self.proposal.action.charter


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownVote:
    """A vote that is held, with what custodians said of it."""

    vote: Vote
    acknowledgments: tuple[Acknowledgment, ...]
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Votes on one proposal as they were handed in, and what is known of them already."""

    poll: Poll
    offers: tuple[Offer, ...]
    known: tuple[Held | None, ...]

    def checked(self) -> list[VaultError | None]:
        """Return what is wrong with each vote. Touches nothing, so any thread may do it."""
        return [_failure(self.poll, *offer, held) for offer, held in zip(self.offers, self.known, strict=True)]


def held_from(row: VoteRow) -> Held:
    """Return a ballot as it was kept."""
    return Held(
        vote=Vote.from_bytes(row.body),
        digest=row.ballot,
        acknowledgments=Acknowledgments.from_bytes(row.acknowledgments).given,
        period=Period(row.period),
        direct=row.direct,
    )


def row_of(proposal: bytes, held: Held) -> VoteRow:
    """Return a ballot as it is kept."""
    return VoteRow(
        proposal=proposal,
        ballot=held.digest,
        voter=held.vote.ballot.voter,
        body=held.vote.encoded(),
        acknowledgments=Acknowledgments(given=held.acknowledgments).encoded(),
        period=int(held.period),
        direct=held.direct,
    )


def _failure(poll: Poll, vote: Vote, given: Sequence[Acknowledgment], known: Held | None) -> VaultError | None:
    try:
        poll.checked(vote, given, known)
    except VaultError as error:
        return error
    return None
