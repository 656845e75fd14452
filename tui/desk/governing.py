"""What members and guardians do: read proposals, vote, have decisions closed and carried out, revoke, re-verify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteFacts:
    """One vote that counts."""

    voter: str
    support: str
    weight: int
    reason: str
    is_mine: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalFacts:
    """One proposal: what it would change, how its vote stands, what comes next."""

    cid: str
    title: str
    changes: tuple[str, ...]
    warning: str
    accepts_simulated: bool
    proposer: str
    state: str  # pending, open, closing, closed, queued, ready, executed, defeated, canceled, outdated, lapsed
    weight_for: int
    weight_against: int
    weight_abstain: int
    total: int
    quorum_bps: int
    threshold_bps: int
    has_quorum: bool
    is_carried: bool
    is_settled: bool  # the custodians have said which votes came in time
    opens_at: int
    closes_at: int
    final_at: int
    free_at: int | None  # from when a decision may be carried out
    votes: tuple[VoteFacts, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """Every proposal, the newest first, and why others do not count."""

    proposals: tuple[ProposalFacts, ...]
    refused: tuple[str, ...]
    voters: tuple[str, ...]  # wallets of this home that are members
    guardians: tuple[str, ...]  # wallets of this home that are guardians


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What custodians made of something handed to them."""

    words: str
    is_enough: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocable:
    """One thing that guardians may take away at once."""

    scope: str
    subject: str
    words: str


class GoverningDesk(Protocol):
    """A member's and a guardian's side of the DAO."""

    def proposals(self) -> Proposals:
        """Return how every proposal stands; votes that custodians hold are taken over first, verified."""
        ...

    def vote(self, proposal: str, support: str, wallet: str, reason: str) -> Taken:
        """Sign a ballot and hand it to the custodians."""
        ...

    def close_vote(self, proposal: str) -> Taken:
        """Have the custodians close a vote; a carried decision goes into its timelock."""
        ...

    def carry_out(self, proposal: str) -> Taken:
        """Have the custodians put a decision into the head."""
        ...

    def cancel(self, proposal: str, wallet: str) -> Taken:
        """As a guardian, stop a grant before it is carried out."""
        ...

    def revocable(self) -> tuple[Revocable, ...]:
        """Return what guardians may take away."""
        ...

    def revoke(self, what: Revocable, wallet: str) -> Taken:
        """As a guardian, take something away at once."""
        ...

    def verify(self, tell: Callable[[str], None]) -> int:
        """Verify all that was ever decided, from the charter on; tell each link that holds, return their number.

        Raises: what the first link that does not hold is refused with.
        """
        ...
