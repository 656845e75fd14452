"""What the screens ask for, and the values they are given: no screen knows services, files or keys.

Every method may take long, may be called from any thread, and raises what `tui.slow.EXPECTED` names. A desk that lost a
service connects anew when it is asked again.
"""

from __future__ import annotations

from typing import Protocol

from tui.desk.asking import AskingDesk
from tui.desk.earning import EarningDesk
from tui.desk.governing import GoverningDesk
from tui.desk.overview import OverviewDesk
from tui.desk.sealing import SealingDesk
from tui.desk.starting import StartingDesk
from tui.desk.wallets import WalletDesk
from tui.desk.watching import WatchingDesk


class Desk(Protocol):
    """One party's side of the services; `cli.desk` has the real one."""

    @property
    def wallets(self) -> WalletDesk:
        """Return whose signatures can be had."""
        ...

    @property
    def overview(self) -> OverviewDesk:
        """Return how everything stands."""
        ...

    @property
    def asking(self) -> AskingDesk:
        """Return what a licensee can do."""
        ...

    @property
    def sealing(self) -> SealingDesk:
        """Return what an owner can do."""
        ...

    @property
    def governing(self) -> GoverningDesk:
        """Return what members and guardians can do."""
        ...

    @property
    def earning(self) -> EarningDesk:
        """Return what a payee can do."""
        ...

    @property
    def watching(self) -> WatchingDesk:
        """Return what goes on right now."""
        ...

    @property
    def starting(self) -> StartingDesk:
        """Return the first steps."""
        ...

    def close(self) -> None:
        """Let go of connections and keys."""
        ...
