"""The public log: one leaf for each ledger entry, in order, so that entry n is leaf n-1 and no number is missing (R1).

    a receipt       SHA-256(tag ‖ salt ‖ digest of the receipt)     its salt: the request's digest, which it names
    a refund        SHA-256(tag ‖ digest of the receipt)            the licensee's next receipt names that digest
    anything else   SHA-256(tag ‖ HMAC of the entry)

The leaf's hash is RFC 6962's over these 32 bytes. A request holds 32 random bytes of its licensee, so a leaf says
nothing to who does not hold the receipt; who does derives leaf and place from it. A `TreeHead` commits to all leaves;
an enclave that showed two people different logs, or a shorter one later, signed both (`require_extends`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import ClassVar, Final

from storage.cid import Cid
from vault.booking import Booking
from vault.codec import Digest, PublicKey, record
from vault.entry import Kind
from vault.errors import ForkedHistory, InvalidSignature, MalformedObject
from vault.machine import MachineSigned
from vault.merkle import EMPTY_ROOT, leaf_hash, root_from_path
from vault.merkle_log import verify_consistency

_RECEIPT: Final = b"coffer/log-receipt/v1"
_REFUND: Final = b"coffer/log-refund/v1"
_OTHER: Final = b"coffer/log-entry/v2"


def receipt_leaf(request: bytes, digest: bytes) -> bytes:
    """Return the leaf's hash of a receipt, by its digest and that of its request."""
    return leaf_hash(sha256(_RECEIPT + request + digest).digest())


def refund_leaf(digest: bytes) -> bytes:
    """Return the leaf's hash of the refund of a receipt, by its digest."""
    return leaf_hash(sha256(_REFUND + digest).digest())


def booking_leaf(booking: Booking, name: Callable[[], bytes], refunded: bytes) -> bytes:
    """Return the leaf's hash of a ledger entry.

    Args:
        name: gives what names an entry that has no receipt; see `LedgerSeal.entry_name`.
        refunded: the digest of the receipt that a void gives back.
    """
    if booking.answer is not None:
        return receipt_leaf(booking.answer.body, booking.answer.receipt)
    if booking.kind is Kind.VOID:
        return refund_leaf(refunded)
    return leaf_hash(sha256(_OTHER + name()).digest())


@record
class TreeHead(MachineSigned):
    """What an enclave instance says the log is: its size and root, at a time and a head of the DAO."""

    TYPE: ClassVar[str] = "coffer/tree-head/v1"

    genesis: Cid
    ledger: Digest
    size: int  # leaves, and so the sequence of the last ledger entry
    root: Digest
    at: int  # UTC seconds by the leases
    instance: PublicKey
    evidence: Digest  # of the evidence that vouches for the instance
    head: Cid  # of the DAO

    def signer(self) -> bytes:
        """Return the instance."""
        return self.instance

    def check(self) -> None:
        """Refuse an empty log with a root, and leaves without one."""
        if (self.size == 0) != (self.root == EMPTY_ROOT):
            raise MalformedObject("exactly the empty log has the empty root")

    def require_leaf(self, leaf: bytes, index: int, path: Sequence[bytes]) -> None:
        """Raise `InvalidSignature` unless the leaf stands at `index` of this log."""
        if root_from_path(leaf, index, self.size, path) != self.root:
            raise InvalidSignature(f"the log does not hold this leaf at {index}")

    def is_in_doubt_with(self, other: TreeHead) -> bool:
        """Say whether two heads of one size are of different logs."""
        return self.size == other.size and self.root != other.root


def require_extends(new: TreeHead, old: TreeHead, proof: Sequence[bytes]) -> None:
    """Raise `ForkedHistory`, naming how, unless the new head's log is the old one's and perhaps more.

    Both signatures were verified. Keep both heads where it raises: together they prove it.
    """
    if (new.genesis, new.ledger) != (old.genesis, old.ledger):
        raise ForkedHistory("other log: the two heads are of different ledgers")
    if new.size < old.size:
        raise ForkedHistory(
            f"shrunken log: it had {old.size} entries at {old.at} and has {new.size} at {new.at}; keep both heads"
        )
    if new.is_in_doubt_with(old):
        raise ForkedHistory(f"split view: two different logs of {new.size} entries; keep both heads")
    try:
        verify_consistency(old.size, old.root, new.size, new.root, proof)
    except MalformedObject as error:
        raise ForkedHistory(
            f"split view: the log of {new.size} entries does not begin with the one of {old.size}; keep both heads"
        ) from error
