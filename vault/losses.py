"""What windows that were lost with their instances cost (rule F3), added up from the entries like all of the books.

A host that ends an enclave and restores an older database hides at most what that enclave's window allowed. So every
licensee's extraction budget shrinks by the window's passages, less what surviving entries of that very window show it
was shown; and of its credit, as much as the window allowed less what those entries show as charged waits in suspense,
and comes back after `SUSPENSE_S`. A licensee that no surviving entry names is no exception: entries may have named it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from vault.window import OpenWindow

SUSPENSE_S = 24 * 3600  # of the leases' time
LICENSEE = "licensee/"
SUSPENSE = "suspense/"


class Shown(NamedTuple):
    """What one answer gave and took."""

    sequence: int
    licensee: bytes
    passages: int  # new ones
    account: str
    charged: int


@dataclass(slots=True)
class _Held:
    at: int
    amounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # by the licensee's account


class Losses:
    """Windows lost, the passages they cost, and the credit that waits."""

    def __init__(self) -> None:
        self.decided = 0  # sequence of the last opening: windows from before it are accounted for
        self._shown: dict[bytes, list[Shown]] = defaultdict(list)  # by instance, since the last opening
        self._passages = 0
        self._shown_in_lost: dict[bytes, int] = defaultdict(int)  # by licensee
        self._held: dict[int, _Held] = {}  # by the sequence of the opening

    def passages(self, licensee: bytes) -> int:
        """Return by how many passages this licensee's budget has shrunk."""
        return self._passages - self._shown_in_lost.get(licensee, 0)

    def note(self, instance: bytes, shown: Shown) -> None:
        """Take in an answer."""
        self._shown[instance].append(shown)

    def open(
        self, sequence: int, at: int, lost: Iterable[OpenWindow], balances: Mapping[str, int]
    ) -> list[tuple[str, int]]:
        """Take in an opening; return which accounts have how much to put in suspense."""
        held = _Held(at)
        left = {account: amount for account, amount in balances.items() if account.startswith(LICENSEE) and amount > 0}
        for window in lost:
            surviving = [shown for shown in self._shown.get(window.instance, ()) if shown.sequence > window.start]
            self._count_passages(window, surviving)
            charged: dict[str, int] = defaultdict(int)
            for shown in surviving:
                charged[shown.account] += shown.charged
            for account, amount in left.items():
                taken = min(amount, max(0, window.window.spend - charged[account]))
                held.amounts[account] += taken
                left[account] -= taken
        self._shown.clear()
        self.decided = sequence
        moved = [(account, amount) for account, amount in held.amounts.items() if amount]
        if moved:
            self._held[sequence] = held
        return moved

    def due(self, at: int) -> list[int]:
        """Return the openings whose suspense is over."""
        return [sequence for sequence, held in self._held.items() if at >= held.at + SUSPENSE_S]

    def refund(self, sequence: int, at: int) -> list[tuple[str, int]]:
        """Take in a refund; return which accounts get how much back; nothing where none is due."""
        if sequence not in self.due(at):
            return []
        return [(account, amount) for account, amount in self._held.pop(sequence).amounts.items() if amount]

    def _count_passages(self, window: OpenWindow, surviving: Iterable[Shown]) -> None:
        self._passages += window.window.passages
        seen: dict[bytes, int] = defaultdict(int)
        for shown in surviving:
            seen[shown.licensee] += shown.passages
        for licensee, passages in seen.items():
            self._shown_in_lost[licensee] += min(passages, window.window.passages)


def suspense_of(account: str) -> str:
    """Return the account in which a licensee account's credit waits."""
    return SUSPENSE + account.removeprefix(LICENSEE)
