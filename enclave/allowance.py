"""What the window of the current leases still allows: a few numbers in memory, so that judging a query costs nothing.

A query reserves the most it could use before it searches, so that of several at once none finds the window used up by
the others. What was booked before the entry that a renewal was leased at no longer counts: custodians remember it.
Credit counts once the entry that brought it is anchored; a host that could take the entry back, and hand the same
deposit in again, would otherwise make it worth more than once.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, TypeVar

from vault.booking import Booking
from vault.charter import Window
from vault.entry import Kind
from vault.errors import AccessDenied, NotYet
from vault.holds import Held
from vault.ledger import Effect

Key = TypeVar("Key", bytes, str)


class WindowUsedUp(NotYet):
    """The window does not allow this before the next renewal."""


class _Use(NamedTuple):
    sequence: int
    holder: bytes  # of an extraction budget
    passages: int
    account: str
    spend: int
    credited: tuple[tuple[str, int], ...]


class Reserved(NamedTuple):
    """The most that one answer on its way may use."""

    holder: bytes  # of an extraction budget
    account: str
    delegation: bytes
    licensee: bytes
    passages: int
    spend: int


class Allowance:
    """The use of one window after another, by one instance."""

    def __init__(self) -> None:
        self._window: Window | None = None
        self._uses: deque[_Use] = deque()
        self._passages: dict[bytes, int] = {}  # new ones, by holder of a budget
        self._spend: dict[str, int] = {}  # by account
        self._fresh: dict[str, int] = {}  # credit not anchored yet, by account
        self._reserved_entries = 0
        self._reserved_passages: dict[bytes, int] = {}
        self._reserved_spend: dict[str, int] = {}
        self._held: dict[bytes, int] = {}  # of the reserved spend, by delegation
        self._on_their_way: dict[bytes, int] = {}  # answers, by licensee
        self.is_half_used = False

    def grant(self, start: int, window: Window) -> None:
        """Begin a window after entry `start`, in place of the one before."""
        while self._uses and self._uses[0].sequence <= start:
            self._count(self._uses.popleft(), -1)
        self._window = window
        self.is_half_used = 2 * len(self._uses) >= window.entries

    def forget(self, *, after: int) -> None:
        """Count no more what was booked after entry `after`: it turned out not to be durable."""
        while self._uses and self._uses[-1].sequence > after:
            self._count(self._uses.pop(), -1)

    def note(self, entry: Booking, effect: Effect) -> None:
        """Count an entry that was booked."""
        if self._window is None:  # before the first window nothing is served, and it begins after what is booked
            return
        is_charge = entry.kind is Kind.QUERY and bool(entry.transfers)
        use = _Use(
            sequence=entry.sequence,
            holder=effect.holder,
            passages=effect.new_passages,
            account=entry.transfers[0].debit if is_charge else "",
            spend=entry.amount if is_charge else 0,
            credited=effect.credited,
        )
        self._uses.append(use)
        self._count(use, 1)
        self.is_half_used = self.is_half_used or self._is_half_used(use, self._window)

    def fresh_credit(self, account: str) -> int:
        """Return how much of an account's credit is not anchored yet."""
        return self._fresh.get(account, 0)

    def passages_at_most(self, wanted: int) -> int:
        """Return how many new passages one answer may bring at most, were the window unused."""
        return min(wanted, self._granted().passages)

    @property
    def has_entry(self) -> bool:
        """Say whether one more entry may be written; before the first window it may, since nothing is served."""
        return self._window is None or len(self._uses) + self._reserved_entries < self._window.entries

    def require_entry(self) -> None:
        """Raise `WindowUsedUp` unless one more entry may be written."""
        if not self.has_entry:
            raise _used_up("ledger entries")

    def on_their_way(self, licensee: bytes) -> int:
        """Return how many of a licensee's answers room is kept for."""
        return self._on_their_way.get(licensee, 0)

    def held(self, account: str, delegation: bytes) -> Held:
        """Return what answers on their way may still be charged to an account, and under a delegation."""
        return Held(self._reserved_spend.get(account, 0), self._held.get(delegation, 0))

    def reserve(self, reserved: Reserved) -> None:
        """Keep room for one answer until `release`; an answer booked meanwhile counts by itself.

        Raises: `WindowUsedUp`; `AccessDenied` where no window is large enough.
        """
        window, (holder, account, _, _, passages, spend) = self._granted(), reserved
        if spend > window.spend:
            raise AccessDenied(f"the price is {spend} and the charter's window lets {window.spend} through per lease")
        self.require_entry()
        if self._passages.get(holder, 0) + self._reserved_passages.get(holder, 0) + passages > window.passages:
            raise _used_up("new passages")
        self.require_spend(account, spend)
        self._reserve(reserved, 1)

    def require_spend(self, account: str, spend: int) -> None:
        """Raise `WindowUsedUp` unless so much may be charged beside what was, and what room is kept for."""
        if self._spend.get(account, 0) + self._reserved_spend.get(account, 0) + spend > self._granted().spend:
            raise _used_up("spend")

    def release(self, reserved: Reserved) -> None:
        """Keep no more room for an answer."""
        self._reserve(reserved, -1)

    def _reserve(self, reserved: Reserved, sign: int) -> None:
        holder, account, delegation, licensee, passages, spend = reserved
        _add(self._on_their_way, licensee, sign)
        self._reserved_entries += sign
        _add(self._reserved_passages, holder, sign * passages)
        _add(self._reserved_spend, account, sign * spend)
        _add(self._held, delegation, sign * spend)

    def _count(self, use: _Use, sign: int) -> None:
        if use.passages:
            _add(self._passages, use.holder, sign * use.passages)
        if use.spend:
            _add(self._spend, use.account, sign * use.spend)
        for account, amount in use.credited:
            _add(self._fresh, account, sign * amount)

    def _is_half_used(self, use: _Use, window: Window) -> bool:
        return (
            2 * len(self._uses) >= window.entries
            or 2 * self._passages.get(use.holder, 0) >= window.passages
            or 2 * self._spend.get(use.account, 0) >= window.spend
        )

    def _granted(self) -> Window:
        if self._window is None:
            raise WindowUsedUp("the custodians have not granted this enclave a window yet; ask again shortly")
        return self._window


def _used_up(what: str) -> WindowUsedUp:
    return WindowUsedUp(f"window used up: no more {what} before the leases are renewed; ask again shortly")


def _add(counts: dict[Key, int], key: Key, amount: int) -> None:
    if total := counts.get(key, 0) + amount:
        counts[key] = total
    else:
        counts.pop(key, None)
