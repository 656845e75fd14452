"""All of a custodian's part in voting, of every DAO that it serves."""

from __future__ import annotations

from collections.abc import Callable

from storage.cid import Cid
from vault.acting import Acting, TakeEffect
from vault.balloting import Balloting
from vault.decision import Decision, Fetch
from vault.head import Head
from vault.history import History, cause_from
from vault.lapse import require_timely
from vault.outcomes import Outcomes
from vault.station import Station
from vault.vote_delegation import DelegationBatch


class Voting:
    """Proposals and votes, how they end, and what guardians and delegators bring about."""

    def __init__(
        self,
        station: Station,
        *,
        production: bool,
        require_caught_up: Callable[[History], None],
        take_effect: TakeEffect,
    ) -> None:
        """Begin with what the store remembers.

        Args:
            require_caught_up: raises `NotYet` while this custodian may sign nothing for a DAO (rule F5).
            take_effect: has an act or delegations carried out.
        """
        self._histories, self._clock = station.histories, station.clock
        self.balloting = Balloting(station, production=production, require_caught_up=require_caught_up)
        self.outcomes = Outcomes(station, require_caught_up=require_caught_up)
        self.acting = Acting(station, require_caught_up=require_caught_up, take_effect=take_effect)

    def on_news(self, tell: Callable[[], None]) -> None:
        """Have `tell` called when something is held that the other custodians are to hear of."""
        self.balloting.on_news = self.acting.on_news = tell

    def require_link(self, head: Cid, fetch: Fetch) -> None:
        """Raise where a head carries out a decision that is void (rule G2) or lapsed, or delegations too soon."""
        cause = Head.from_bytes(fetch(head)).cause
        if cause is None:
            return
        decided = cause_from(fetch(cause))
        if isinstance(decided, Decision):
            self.outcomes.require_complete(decided, fetch)
            history = self._histories.get(decided.proposal.genesis)
            if history is not None:
                require_timely(decided.proposal, history.charter, fetch, at=self._clock())
        elif isinstance(decided, DelegationBatch):
            self.acting.require_due(decided)
