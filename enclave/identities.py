"""The lasting identities of passages that were found before: to work one out costs more than to book it (rule O1)."""

from __future__ import annotations

from typing import Final

from enclave.found import Found
from vault.ledger_seal import LedgerSeal

IDENTITIES_KEPT: Final = 1 << 16  # some 150 bytes each


class Identities:
    """Identities by the passages' commitments, which no two different passages share; the oldest make room."""

    def __init__(self, seal: LedgerSeal) -> None:
        self._seal = seal
        self._known: dict[bytes, bytes] = {}

    def of(self, passage: Found) -> bytes:
        """Return a passage's identity in this ledger."""
        identity = self._known.get(passage.commitment)
        if identity is None:
            if len(self._known) >= IDENTITIES_KEPT:
                del self._known[next(iter(self._known))]
            identity = self._known[passage.commitment] = self._seal.passage_identity(passage.lasting)
        return identity
