"""What a custodian remembers of votes: proposals, ballots, the sets it closed, and what waits to be carried out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from storage.cid import Cid


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalRow:
    """A proposal that was accepted."""

    genesis: Cid
    proposal: bytes  # digest of its CID
    proposer: bytes
    body: bytes
    acknowledgments: bytes  # `Acknowledgments`, the custodian's own among them
    arrived_at: int  # UTC seconds, when it came here
    is_direct: bool  # nobody else had acknowledged it in time
    position: int = 0  # in the order of changes; the store numbers them


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRow:
    """A ballot that was accepted."""

    proposal: bytes
    ballot: bytes  # `Ballot.digest`
    voter: bytes
    body: bytes  # `Vote`
    acknowledgments: bytes
    period: int
    direct: int  # how many ballots of this voter came here first
    position: int = 0


class PollStore(Protocol):
    """What a custodian remembers of votes; every method is durable when it returns."""

    def keep_proposal(self, row: ProposalRow) -> None: ...  # noqa: D102
    def kept_proposal(self, proposal: bytes) -> ProposalRow | None: ...  # noqa: D102
    def kept_proposals(self, genesis: Cid, after: int, *, most: int) -> list[ProposalRow]: ...  # noqa: D102
    def proposed_since(self, genesis: Cid, proposer: bytes, since: int) -> list[ProposalRow]: ...  # noqa: D102
    def votes_of(self, proposal: bytes, voters: Collection[bytes]) -> list[VoteRow]: ...  # noqa: D102
    def keep_votes(  # noqa: D102
        self, proposal: bytes, rows: Sequence[VoteRow], *, news: Collection[bytes], dropped: Sequence[bytes]
    ) -> None: ...
    def kept_votes(self, proposal: bytes, after: int, *, most: int) -> list[VoteRow]: ...  # noqa: D102
    def last_change(self, proposal: bytes) -> int: ...  # noqa: D102
    def last_changes(self, proposals: Sequence[bytes]) -> dict[bytes, int]: ...  # noqa: D102
    def keep_closing(self, genesis: Cid, proposal: bytes, closing: bytes) -> bytes: ...  # noqa: D102
    def kept_closing(self, proposal: bytes) -> bytes | None: ...  # noqa: D102
    def keep_decision(self, genesis: Cid, proposal: bytes, decision: Cid, free_at: int) -> Cid: ...  # noqa: D102
    def kept_decision(self, proposal: bytes) -> Cid | None: ...  # noqa: D102
    def kept_decisions(self, genesis: Cid) -> list[tuple[bytes, Cid, int]]: ...  # noqa: D102
    def keep_act(self, genesis: Cid, act: bytes, epoch: int, body: bytes) -> None: ...  # noqa: D102
    def kept_act(self, act: bytes) -> bytes | None: ...  # noqa: D102
    def kept_acts(self, genesis: Cid) -> list[bytes]: ...  # noqa: D102
    def drop_acts(self, genesis: Cid, acts: Collection[bytes], *, before_epoch: int) -> None: ...  # noqa: D102
    def delegated_at(self, genesis: Cid) -> int | None: ...  # noqa: D102
    def keep_delegated(self, genesis: Cid, at: int) -> None: ...  # noqa: D102
