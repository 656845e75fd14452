"""The closed set of a proposal's ballots, which q custodians sign, and the pages it is kept in (rule G2).

A custodian signs one set for a proposal, and only if everything that it acknowledged is in it, or a greater ballot of
the same voter that came no later; so a ballot that n-q+f+1 custodians acknowledged counts, or such a one, in every set
that q of them sign. The set also says of each ballot in which *period* it came: early, late, or while voting was
extended. Custodians agree on that as they agree on the ballots (`vault.acknowledgment`), so what was decided follows
from the set alone.

Pages hold columns rather than records: 20,000 ballots take 2.5 MB, and reading them is next to nothing beside checking
their signatures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, is_in_time, times_for
from vault.ballot import Ballot, Proposal, Support, require_reason
from vault.charter import MEMBERS_MAX, Charter, Voting
from vault.codec import Digest, Label, Length, PublicKey, Record, record
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject
from vault.machine import MachineSigned

PAGE_BALLOTS = 1024  # with the longest reasons a page still fits a block
BALLOTS_MAX = 4 * MEMBERS_MAX
PAGES_MAX = -(-BALLOTS_MAX // PAGE_BALLOTS)
_SUPPORTS = tuple(Support)


class Period(IntEnum):
    """When a ballot came."""

    EARLY = 0  # so early that a quorum it completes extends nothing
    LATE = 1  # before voting was to close
    EXTENDED = 2  # after that; it counts where voting was extended


def deadline(proposal: Proposal, voting: Voting, period: Period) -> int:
    """Return until when a ballot of a period has to have come (UTC seconds)."""
    return proposal.closes_at + (period - Period.LATE) * voting.extension_s


def final_at(proposal: Proposal, charter: Charter) -> int:
    """Return from when on custodians sign the closed set: every honest one has had time to hear of every ballot."""
    rounds = charter.liars + 1 if len(charter.custodians) > 1 else 0
    return deadline(proposal, charter.voting, Period.EXTENDED) + rounds * charter.voting.round_s


def period_of(
    acknowledgments: Sequence[Acknowledgment],
    own: bytes,
    proposal: Proposal,
    charter: Charter,
    *,
    at: int | None = None,
) -> Period | None:
    """Return in which period a ballot came, as custodian `own` sees it; None where it came too late for any.

    Args:
        acknowledgments: all that it has of this ballot, verified, its own among them.
        at: UTC seconds, where it has none of its own for a period yet and could give one now.
    """
    voting, liars = charter.voting, charter.liars
    for period in Period:
        times = times_for(acknowledgments, period)
        if at is not None:
            times.setdefault(own, at)
        if is_in_time(times, own, by=deadline(proposal, voting, period), round_s=voting.round_s, liars=liars):
            return period
    return None


def proven_period(
    acknowledgments: Sequence[Acknowledgment], own: bytes, proposal: Proposal, charter: Charter
) -> Period | None:
    """Return in which period a ballot came by the word of others alone, more than f of them; None without it."""
    others = [one for one in acknowledgments if one.custodian != own]
    return period_of(others, own, proposal, charter)


@dataclass(frozen=True, slots=True)
class Cast:
    """A ballot in a closed set."""

    ballot: Ballot
    weight: int  # of the voter itself
    period: Period


@record
class BallotPage(Record):
    """Up to `PAGE_BALLOTS` ballots of one proposal in columns, ascending by voter, sequence and signature."""

    TYPE: ClassVar[str] = "coffer/ballots/v1"

    proposal: Digest
    voters: Annotated[bytes, Length(20, 20 * PAGE_BALLOTS)]
    weights: Annotated[bytes, Length(32, 32 * PAGE_BALLOTS)]
    supports: Annotated[bytes, Length(1, PAGE_BALLOTS)]  # 0 against, 1 for, 2 abstain
    periods: Annotated[bytes, Length(1, PAGE_BALLOTS)]
    sequences: Annotated[tuple[int, ...], Length(1, PAGE_BALLOTS)]
    reasons: Annotated[tuple[Label, ...], Length(1, PAGE_BALLOTS)]
    signatures: Annotated[bytes, Length(65, 65 * PAGE_BALLOTS)]

    def check(self) -> None:
        """Refuse columns of different lengths, and values out of range."""
        n = len(self.sequences)
        lengths = (len(self.voters), len(self.weights), len(self.supports), len(self.periods), len(self.signatures))
        if lengths != (20 * n, 32 * n, n, n, 65 * n) or len(self.reasons) != n:
            raise MalformedObject("the columns of a page of ballots have different lengths")
        if max(self.supports) >= len(_SUPPORTS) or max(self.periods) >= len(Period):
            raise MalformedObject("a ballot is against, for or abstain, and came in one of three periods")
        for reason in self.reasons:
            require_reason(reason)

    @classmethod
    def of(cls, proposal: bytes, cast: Sequence[Cast]) -> BallotPage:
        """Return the page of ballots that are in order already."""
        return cls(
            proposal=proposal,
            voters=b"".join(one.ballot.voter for one in cast),
            weights=b"".join(one.weight.to_bytes(32, "big") for one in cast),
            supports=bytes(_SUPPORTS.index(one.ballot.support) for one in cast),
            periods=bytes(one.period for one in cast),
            sequences=tuple(one.ballot.sequence for one in cast),
            reasons=tuple(one.ballot.reason for one in cast),
            signatures=b"".join(one.ballot.signature for one in cast),
        )

    def cast(self) -> Iterator[Cast]:
        """Yield the ballots, unverified."""
        for i, (sequence, reason) in enumerate(zip(self.sequences, self.reasons, strict=True)):
            ballot = Ballot(
                proposal=self.proposal,
                voter=self.voters[20 * i : 20 * i + 20],
                support=_SUPPORTS[self.supports[i]],
                sequence=sequence,
                reason=reason,
                signature=self.signatures[65 * i : 65 * i + 65],
            )
            weight = int.from_bytes(self.weights[32 * i : 32 * i + 32], "big")
            yield Cast(ballot, weight, Period(self.periods[i]))


def pages_of(proposal: Proposal, cast: Iterable[Cast]) -> list[BallotPage]:
    """Return the pages of a set of ballots: the same set has the same pages, whoever makes them."""
    ordered = sorted(cast, key=lambda one: (one.ballot.voter, *one.ballot.rank()))
    if not ordered:
        raise InvalidDecision("nobody voted on this proposal; propose it anew")
    if len(ordered) > BALLOTS_MAX:
        raise MalformedObject(f"a proposal has at most {BALLOTS_MAX} ballots")
    named = proposal.cid().digest
    return [BallotPage.of(named, ordered[i : i + PAGE_BALLOTS]) for i in range(0, len(ordered), PAGE_BALLOTS)]


@record
class Closing(MachineSigned):
    """One custodian's word that these are all ballots there are on a proposal, and when they came."""

    TYPE: ClassVar[str] = "coffer/closing/v1"

    genesis: Cid
    proposal: Digest
    pages: Annotated[tuple[Cid, ...], Length(1, PAGES_MAX)]
    custodian: PublicKey

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian


def agreed_pages(closings: Sequence[Closing], charter: Charter, *, genesis: Cid, proposal: bytes) -> tuple[Cid, ...]:
    """Return the pages that q custodians closed a proposal with, or raise what is wrong with their word."""
    signers = {closing.custodian for closing in closings}
    if len(signers) != len(closings) or any(charter.custodian(signer) is None for signer in signers):
        raise InvalidSignature("a closing is from a machine that is no custodian of this DAO, or given twice")
    if len(closings) < charter.signatures:
        raise InvalidDecision(f"{len(closings)} custodians closed the vote; the charter asks for {charter.signatures}")
    pages = closings[0].pages
    for closing in closings:
        if (closing.genesis, closing.proposal, closing.pages) != (genesis, proposal, pages):
            raise InvalidDecision("the custodians closed the vote with different ballots")
        closing.verify()
    return pages
