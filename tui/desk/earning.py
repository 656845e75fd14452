"""What a payee has earned: statements of royalty epochs, kept in the home, fetched, verified and exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from tui.desk.asking import Link
from tui.desk.sealing import Tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Earned:
    """What came of one dataset in one epoch."""

    dataset: str  # its title, or the beginning of its CID; empty: nobody can tell
    amount: int  # micro-units


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementFacts:
    """One kept statement."""

    name: str  # its file's
    epoch: int
    began_at: int
    at: int  # when the epoch closed
    account: str
    kind: str  # owner, treasury or operator
    address: str
    currency: str
    earned: int
    refunded: int
    owed: int
    amount: int  # due for this epoch
    total: int  # of all epochs up to this one
    payments: int
    datasets: tuple[Earned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements kept here, the newest first."""

    kept: tuple[StatementFacts, ...]
    unread: tuple[str, ...]  # names of files that are no whole statement
    left_out: int  # older ones beyond those that are shown


class EarningDesk(Protocol):
    """What a payee can do."""

    def statements(self) -> Statements:
        """Return the statements kept in this home."""
        ...

    def fetch(self, wallet: str, tell: Tell) -> int:
        """Fetch an open wallet's statements of all closed epochs that are not kept yet; return how many came."""
        ...

    def verify(self, name: str) -> tuple[Link, ...]:
        """Check a kept statement link by link, offline, and against those kept of the epochs beside it."""
        ...

    def export(self, path: str, tell: Tell) -> int:
        """Verify every kept statement and write them as one CSV table; return how many they are."""
        ...
