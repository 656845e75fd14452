"""The ledger's rules: a double-entry log in integers (rules F3, L1-L3, R2).

Balances, budgets and request ids live in the enclave's memory; they are re-added from the sealed rows at start. An
opening puts credit of all licensees in suspense: it stands for one transfer each, which follow from the rows before.
Everything here is pure: functions say what would be booked or why not, and `Books.book` takes it in, all transfers of
an entry or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from storage.cid import Cid
from vault.booking import Booking, booking_of
from vault.entry import ENTRY_BYTES_MAX, Entry, Kind
from vault.errors import LedgerTampered, RequestConflict
from vault.limits import Quota
from vault.losses import LICENSEE, Losses, Shown, suspense_of
from vault.promises import PROMISED, Promises
from vault.receipt import FIRST_PREVIOUS
from vault.royalty import PAID_IN, Transfer
from vault.seen import Seen
from vault.sums import Sums

_OUTSIDE = (f"{PAID_IN}/", f"{PROMISED}/")


class Effect(NamedTuple):
    """What an entry did that a window counts."""

    holder: bytes  # whose extraction budget the new passages count against

    new_passages: int
    credited: tuple[tuple[str, int], ...]  # licensees' accounts


@dataclass(slots=True)
class _Licensee:
    """What the books know of one licensee."""

    receipts: int = 0
    previous: bytes = FIRST_PREVIOUS


class Books:
    """Balances and what else follows from the entries, re-added from the first one on."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.last_sequence = 0
        self._balances: dict[str, int] = {}
        self._spent: dict[bytes, int] = {}  # by delegation
        self._deposits: set[bytes] = set()
        self._queries: dict[bytes, bytes] = {}  # their encoded entries, by licensee and request id
        self._voided: set[bytes] = set()
        self._licensees: dict[bytes, _Licensee] = {}
        self._losses = Losses()
        self.promises = Promises()
        self._snapshots: dict[Cid, Cid] = {}  # by manifest
        self.opened_by = b""  # the instance of the last opening

    def balance(self, account: str) -> int:
        """Return what an account holds, in micro-units."""
        return self._balances.get(account, 0)

    def balances(self) -> dict[str, int]:
        """Return all accounts that ever moved; they add up to zero, what was paid in counting negative."""
        return dict(self._balances)

    def sums(self, earned: Mapping[str, tuple[int, int]], log_root: bytes) -> Sums:
        """Return what the entries come to so far.

        Args:
            earned: and `log_root`: what is worked out of the same entries beside the books.
        """
        return Sums(
            sequence=self.last_sequence,
            balances=dict(self._balances),
            spent=dict(self._spent),
            shown=self.seen.totals(),
            receipts={licensee: (known.receipts, known.previous) for licensee, known in self._licensees.items()},
            answered=len(self._queries),
            deposits=len(self._deposits),
            voided=len(self._voided),
            promised=dict(self.promises.standings()),
            earned=earned,
            log_root=log_root,
        )

    def spent(self, delegation: bytes) -> int:
        """Return what was charged under one delegation."""
        return self._spent.get(delegation, 0)

    def seen_count(self, holder: bytes) -> int:
        """Return how many distinct passages the holder of a budget was ever shown."""
        return self.seen.passages(holder)

    def quota_left(self, holder: bytes, quota: Quota) -> int:
        """Return how many more passages of a quota its holder may ever be shown."""
        left = quota.passages_max - self.seen.count(holder, quota.lineages) - self._losses.passages(holder)
        return left if left > 0 else 0

    def lost_passages(self, holder: bytes) -> int:
        """Return by how many passages lost windows have shrunk the holder's budget."""
        return self._losses.passages(holder)

    @property
    def decided(self) -> int:
        """Return the sequence of the last opening: windows from before it are accounted for."""
        return self._losses.decided

    def due(self, at: int) -> list[int]:
        """Return the openings whose suspense is over at `at` (UTC seconds)."""
        return self._losses.due(at)

    def receipt_chain(self, licensee: bytes) -> tuple[int, bytes]:
        """Return how many receipts this licensee has, and the digest of the last."""
        known = self._licensee(licensee)
        return known.receipts, known.previous

    def snapshot(self, manifest: Cid) -> Cid | None:
        """Return the newest sealed vectors of a dataset version, if there are any."""
        return self._snapshots.get(manifest)

    def has_deposit(self, id: bytes) -> bool:
        """Say whether a deposit was booked."""
        return id in self._deposits

    def answered(self, licensee: bytes, request: bytes, body: bytes) -> Entry | None:
        """Return the entry of a repeated request; raise `RequestConflict` for another body or a voided request."""
        key = licensee + request
        if key not in self._queries:
            return None
        entry = self._entry(key)
        if entry.query is None or entry.query.body != body or key in self._voided:
            raise RequestConflict("this request id cannot be used again; choose a fresh one")
        return entry

    def shown_to(self, holder: bytes) -> tuple[int, int]:
        """Return two numbers that together never come again once a holder's budget has changed."""
        return self.seen.showings(holder), self._losses.passages(holder)

    def charge(self, licensee: bytes, request: bytes) -> Entry | None:
        """Return the entry that charged for a request, voided or not."""
        key = licensee + request
        return self._entry(key) if key in self._queries else None

    def book(self, entry: Entry) -> Effect:
        """Take in an entry, whole or not at all. Raises `LedgerTampered` where it does not follow from the others."""
        return self.take(booking_of(entry), entry.encoded())

    def take(self, booking: Booking, encoded: bytes) -> Effect:
        """Take in an entry by what the books need of it, and its canonical bytes; see `book`."""
        if booking.sequence != self.last_sequence + 1:
            raise LedgerTampered(f"entry {booking.sequence} does not follow entry {self.last_sequence}")
        key = booking.licensee + booking.reference
        self._require_new(booking, key)
        moved = self._after(booking.transfers)
        suspended = self._suspended(booking)
        self._balances.update(moved)
        if suspended:
            self._balances.update(self._after(suspended))
        holder = booking.holder
        seen = self.seen.showings(holder)
        self._note(booking, key, encoded)
        self.last_sequence = booking.sequence
        new = self.seen.showings(holder) - seen
        if booking.answer is not None:
            account = booking.transfers[0].debit if booking.transfers else ""
            self._losses.note(booking.answer.instance, Shown(booking.sequence, holder, new, account, booking.amount))
        credited = (*booking.transfers, *suspended) if suspended else booking.transfers
        return Effect(holder, new, tuple([(t.credit, t.amount) for t in credited if t.credit.startswith(LICENSEE)]))

    def _suspended(self, entry: Booking) -> list[Transfer]:
        """Return the transfers that an opening or a refund stands for: as many as there are licensees."""
        match entry.kind:
            case Kind.OPENING:
                self.opened_by = entry.reference
                held = self._losses.open(entry.sequence, entry.at, entry.lost, self._balances)
                return [Transfer(debit=name, credit=suspense_of(name), amount=amount) for name, amount in held]
            case Kind.REFUND:
                back = self._losses.refund(int.from_bytes(entry.reference, "big"), entry.at)
                if not back:
                    raise LedgerTampered("nothing to refund")
                return [Transfer(debit=suspense_of(name), credit=name, amount=amount) for name, amount in back]
        return []

    def _after(self, transfers: Sequence[Transfer]) -> dict[str, int]:
        """Return the accounts that linked transfers change, or raise `LedgerTampered` where one of them cannot be."""
        left: dict[str, int] = {}
        for transfer in transfers:
            debit, credit, amount = transfer.debit, transfer.credit, transfer.amount
            if amount < 1 or debit == credit:
                raise LedgerTampered("a transfer moves a positive amount between two accounts")
            left[debit] = rest = left.get(debit, self.balance(debit)) - amount
            if rest < 0 and not debit.startswith(_OUTSIDE):
                raise LedgerTampered(f"account {debit} would be overdrawn")
            left[credit] = left.get(credit, self.balance(credit)) + amount
        return left

    def _require_new(self, booking: Booking, key: bytes) -> None:
        match booking.kind:
            case Kind.QUERY if key in self._queries:
                raise LedgerTampered("a request was charged twice")
            case Kind.DEPOSIT if booking.reference in self._deposits:
                raise LedgerTampered("a deposit was booked twice")
            case Kind.VOID if key not in self._queries or key in self._voided:
                raise LedgerTampered("nothing to void")
            case Kind.CHANNEL | Kind.VOUCHER if booking.promised is not None:
                self.promises.after(booking.promised, booking.amount, answers=0)

    def _note(self, booking: Booking, key: bytes, encoded: bytes) -> None:
        match booking.kind:
            case Kind.QUERY if booking.answer is not None:
                answer = booking.answer
                self._queries[key] = encoded
                self._spent[answer.delegation] = self.spent(answer.delegation) + booking.amount
                self.seen.note(booking.holder, [(shown.identity, shown.lineage) for shown in answer.shown])
                known = self._licensees.get(booking.licensee)
                if known is None:
                    known = self._licensees[booking.licensee] = _Licensee()
                known.receipts += 1
                known.previous = answer.receipt
            case Kind.DEPOSIT:
                self._deposits.add(booking.reference)
            case Kind.SNAPSHOT if booking.vectors is not None:
                self._snapshots[booking.vectors.manifest] = booking.vectors.root
            case Kind.CHANNEL | Kind.VOUCHER if booking.promised is not None:
                answers = self.receipt_chain(booking.licensee)[0]
                self.promises.note(booking.promised, booking.amount, answers=answers)
            case Kind.VOID:
                self._voided.add(key)
                if (voided := self._entry(key).query) is not None:
                    self._spent[voided.delegation] -= booking.amount

    def _entry(self, key: bytes) -> Entry:
        return Entry.from_bytes(self._queries[key], bytes_max=ENTRY_BYTES_MAX)

    def _licensee(self, licensee: bytes) -> _Licensee:
        return self._licensees.get(licensee) or _Licensee()
