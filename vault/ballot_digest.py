"""What voters sign, many times over: EIP-712 digests of ballots on one proposal, with what they share hashed once.

`Ballot.message` says what the digest covers; these are the same digests (EIP-712, `encodeData`), faster.
"""

from __future__ import annotations

from vault.ballot import Ballot, Support
from vault.errors import MalformedObject
from vault.typed_data import Domain, keccak

_ADDRESS_PAD = bytes(12)
_SUPPORTS = {support: keccak(support.value.encode()) for support in Support}
"""A string stands in a struct by its hash (EIP-712, "definition of encodeData")."""


class BallotDigests:
    """The digests of ballots on one proposal of one DAO."""

    def __init__(self, domain: Domain, proposal: bytes) -> None:
        if len(proposal) != 32:
            raise MalformedObject("a proposal is named by 32 bytes")
        self._domain = b"\x19\x01" + domain.separator()
        self._head = keccak(Ballot.STRUCT.type_text().encode()) + proposal + _ADDRESS_PAD
        self._reasons = {"": keccak(b"")}

    def of(self, voter: bytes, support: Support, sequence: int, reason: str) -> bytes:
        """Return the 32 bytes that `voter` signs; the fields are those of a valid page."""
        from sha3 import keccak_256

        if (reasoned := self._reasons.get(reason)) is None:
            reasoned = keccak_256(reason.encode()).digest()
        words = self._head + voter + _SUPPORTS[support] + sequence.to_bytes(32, "big") + reasoned
        digest: bytes = keccak_256(self._domain + keccak_256(words).digest()).digest()
        return digest
