"""Counting: what a closed set of ballots adds up to, and when voting ended (rules G1, G3).

Each voter's greatest ballot in time counts. A delegate's vote carries the weight of everyone who delegated to it and
did not vote; who voted counts once, with its own answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from vault.ballot import Proposal, Support
from vault.charter import BASIS_POINTS, Charter
from vault.closing import Cast, Period, deadline
from vault.vote_delegation import Delegations


class Answer(NamedTuple):
    """What counts of a ballot in a closed set. Ballots of one voter stand in the order of sequence and signature."""

    voter: bytes
    sequence: int
    signature: bytes
    support: Support
    weight: int  # of the voter itself
    period: Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Weights by answer, what the charter asks of them, and when voting ended."""

    weight_for: int
    weight_against: int
    weight_abstain: int
    total: int
    quorum_bps: int
    threshold_bps: int
    closed_at: int  # UTC seconds
    is_extended: bool

    def cast(self) -> int:
        """Return the weight that was cast in all."""
        return self.weight_for + self.weight_against + self.weight_abstain

    def has_quorum(self) -> bool:
        """Say whether enough weight was cast, of the total."""
        return _is_share(self.cast(), self.quorum_bps, self.total)

    def is_carried(self) -> bool:
        """Say whether quorum and threshold, both of the total weight, are met and more are for than against."""
        return (
            self.has_quorum()
            and _is_share(self.weight_for, self.threshold_bps, self.total)
            and self.weight_for > self.weight_against
        )


def tally(charter: Charter, proposal: Proposal, cast: Iterable[Cast], delegations: Delegations) -> Tally:
    """Count verified ballots on a proposal; see `counted`."""
    return counted(charter, proposal, map(_answer, cast), delegations)


def counted(charter: Charter, proposal: Proposal, answers: Iterable[Answer], delegations: Delegations) -> Tally:
    """Count the verified ballots on a proposal.

    Args:
        answers: every ballot with the voter's proven weight; in any order.
        delegations: those in the head that the proposal was made against.
    """
    given, quorum, voting = list(answers), (charter.voting.quorum_bps, charter.total()), charter.voting
    weights, is_extended = _weights(given, delegations, Period.LATE), False
    if voting.extension_s > 0 and _is_share(sum(weights.values()), *quorum):
        early = _weights(given, delegations, Period.EARLY)
        is_extended = not _is_share(sum(early.values()), *quorum)
    if is_extended:
        weights = _weights(given, delegations, Period.EXTENDED)
    return Tally(
        weight_for=weights[Support.FOR],
        weight_against=weights[Support.AGAINST],
        weight_abstain=weights[Support.ABSTAIN],
        total=charter.total(),
        quorum_bps=voting.quorum_bps,
        threshold_bps=voting.threshold_bps,
        closed_at=deadline(proposal, voting, Period.EXTENDED if is_extended else Period.LATE),
        is_extended=is_extended,
    )


def _weights(answers: Iterable[Answer], delegations: Delegations, until: Period) -> Mapping[Support, int]:
    last: dict[bytes, Answer] = {}
    for one in answers:
        known = last.get(one.voter)
        if one.period <= until and (known is None or one > known):  # of one voter: by sequence, then by signature
            last[one.voter] = one
    weights = dict.fromkeys(Support, 0)
    for one in last.values():
        weights[one.support] += one.weight
    for delegator, choice in delegations.items():
        if delegator not in last and choice.delegate in last:
            weights[last[choice.delegate].support] += choice.weight
    return weights


def _answer(one: Cast) -> Answer:
    ballot = one.ballot
    return Answer(ballot.voter, ballot.sequence, ballot.signature, ballot.support, one.weight, one.period)


def _is_share(weight: int, bps: int, total: int) -> bool:
    return weight * BASIS_POINTS >= bps * total
