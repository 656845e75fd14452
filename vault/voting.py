"""All of a custodian's part in voting, of every DAO that it serves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storage.cid import Cid
from storage.model import Blobs
from vault.acting import Acting, TakeEffect
from vault.balloting import Balloting
from vault.custodian import CustodianKeys, CustodyStore
from vault.decision import Decision, Fetch
from vault.head import Head
from vault.history import History, cause_from
from vault.lapse import require_timely
from vault.outcomes import Outcomes
from vault.served import Served
from vault.vote_delegation import DelegationBatch


class Voting:
    """Proposals and votes, how they end, and what guardians and delegators bring about."""

    def __init__(
        self,
        keys: CustodianKeys,
        store: CustodyStore,
        blobs: Blobs,
        histories: Served,
        *,
        clock: Callable[[], int],
        production: bool,
        require_caught_up: Callable[[History], None],
        take_effect: TakeEffect,
    ) -> None:
        """Begin with what the store remembers.

        Args:
            require_caught_up: raises `NotYet` while this custodian may sign nothing for a DAO (rule F5).
            take_effect: has an act or delegations carried out.
        """
        self._histories = histories
        self._clock = clock
        common: dict[str, Any] = {"clock": clock, "require_caught_up": require_caught_up}
        self.balloting = Balloting(keys, store, blobs, histories, production=production, **common)
        self.outcomes = Outcomes(keys, store, blobs, histories, **common)
        self.acting = Acting(store, histories, take_effect=take_effect, **common)

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
