"""What payees earned, one royalty epoch after another, added up from the ledger's entries (rules L4, R2).

An epoch closes with an entry of its own: what was charged up to there is its, what follows is the next one's. So an
epoch is the same to every enclave that re-adds the rows, and whatever is said of it can be made again at any time.

A charge that is refunded before its epoch closes never was. One that is refunded later is taken off what the payees
earn in the epoch of the refund; where they earned less, they owe the rest to those that follow. No amount is negative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vault.booking import Booking
from vault.entry import Entry, Kind
from vault.errors import LedgerTampered
from vault.ledger import Books

EPOCH_S: Final = 24 * 3600
EPOCHS_KEPT: Final = 128  # closed ones of which statements are made
CHARGES_MAX: Final = 1 << 17  # of one epoch; it closes early at so many
PAYEES: Final = ("owner/", "treasury/", "operator/")


@dataclass(frozen=True, slots=True)
class Earned:
    """What one account earned in one epoch, and in all so far."""

    earned: int  # micro-units, of charges that stand
    refunded: int  # of charges of earlier epochs that were given back
    owed_before: int
    total: int  # of the amounts of all epochs up to this one

    @property
    def amount(self) -> int:
        """Return what is due to the account for this epoch."""
        return max(0, self.earned - self.refunded - self.owed_before)

    @property
    def owed(self) -> int:
        """Return what the account owes to the epochs that follow."""
        return max(0, self.refunded + self.owed_before - self.earned)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedEpoch:
    """One epoch's bounds and amounts."""

    number: int  # from 1, without gaps
    first: int  # sequence of the first ledger entry in it
    last: int  # of the entry that closed it
    began_at: int  # UTC seconds, of its first charge or refund
    at: int  # UTC seconds
    accounts: Mapping[str, Earned]
    refunds: Mapping[int, Entry]  # charges given back in it, by their own sequence


@dataclass(slots=True)
class _Running:
    earned: dict[str, int] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    refunds: dict[int, Entry] = field(default_factory=dict)
    charges: int = 0  # and refunds
    began_at: int | None = None


class Earnings:
    """What was earned since the last close, and what each close came to."""

    def __init__(self) -> None:
        self.closed: dict[int, ClosedEpoch] = {}  # by number, the newest `EPOCHS_KEPT`
        self.number = 1  # of the epoch that runs
        self._first = 1
        self._running = _Running()
        self._owed: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def note(self, entry: Booking, refunded: Entry | None) -> None:
        """Take in a booked entry. Raises `LedgerTampered` for a close that does not follow.

        Args:
            refunded: the charge that a void gives back.
        """
        match entry.kind:
            case Kind.QUERY:
                self._begin(entry)
                self._earn(entry)
            case Kind.VOID if refunded is not None:
                self._begin(entry)
                self._running.refunds[refunded.sequence] = refunded
                here = refunded.sequence >= self._first
                _add_all(*((self._running.earned, credits_of(refunded), -1) if here else self._given_back(refunded)))
            case Kind.EPOCH:
                self._close(entry)

    def is_due(self, at: int, *, period_s: int) -> bool:
        """Say whether the running epoch is over at `at`: something was charged, and a period's end has passed since."""
        began_at = self._running.began_at
        return began_at is not None and at // period_s > began_at // period_s

    def totals(self) -> dict[str, tuple[int, int]]:
        """Return what each account has had in all of the epochs that closed, and what it owes to those that follow."""
        return {account: (total, self._owed.get(account, 0)) for account, total in self._totals.items()}

    @property
    def is_full(self) -> bool:
        """Say whether the running epoch has to close now, since more would not fit a statement."""
        return self._running.charges >= CHARGES_MAX

    def _earn(self, entry: Booking) -> None:
        """Add what `credits_of` gives, without a map of it: this runs with every query."""
        earned = self._running.earned
        for transfer in entry.transfers:
            if transfer.credit.startswith(PAYEES):
                earned[transfer.credit] = earned.get(transfer.credit, 0) + transfer.amount

    def _begin(self, entry: Booking) -> None:
        if self._running.began_at is None:
            self._running.began_at = entry.at
        self._running.charges += 1

    def _given_back(self, refunded: Entry) -> tuple[dict[str, int], dict[str, int], int]:
        return self._running.refunded, credits_of(refunded), 1

    def _close(self, entry: Booking) -> None:
        running = self._running
        if running.began_at is None or int.from_bytes(entry.reference, "big") != self.number:
            raise LedgerTampered(f"entry {entry.sequence} closes an epoch that does not run")
        for account in (*running.earned, *running.refunded):
            self._totals.setdefault(account, 0)
        accounts = {}
        for account in self._totals:
            earned, refunded = running.earned.get(account, 0), running.refunded.get(account, 0)
            before = Earned(earned, refunded, self._owed.get(account, 0), 0)
            self._totals[account] += before.amount
            self._owed[account] = before.owed
            accounts[account] = Earned(earned, refunded, before.owed_before, self._totals[account])
        self.closed[self.number] = ClosedEpoch(
            number=self.number,
            first=self._first,
            last=entry.sequence,
            began_at=running.began_at,
            at=entry.at,
            accounts=accounts,
            refunds=running.refunds,
        )
        self.closed.pop(self.number - EPOCHS_KEPT, None)
        self.number, self._first, self._running = self.number + 1, entry.sequence + 1, _Running()


def credits_of(entry: Entry) -> dict[str, int]:
    """Return what a charge gave to each payee's account."""
    found: dict[str, int] = {}
    for transfer in entry.transfers:
        if transfer.credit.startswith(PAYEES):
            found[transfer.credit] = found.get(transfer.credit, 0) + transfer.amount
    return found


def close_entry(books: Books, number: int, *, at: int) -> Entry:
    """Return the entry that closes an epoch."""
    return Entry(
        sequence=books.last_sequence + 1,
        kind=Kind.EPOCH,
        at=at,
        licensee=bytes(20),
        reference=number.to_bytes(32, "big"),
        transfers=(),
        query=None,
    )


def _add_all(to: dict[str, int], amounts: Mapping[str, int], sign: int) -> None:
    for account, amount in amounts.items():
        to[account] = to.get(account, 0) + sign * amount
