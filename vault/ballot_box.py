"""One voter's ballots on one proposal, as one custodian holds them: which it takes, acknowledges and hands on (G2).

Nothing here reads a clock, a disk or the network, so that what honest custodians agree on can be tried out against any
behavior of the others.

A ballot that a greater one of the same voter stands for, in its period and in every later one, changes no count. It is
acknowledged and forgotten; so a voter takes up room for at most one ballot a period, whatever it signs. The greatest
ballot of each period stands in nobody's shadow: it is handed on everywhere, and so every honest custodian holds it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import lt

from vault.acknowledgment import Acknowledgment, require_given, times_for
from vault.ballot import Proposal, Vote
from vault.charter import Charter
from vault.closing import Period, deadline, period_of, proven_period
from vault.errors import AccessDenied, InvalidDecision, NotYet
from vault.machine import MachineKey
from vault.utc import time_text

BALLOTS_PER_VOTER = 4  # that one custodian takes of a voter on one proposal, unless another one has acknowledged them


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A ballot that a custodian holds, and what it knows of when it came."""

    vote: Vote
    digest: bytes  # of the ballot
    acknowledgments: tuple[Acknowledgment, ...]
    period: Period
    direct: int  # how many ballots of this voter came here first

    def shadows(self, other: Held) -> bool:
        """Say whether another ballot of the same voter can change no count, this one being there."""
        return self.period <= other.period and self.vote.ballot.rank() > other.vote.ballot.rank()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What follows from a vote that was handed in."""

    held: tuple[Held, ...]  # all of this voter's, from now on
    dropped: tuple[bytes, ...] = ()  # digests of ballots that are held no more
    news: tuple[bytes, ...] = ()  # digests of ballots that the others are to hear of
    acknowledgment: Acknowledgment | None = None  # None where the vote is kept without our word, being too late for it
    is_changed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """A proposal's vote at one custodian."""

    key: MachineKey
    proposal: Proposal
    charter: Charter
    is_closed: bool  # it has signed a set of ballots, and adds to it no more

    def checked(self, vote: Vote, given: Collection[Acknowledgment], known: Held | None) -> None:
        """Raise unless a member cast the vote and custodians gave their word; what is known is not checked again."""
        if known is None or known.vote != vote:
            vote.verify(self.charter, self.proposal)
        new = [one for one in given if known is None or one not in known.acknowledgments]
        require_given(new, self.charter, genesis=self.proposal.genesis, subject=vote.ballot.digest())

    def taken(self, vote: Vote, given: Collection[Acknowledgment], held: Sequence[Held], *, at: int) -> Taken:
        """Take a checked vote.

        Args:
            held: all that is held of this voter.
            at: UTC seconds, by this custodian's clock.
        Raises: `NotYet` before voting opens; `AccessDenied` for a ballot too many; `InvalidDecision` where it is late.
        """
        digest = vote.ballot.digest()
        known = next((one for one in held if one.digest == digest), None)
        words = self._joined(known.acknowledgments if known else (), given)
        if self.is_closed:
            return self._kept_for_proof(vote, digest, words, known, held)
        is_direct = known is None and not self._is_vouched_for(words)
        if is_direct:
            self._require_admitted(held, at)
        period = period_of(words, self.key.public, self.proposal, self.charter, at=at)
        if period is None:
            raise InvalidDecision(f"voting has ended; what custodians had by {time_text(self._end())} is counted")
        own = self._own(words)
        if known is not None and own is not None and own.period <= period:
            is_changed = words != known.acknowledgments
            kept = replace(known, acknowledgments=words)
            after = tuple(kept if one is known else one for one in held)
            return Taken(held=after, acknowledgment=own, is_changed=is_changed)
        if own is not None and own.period <= period:  # given before a restore, and brought back by another custodian
            word = own
        else:
            word = Acknowledgment.made(self.key, self.proposal.genesis, digest, at=at, period=int(period))
            words = (*words, word)
        direct = max((one.direct for one in held), default=0) + is_direct
        new = Held(vote=vote, digest=digest, acknowledgments=words, period=period, direct=direct)
        if known is None and any(one.shadows(new) for one in held):
            return Taken(held=tuple(held), acknowledgment=word, is_changed=False)
        return self._placed(new, held, word)

    def _placed(self, new: Held, held: Sequence[Held], word: Acknowledgment | None) -> Taken:
        """Return what is held once `new` is, without what it shadows or what shadows it."""
        others = [one for one in held if one.digest != new.digest]
        together = [new, *others]
        standing = [one for one in together if not any(greater.shadows(one) for greater in together)]
        direct = max(one.direct for one in together)
        dropped = tuple(one.digest for one in held if one.digest not in {kept.digest for kept in standing})
        return Taken(
            held=tuple(replace(one, direct=direct) for one in standing),
            dropped=dropped,
            news=(new.digest,),
            acknowledgment=word,
        )

    def _kept_for_proof(
        self, vote: Vote, digest: bytes, words: tuple[Acknowledgment, ...], known: Held | None, held: Sequence[Held]
    ) -> Taken:
        """Keep what others prove to have had in time, after our set was signed: it may void a decision without it."""
        period = proven_period(words, self.key.public, self.proposal, self.charter)
        if known is not None:
            earliest = known.period if period is None else min(known.period, period)
            kept = replace(known, acknowledgments=words, period=earliest)
            after = tuple(kept if one is known else one for one in held)
            news = (digest,) if words != known.acknowledgments else ()
            return Taken(held=after, news=news, acknowledgment=self._own(words), is_changed=bool(news))
        if period is None:
            raise InvalidDecision("the vote is closed here, and fewer than f+1 others had this ballot in time")
        direct = max((one.direct for one in held), default=0)
        new = Held(vote=vote, digest=digest, acknowledgments=words, period=period, direct=direct)
        if any(one.shadows(new) for one in held):
            return Taken(held=tuple(held), is_changed=False)
        return Taken(held=(*held, new), news=(digest,))

    def _require_admitted(self, held: Sequence[Held], at: int) -> None:
        if at < self.proposal.opens_at:
            raise NotYet(f"voting opens at {time_text(self.proposal.opens_at)}")
        if max((one.direct for one in held), default=0) >= BALLOTS_PER_VOTER:
            raise AccessDenied(f"this custodian takes {BALLOTS_PER_VOTER} ballots of a voter; hand it to another one")

    def _is_vouched_for(self, words: Iterable[Acknowledgment]) -> bool:
        """Say whether another custodian had it in time, as it says itself."""
        times = times_for(one for one in words if one.custodian != self.key.public)
        return any(self.proposal.opens_at <= at <= self._end() for at in times.values())

    def _own(self, words: Iterable[Acknowledgment]) -> Acknowledgment | None:
        """Return this custodian's word for the earliest period."""
        return min((one for one in words if one.custodian == self.key.public), key=_by_period, default=None)

    def _joined(self, kept: Sequence[Acknowledgment], given: Iterable[Acknowledgment]) -> tuple[Acknowledgment, ...]:
        """Return what is kept with what is new in it: of a custodian and a period, the word that counts for most.

        Words in the same round count the same; the first one stays, or a liar could give ever earlier ones.
        """
        words = {(one.custodian, one.period): one for one in kept}
        for one in given:
            before = words.get((one.custodian, one.period))
            if before is None or any(map(lt, self._rounds(one), self._rounds(before))):
                words[one.custodian, one.period] = one
        return tuple(words.values())

    def _rounds(self, word: Acknowledgment) -> list[int]:
        """Return how many rounds after each deadline that it counts for the word was given."""
        voting = self.charter.voting
        ends = [deadline(self.proposal, voting, period) for period in Period if period >= word.period]
        return [max(0, -(-(word.arrived_at - by) // voting.round_s)) for by in ends]

    def _end(self) -> int:
        return deadline(self.proposal, self.charter.voting, Period.EXTENDED)


def _by_period(word: Acknowledgment) -> int:
    return word.period


def is_omitted(held: Held, cast: Iterable[tuple[tuple[int, bytes], Period]]) -> bool:
    """Say whether a set lacks a ballot, and any greater one of its voter that came no later.

    Args:
        cast: rank and period of the voter's ballots in the set.
    """
    rank = held.vote.ballot.rank()
    return not any(other >= rank and period <= held.period for other, period in cast)
