"""The ledger at rest: rows that the host keeps and cannot read, change, drop or reorder (rule L1).

Entries that become durable together are sealed together. A row is AES-256-GCM and a chained HMAC:

    row = salt ‖ count ‖ ciphertext of the entries        mac = HMAC(state key's MAC key, ledger ‖ first ‖ last ‖
                                                                     MAC of the row before ‖ row)

where `first` and `last` are the sequences of its entries. Its key follows from the state key and the salt, its nonce is
the count. Each `LedgerSeal` draws salts of its own and counts up under each, whatever it seals and however often rows
turn out not to be durable; a salt serves `SALT_ROWS` rows. So no nonce repeats under a key, also where a host rolls the
database back or runs two enclaves (rule L1).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.codec import Length, Record, record
from vault.entry import ENTRY_BYTES_MAX, Entry
from vault.envelope import normalized
from vault.errors import LedgerTampered, MalformedObject
from vault.keys import SecretKey
from vault.lease import Anchor
from vault.record_decoding import decoded
from vault.record_encoding import encoded_fields
from vault.records.model import JournalRow

SALT_ROWS: Final = 1024
ROW_ENTRIES_MAX: Final = 1024
ROW_BYTES_MAX: Final = 4 << 20  # of the entries in one row
_SALT_BYTES: Final = 32
_COUNT_BYTES: Final = 2
_HEAD_BYTES: Final = _SALT_BYTES + _COUNT_BYTES
_NONCE_BYTES: Final = 12  # RFC 5116, section 5.2
_PLAIN_BYTES_MAX: Final = ROW_BYTES_MAX + (1 << 14)  # with what tells the entries apart


@record
class Together(Record):
    """Entries that became durable together, in order."""

    TYPE: ClassVar[str] = "coffer/entries/v1"

    entries: Annotated[tuple[Annotated[bytes, Length(1, ENTRY_BYTES_MAX)], ...], Length(1, ROW_ENTRIES_MAX)]


class LedgerSeal:
    """Seals entries into rows and opens them again, along the chain of MACs. One thread at a time may seal."""

    def __init__(self, state_key: SecretKey, ledger: bytes) -> None:
        self._state_key = state_key
        self._mac_key = state_key.derive("ledger-mac", info=ledger)
        self._leaf_key = state_key.derive("ledger-leaf", info=ledger)
        self._identity_key = state_key.derive("passage-identity", info=ledger)
        self._ledger = ledger
        self._salt, self._count = b"", SALT_ROWS  # the first row draws a salt
        self._sealing: AESGCM

    def passage_identity(self, text: str) -> bytes:
        """Return a passage's lasting identity: HMAC of its text, case and spacing aside (rule O1)."""
        return hmac.digest(self._identity_key, normalized(text).encode(), "sha256")

    def entry_name(self, encoded: bytes) -> bytes:
        """Return what names an entry in public and says nothing of it: the HMAC of its canonical bytes."""
        return hmac.digest(self._leaf_key, encoded, "sha256")

    def epoch_secret(self, number: int) -> bytes:
        """Return what blinds the passages of one royalty epoch's statements."""
        return self._state_key.derive("royalty-epoch", info=self._ledger + number.to_bytes(8, "big"))

    def sealed(self, entries: Sequence[bytes], after: Anchor) -> JournalRow:
        """Return the row for entries that follow the row before, by their canonical bytes."""
        if self._count == SALT_ROWS:
            self._salt, self._count = secrets.token_bytes(_SALT_BYTES), 0
            self._sealing = self._cipher(self._salt)
        count = self._count.to_bytes(_COUNT_BYTES, "big")
        self._count += 1
        plain = encoded_fields(Together, {"entries": entries})
        row = self._salt + count + self._sealing.encrypt(_nonce(count), plain, self._ledger)
        last = after.sequence + len(entries)
        return JournalRow(last, row, self._mac(after, last, row), len(entries))

    def open(self, row: JournalRow, after: Anchor) -> tuple[list[Entry], Anchor]:
        """Return a row's entries and its anchor, or raise `LedgerTampered`."""
        sequence, sealed = row.sequence, row.sealed
        is_next = 1 <= row.entries <= ROW_ENTRIES_MAX and sequence == after.sequence + row.entries
        if not is_next or not hmac.compare_digest(row.mac, self._mac(after, sequence, sealed)):
            raise LedgerTampered(f"ledger row {sequence} breaks the chain; restore the database from a good copy")
        try:
            salt, count, body = sealed[:_SALT_BYTES], sealed[_SALT_BYTES:_HEAD_BYTES], sealed[_HEAD_BYTES:]
            plain = self._cipher(salt).decrypt(_nonce(count), body, self._ledger)
            together = decoded(Together, plain, bytes_max=_PLAIN_BYTES_MAX)
            entries = [Entry.from_bytes(entry, bytes_max=ENTRY_BYTES_MAX) for entry in together.entries]
        except (InvalidTag, MalformedObject) as error:
            raise LedgerTampered(f"ledger row {sequence} does not open") from error
        if [entry.sequence for entry in entries] != [*range(after.sequence + 1, sequence + 1)]:
            raise LedgerTampered(f"ledger row {sequence} holds other entries than it says")
        return entries, Anchor(sequence=sequence, mac=row.mac)

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self._state_key.derive("ledger-row", salt=salt))

    def _mac(self, after: Anchor, last: int, row: bytes) -> bytes:
        place = b"".join(((after.sequence + 1).to_bytes(8, "big"), last.to_bytes(8, "big"), after.mac))
        message = hmac.new(self._mac_key, self._ledger + place, "sha256")
        message.update(row)  # without a copy, and other threads go on meanwhile
        return message.digest()


def _nonce(count: bytes) -> bytes:
    return count.rjust(_NONCE_BYTES, b"\0")
