"""The proposals that one custodian took: in pages, those whose votes can still matter, and how many a member makes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, Acknowledgments
from vault.ballot import Proposal
from vault.closing import final_at
from vault.errors import AccessDenied, InvalidDecision
from vault.history import History
from vault.offered import KnownProposal
from vault.station import Station

DAY_S = 86_400
PAGE_PROPOSALS = 50
OPEN_MAX = 100  # proposals of one member whose votes can still matter
CHANGES_MAX = 10_000  # proposals listed at once


@dataclass(slots=True)
class _Open:
    """A DAO's proposals whose votes can still matter, as of a position."""

    position: int = 0
    proposals: dict[bytes, Proposal] = field(default_factory=dict)


class Proposals:
    """The proposals of every DAO that one custodian serves."""

    def __init__(self, station: Station) -> None:
        self._store, self._histories, self._clock = station.store, station.histories, station.clock
        self._open: dict[Cid, _Open] = {}

    def page(self, genesis: Cid, after: int) -> list[KnownProposal]:
        """Return a page of the proposals that changed here after a position, in the order of their changes."""
        self._histories[genesis]
        return [
            KnownProposal(
                proposal=Proposal.from_bytes(row.body),
                acknowledgments=Acknowledgments.from_bytes(row.acknowledgments).given,
                position=row.position,
            )
            for row in self._store.kept_proposals(genesis, after, most=PAGE_PROPOSALS)
        ]

    def matters(self, proposal: Proposal) -> bool:
        """Say whether votes on a proposal can still be taken, or void a decision that waits for its timelock."""
        history = self._histories[proposal.genesis]
        voting = history.charter.voting
        try:
            history.require_current(proposal)
        except InvalidDecision:
            return False
        return self._clock() <= final_at(proposal, history.charter) + voting.timelock_s + voting.round_s

    def open(self, genesis: Cid) -> list[Proposal]:
        """Return the proposals here whose votes can still matter."""
        known = self._open.setdefault(genesis, _Open())
        while page := self.page(genesis, known.position):
            known.proposals |= {one.proposal.cid().digest: one.proposal for one in page}
            known.position = page[-1].position
        known.proposals = {digest: proposal for digest, proposal in known.proposals.items() if self.matters(proposal)}
        return list(known.proposals.values())

    def changes(self, genesis: Cid) -> list[tuple[bytes, int]]:
        """Return the proposals whose votes can still matter, with the position of the last change to these."""
        self._histories[genesis]
        changes = self._store.last_changes([one.cid().digest for one in self.open(genesis)])
        return sorted(changes.items())[:CHANGES_MAX]

    def require_admitted(
        self, history: History, proposal: Proposal, words: Sequence[Acknowledgment], *, own: bytes, at: int
    ) -> None:
        """Raise `AccessDenied` for one too many of a member: brought by itself, or vouched for by who may lie.

        An honest custodian vouches for what a member brought it, and for what others vouched for: of each of them, as
        much as for itself.
        """
        voting = history.charter.voting
        if sum(one.proposer == proposal.proposer for one in self.open(history.genesis)) >= OPEN_MAX:
            raise AccessDenied(f"a member has at most {OPEN_MAX} proposals open at once")
        rows = self._store.proposed_since(proposal.genesis, proposal.proposer, at - DAY_S)
        vouchers = {one.custodian for one in words if one.custodian != own}
        if not vouchers:
            if sum(row.is_direct for row in rows) >= voting.proposals_per_day:
                raise AccessDenied(f"a member makes {voting.proposals_per_day} proposals a day in this DAO")
            return
        known = [Acknowledgments.from_bytes(row.acknowledgments).given for row in rows if not row.is_direct]
        counts = Counter(key for given in known for key in {one.custodian for one in given})
        most = voting.proposals_per_day * len(history.charter.custodians)
        if all(counts[key] >= most for key in vouchers):
            raise AccessDenied(f"a custodian vouches for at most {most} proposals of a member a day")
