"""The desk of one home: its parts over one context."""

from __future__ import annotations

from cli.desk.asking import LocalAsking
from cli.desk.earning import LocalEarning
from cli.desk.governing import LocalGoverning
from cli.desk.overview import LocalOverview
from cli.desk.party import PartyContext
from cli.desk.sealing import LocalSealing
from cli.desk.starting import LocalStarting
from cli.desk.wallets import LocalWallets
from cli.desk.watching import LocalWatching
from cli.home import Settings
from vault.evidence import Appraiser


class LocalDesk:
    """Everything the screens ask for, from one home and the services that its settings name."""

    def __init__(
        self,
        settings: Settings,
        *,
        dao: str | None = None,
        appraiser: Appraiser | None = None,
        rounds: int | None = None,
    ) -> None:
        """Open nothing yet. `appraiser` and scrypt's `rounds` are others than usual only in tests and the demo."""
        self._party = PartyContext(settings, appraiser=appraiser, dao=dao)
        self.wallets = LocalWallets(self._party, rounds=rounds)
        self.asking = LocalAsking(self._party)
        self.sealing = LocalSealing(self._party)
        self.governing = LocalGoverning(self._party, self.wallets)
        self.earning = LocalEarning(self._party)
        self.watching = LocalWatching(self._party, self.asking)
        self.starting = LocalStarting(self._party)
        self.overview = LocalOverview(self._party, self.wallets, self.asking)

    def close(self) -> None:
        """Let go of connections and keys."""
        self.asking.close()
        self._party.close()
