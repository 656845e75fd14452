"""Books and the chain of rows that they are kept in: one ledger as one enclave knows it (rule L1).

Books run ahead of the rows: entries are sealed together once they are written, and custodians are told of a row's end.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Protocol

from vault.booking import Booking, booking_of
from vault.earnings import Earnings
from vault.entry import Entry, Kind
from vault.ledger import Books, Effect
from vault.ledger_seal import LedgerSeal
from vault.merkle_log import MerkleLog
from vault.receipt_message import payload_digest
from vault.records.model import JournalRow
from vault.sums import Sums
from vault.transparency import booking_leaf
from vault.window import EMPTY_ANCHOR, Anchor

_MAC_BYTES = 32


class RowsFrom(Protocol):
    """What gives the rows that end after an entry."""

    def __call__(self, *, after: int) -> Iterable[JournalRow]: ...  # noqa: D102


class KeptBooks:
    """Books, what is worked out along with them, and the rows' ends that they came by."""

    def __init__(self, seal: LedgerSeal) -> None:
        self.books = Books()
        self.anchor = EMPTY_ANCHOR  # of the last row that was read or became durable
        self.log = MerkleLog()
        self.earnings = Earnings()
        self._seal = seal
        self._refunds: dict[bytes, int] = {}  # leaf → its place in the log
        self._ends = array("Q")  # of every row: the sequence of its last entry
        self._macs = bytearray()  # of every row, in order

    def book(self, booking: Booking, encoded: bytes) -> Effect:
        """Book the next entry; return what it did. Raises `LedgerTampered` where it does not follow.

        Args:
            encoded: the entry's canonical bytes.
        """
        refunded = self.books.charge(booking.licensee, booking.reference) if booking.kind is Kind.VOID else None
        effect = self.books.take(booking, encoded)
        self.earnings.note(booking, refunded)
        self._log(booking, encoded, refunded)
        return effect

    def read(self, rows: Iterable[JournalRow]) -> Iterator[tuple[Booking, Effect]]:
        """Book what rows hold, one by one, and yield it. Raises `LedgerTampered`."""
        for row in rows:
            entries, anchor = self._seal.open(row, self.anchor)
            for entry in entries:
                booking = booking_of(entry)
                yield booking, self.book(booking, entry.encoded())
            self.note_row(anchor)

    def note_row(self, anchor: Anchor) -> None:
        """Take in where a row ended whose entries were booked."""
        self.anchor = anchor
        self._ends.append(anchor.sequence)
        self._macs += anchor.mac

    def entries(self, journal: RowsFrom, first: int, last: int) -> Iterator[Entry]:
        """Yield entries once more, from the rows, books untouched. Raises `LedgerTampered`."""
        anchor = self._row_before(first)
        for row in journal(after=anchor.sequence):
            entries, anchor = self._seal.open(row, anchor)
            yield from [entry for entry in entries if first <= entry.sequence <= last]
            if anchor.sequence >= last:
                return

    def sums(self) -> Sums:
        """Return what the entries booked so far come to."""
        return self.books.sums(self.earnings.totals(), self.log.root(self.log.size))

    def refund_place(self, leaf: bytes) -> int | None:
        """Return where in the log a refund's leaf stands, if it does."""
        return self._refunds.get(leaf)

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether these books had come to this anchor once: whether they are of its branch."""
        return anchor == self._row_before(anchor.sequence + 1)

    def _row_before(self, sequence: int) -> Anchor:
        """Return the end of the last row all of whose entries come before that one."""
        place = bisect_left(self._ends, sequence)
        if not place:
            return EMPTY_ANCHOR
        end = _MAC_BYTES * place
        return Anchor(sequence=self._ends[place - 1], mac=bytes(self._macs[end - _MAC_BYTES : end]))

    def _log(self, booking: Booking, encoded: bytes, refunded: Entry | None) -> None:
        digest = b"" if refunded is None or refunded.query is None else payload_digest(refunded.query.receipt)
        leaf = booking_leaf(booking, lambda: self._seal.entry_name(encoded), digest)
        if refunded is not None:
            self._refunds[leaf] = self.log.size
        self.log.append(leaf)
