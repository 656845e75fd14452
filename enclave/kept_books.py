"""Books and the chain of MACs they were booked along: one ledger as one enclave knows it (rule L1).

Booking an entry is one step: its row is sealed onto the chain and its effect is in the balances, or neither is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vault.booking import Booking, booking_of
from vault.ledger import Books, Effect
from vault.ledger_seal import LedgerSeal
from vault.records.model import JournalRow
from vault.window import EMPTY_ANCHOR, Anchor

_MAC_BYTES = 32


class KeptBooks:
    """Books that know where in the chain they stand."""

    def __init__(self, seal: LedgerSeal) -> None:
        self.books = Books()
        self.anchor = EMPTY_ANCHOR
        self._seal = seal
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

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether these books had come to this anchor once: whether they are of its branch."""
        if anchor.sequence > self.anchor.sequence:
            return False
        end = _MAC_BYTES * anchor.sequence
        return anchor == EMPTY_ANCHOR or bytes(self._macs[end - _MAC_BYTES : end]) == anchor.mac

    def _take(self, booking: Booking, encoded: bytes, anchor: Anchor) -> Effect:
        effect = self.books.take(booking, encoded)
        self._macs += anchor.mac
        self.anchor = anchor
        return effect
