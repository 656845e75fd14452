"""Books and the chain of MACs they were booked along: one ledger as one enclave knows it (rule L1).

Booking an entry is one step: its row is sealed onto the chain and its effect is in the balances, or neither is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vault.booking import Booking, booking_of
from vault.earnings import Earnings
from vault.entry import Entry, Kind
from vault.ledger import Books, Effect
from vault.ledger_seal import LedgerSeal
from vault.merkle_log import MerkleLog
from vault.receipt_message import payload_digest
from vault.records.model import JournalRow
from vault.transparency import booking_leaf
from vault.window import EMPTY_ANCHOR, Anchor

_MAC_BYTES = 32


class KeptBooks:
    """Books that know where in the chain they stand."""

    def __init__(self, seal: LedgerSeal) -> None:
        self.books = Books()
        self.anchor = EMPTY_ANCHOR
        self.log = MerkleLog()
        self.earnings = Earnings()
        self._seal = seal
        self._refunds: dict[bytes, int] = {}  # leaf → its place in the log
        self._macs = bytearray()  # of every entry, in order

    def booked(self, booking: Booking, encoded: bytes) -> tuple[JournalRow, Effect]:
        """Book the next entry; return its row, and what it did. Raises `LedgerTampered` where it does not follow.

        Args:
            encoded: the entry's canonical bytes.
        """
        sealed, anchor = self._seal.sealed(encoded, self.anchor)
        effect = self._take(booking, encoded, anchor)
        return JournalRow(anchor.sequence, sealed, anchor.mac), effect

    def read(self, rows: Iterable[JournalRow]) -> Iterator[tuple[Booking, Effect]]:
        """Book what rows hold, one by one, and yield it. Raises `LedgerTampered`."""
        for row in rows:
            entry, anchor = self._seal.open(row.sequence, row.sealed, row.mac, self.anchor)
            booking = booking_of(entry)
            yield booking, self._take(booking, entry.encoded(), anchor)

    def entries(self, rows: Iterable[JournalRow], *, after: int) -> Iterator[Entry]:
        """Yield what rows after entry `after` hold once more, books untouched. Raises `LedgerTampered`."""
        anchor = self._anchor_of(after)
        for row in rows:
            entry, anchor = self._seal.open(row.sequence, row.sealed, row.mac, anchor)
            yield entry

    def refund_place(self, leaf: bytes) -> int | None:
        """Return where in the log a refund's leaf stands, if it does."""
        return self._refunds.get(leaf)

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether these books had come to this anchor once: whether they are of its branch."""
        if anchor.sequence > self.anchor.sequence:
            return False
        return anchor == self._anchor_of(anchor.sequence)

    def _anchor_of(self, sequence: int) -> Anchor:
        if not sequence:
            return EMPTY_ANCHOR
        end = _MAC_BYTES * sequence
        return Anchor(sequence=sequence, mac=bytes(self._macs[end - _MAC_BYTES : end]))

    def _take(self, booking: Booking, encoded: bytes, anchor: Anchor) -> Effect:
        refunded = self.books.charge(booking.licensee, booking.reference) if booking.kind is Kind.VOID else None
        effect = self.books.take(booking, encoded)
        self.earnings.note(booking, refunded)
        self._log(booking, anchor, refunded)
        self._macs += anchor.mac
        self.anchor = anchor
        return effect

    def _log(self, booking: Booking, anchor: Anchor, refunded: Entry | None) -> None:
        digest = b"" if refunded is None or refunded.query is None else payload_digest(refunded.query.receipt)
        leaf = booking_leaf(booking, anchor.mac, digest)
        if refunded is not None:
            self._refunds[leaf] = self.log.size
        self.log.append(leaf)
