"""The ledger at rest: rows that the host keeps and cannot read, change, drop or reorder (rule L1).

A row is AES-256-GCM under a key of its own (the state key and a fresh salt, so that a host that rolls back cannot make
a nonce repeat) and a chained HMAC:

    row = salt ‖ ciphertext        mac(n) = HMAC(state key's MAC key, ledger ‖ n ‖ mac(n-1) ‖ row)
"""

from __future__ import annotations

import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.entry import ENTRY_BYTES_MAX, Entry
from vault.errors import LedgerTampered, MalformedObject
from vault.keys import SecretKey
from vault.lease import Anchor

_SALT_BYTES = 32
_NONCE = bytes(12)  # each row has its own key


class LedgerSeal:
    """Seals entries into rows and opens them again, along the chain of MACs."""

    def __init__(self, state_key: SecretKey, ledger: bytes) -> None:
        self._state_key = state_key
        self._mac_key = state_key.derive("ledger-mac", info=ledger)
        self._identity_key = state_key.derive("passage-identity", info=ledger)
        self._ledger = ledger

    def passage_identity(self, text: str) -> bytes:
        """Return a passage's lasting identity: HMAC of its text, case and spacing aside (rule O1)."""
        return hmac.digest(self._identity_key, " ".join(text.casefold().split()).encode(), "sha256")

    def seal(self, entry: Entry, after: Anchor) -> tuple[bytes, Anchor]:
        """Return the row for `entry` and the anchor it leads to."""
        salt = secrets.token_bytes(_SALT_BYTES)
        body = self._cipher(salt).encrypt(_NONCE, entry.encoded(), self._ledger)
        row = salt + body
        return row, self._next(after, row)

    def open(self, sequence: int, row: bytes, mac: bytes, after: Anchor) -> tuple[Entry, Anchor]:
        """Return a row's entry and anchor, or raise `LedgerTampered`."""
        anchor = self._next(after, row)
        if sequence != anchor.sequence or not hmac.compare_digest(mac, anchor.mac):
            raise LedgerTampered(f"ledger row {sequence} breaks the chain; restore the database from a good copy")
        try:
            plain = self._cipher(row[:_SALT_BYTES]).decrypt(_NONCE, row[_SALT_BYTES:], self._ledger)
            return Entry.from_bytes(plain, bytes_max=ENTRY_BYTES_MAX), anchor
        except (InvalidTag, MalformedObject) as error:
            raise LedgerTampered(f"ledger row {sequence} does not open") from error

    def _cipher(self, salt: bytes) -> AESGCM:
        return AESGCM(self._state_key.derive("ledger-row", salt=salt))

    def _next(self, after: Anchor, row: bytes) -> Anchor:
        sequence = after.sequence + 1
        message = self._ledger + sequence.to_bytes(8, "big") + after.mac + row
        return Anchor(sequence=sequence, mac=hmac.digest(self._mac_key, message, "sha256"))
