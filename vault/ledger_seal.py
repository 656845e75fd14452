"""The ledger at rest: rows that the host keeps and cannot read, change, drop or reorder (rule L1).

A row is AES-256-GCM and a chained HMAC:

    row = salt ‖ count ‖ ciphertext        mac(n) = HMAC(state key's MAC key, ledger ‖ n ‖ mac(n-1) ‖ row)

Its key follows from the state key and the salt, its nonce is the count. Each `LedgerSeal` draws salts of its own and
counts up under each, whatever it seals and however often rows turn out not to be durable; a salt serves `SALT_ROWS`
rows. So no nonce repeats under a key, also where a host rolls the database back or runs two enclaves (rule L1).
"""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.entry import ENTRY_BYTES_MAX, Entry
from vault.envelope import normalized
from vault.errors import LedgerTampered, MalformedObject
from vault.keys import SecretKey
from vault.lease import Anchor

SALT_ROWS: Final = 1024
_SALT_BYTES: Final = 32
_COUNT_BYTES: Final = 2
_HEAD_BYTES: Final = _SALT_BYTES + _COUNT_BYTES
_NONCE_BYTES: Final = 12  # RFC 5116, section 5.2


class LedgerSeal:
    """Seals entries into rows and opens them again, along the chain of MACs."""

    def __init__(self, state_key: SecretKey, ledger: bytes) -> None:
        self._state_key = state_key
        self._mac_key = state_key.derive("ledger-mac", info=ledger)
        self._identity_key = state_key.derive("passage-identity", info=ledger)
        self._ledger = ledger
        self._salt, self._count = b"", SALT_ROWS  # the first row draws a salt
        self._sealing: AESGCM

    def passage_identity(self, text: str) -> bytes:
        """Return a passage's lasting identity: HMAC of its text, case and spacing aside (rule O1)."""
        return hmac.digest(self._identity_key, normalized(text).encode(), "sha256")

    def epoch_secret(self, number: int) -> bytes:
        """Return what blinds the passages of one royalty epoch's statements."""
        return self._state_key.derive("royalty-epoch", info=self._ledger + number.to_bytes(8, "big"))

    def seal(self, entry: Entry, after: Anchor) -> tuple[bytes, Anchor]:
        """Return the row for `entry` and the anchor it leads to."""
        return self.sealed(entry.encoded(), after)

    def sealed(self, encoded: bytes, after: Anchor) -> tuple[bytes, Anchor]:
        """Return the row for an entry's canonical bytes and the anchor it leads to."""
        if self._count == SALT_ROWS:
            self._salt, self._count = secrets.token_bytes(_SALT_BYTES), 0
            self._sealing = self._cipher(self._salt)
        count = self._count.to_bytes(_COUNT_BYTES, "big")
        self._count += 1
        row = self._salt + count + self._sealing.encrypt(_nonce(count), encoded, self._ledger)
        return row, self._next(after, row)

    def open(self, sequence: int, row: bytes, mac: bytes, after: Anchor) -> tuple[Entry, Anchor]:
        """Return a row's entry and anchor, or raise `LedgerTampered`."""
        anchor = self._next(after, row)
        if sequence != anchor.sequence or not hmac.compare_digest(mac, anchor.mac):
            raise LedgerTampered(f"ledger row {sequence} breaks the chain; restore the database from a good copy")
        try:
            salt, count, body = row[:_SALT_BYTES], row[_SALT_BYTES:_HEAD_BYTES], row[_HEAD_BYTES:]
            plain = self._cipher(salt).decrypt(_nonce(count), body, self._ledger)
            return Entry.from_bytes(plain, bytes_max=ENTRY_BYTES_MAX), anchor
        except (InvalidTag, MalformedObject) as error:
            raise LedgerTampered(f"ledger row {sequence} does not open") from error

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self._state_key.derive("ledger-row", salt=salt))

    def _next(self, after: Anchor, row: bytes) -> Anchor:
        sequence = after.sequence + 1
        message = b"".join((self._ledger, sequence.to_bytes(8, "big"), after.mac, row))
        return Anchor(sequence=sequence, mac=hmac.digest(self._mac_key, message, "sha256"))


def _nonce(count: bytes) -> bytes:
    return count.rjust(_NONCE_BYTES, b"\0")
