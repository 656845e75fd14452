"""A decision: the self-contained proof, from raw signatures alone, that a proposal was carried (rules B3, G1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from storage.cid import Cid
from vault.ballot import Ballot, Proposal, Tally, tally
from vault.charter import MEMBERS_MAX, Charter
from vault.codec import Length, Record
from vault.errors import InvalidDecision, MalformedObject

BALLOTS_MAX = 2 * MEMBERS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Record):
    """A proposal with all ballots that were cast on it."""

    TYPE: ClassVar[str] = "coffer/decision/v1"

    proposal: Proposal
    ballots: Annotated[tuple[Ballot, ...], Length(1, BALLOTS_MAX)]  # ascending by voter, sequence, encoding

    def check(self) -> None:
        """Refuse ballots out of order or given twice: the same votes have one decision, whoever assembles it."""
        keys = [_order(ballot) for ballot in self.ballots]
        if keys != sorted(set(keys)):
            raise MalformedObject("ballots must be sorted by voter and sequence and stand once each")

    @classmethod
    def of(cls, proposal: Proposal, ballots: Iterable[Ballot]) -> Self:
        """Return the decision of a proposal with its ballots, put in order."""
        return cls(proposal=proposal, ballots=tuple(sorted(set(ballots), key=_order)))


def _order(ballot: Ballot) -> tuple[bytes, int, bytes]:
    return ballot.voter, ballot.sequence, ballot.encoded()


def verified_tally(charter: Charter, decision: Decision, *, genesis: Cid) -> Tally:
    """Check every signature and return the count, or raise `InvalidSignature` or `InvalidDecision`."""
    domain = charter.domain(genesis)
    verify_proposal(charter, decision.proposal, genesis=genesis)
    named = decision.proposal.cid().digest
    for ballot in decision.ballots:
        if ballot.proposal != named:
            raise InvalidDecision("a ballot is for another proposal")
        ballot.verify(domain)
    return tally(charter, decision.ballots)


def verify_proposal(charter: Charter, proposal: Proposal, *, genesis: Cid) -> None:
    """Raise unless a member of this DAO proposed it, with at least the charter's time to vote."""
    if proposal.genesis != genesis:
        raise InvalidDecision("the proposal was made to another DAO")
    if charter.weight_of(proposal.proposer) == 0:
        raise InvalidDecision("the proposer has no vote in this DAO")
    if proposal.closes_at - proposal.opens_at < charter.voting_period_s:
        raise InvalidDecision(f"voting has to be open for at least {charter.voting_period_s} s")
    proposal.verify(charter.domain(genesis))
