"""How a receipt is signed: alone, or in a burst whose receipts share one signature over a small tree.

    alone      COSE_Sign1 over the receipt, its type in `external_aad`
    in a burst receipt ‖ index ‖ path ‖ head, where head = COSE_Sign1 over (size, root) of an RFC 6962 tree of receipts

Both vouch for the same bytes, so the digest that names a receipt is of these alone. A head is signed as another type
than a receipt, so neither passes for the other, and a burst of one does not exist: each message has one form. A path
shows hashes of other licensees' receipts; each receipt commits to its question under its client's own salt and request
id, 32 random bytes each, so such a hash says nothing to who does not hold the receipt.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, ClassVar, Final

from vault.codec import Digest, Length, Record, record
from vault.cose import MESSAGE_BYTES_MAX, payload_of, sign1, verified_payload
from vault.errors import InvalidSignature, MalformedObject
from vault.machine import MachineKey
from vault.merkle import Tree, leaf_hash, root_from_path
from vault.record_decoding import decoded
from vault.record_encoding import form_of

AAD: Final = b"coffer/receipt/v1"
BURST_AAD: Final = b"coffer/receipt-burst/v1"
BURST_MAX: Final = 1024
BURST_PATH_MAX: Final = 10  # levels over so many leaves
HEAD_BYTES_MAX: Final = 512
PROOF_BYTES_MAX: Final = 1024  # what a burst's message holds beside the receipt: path, head, names
HEADS_KEPT: Final = 64
_ALONE: Final = 0xD2  # how a COSE_Sign1 message begins: tag 18


@record
class Burst(Record):
    """What one signature vouches for: receipts that became due together."""

    TYPE: ClassVar[str] = "coffer/receipt-burst/v1"

    size: int
    root: Digest

    def check(self) -> None:
        """Refuse a burst of one, which would be a second form of a receipt signed alone, and one too large."""
        if not 2 <= self.size <= BURST_MAX:
            raise MalformedObject(f"a burst has 2 … {BURST_MAX} receipts")


@record
class ReceiptInBurst(Record):
    """One receipt, its place among those of its burst, and the signed head of them all."""

    TYPE: ClassVar[str] = "coffer/receipt-in-burst/v1"

    head: Annotated[bytes, Length(64, HEAD_BYTES_MAX)]
    path: Annotated[tuple[Digest, ...], Length(1, BURST_PATH_MAX)]
    index: int
    receipt: Annotated[bytes, Length(1, MESSAGE_BYTES_MAX)]


class BurstHeads:
    """The signed heads verified so far: receipts of one burst share theirs."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Burst] = {}

    def verified(self, head: bytes, instance: bytes) -> Burst:
        """Return what `instance` signed in a head, or raise `InvalidSignature` or `MalformedObject`."""
        burst = self._known.get((head, instance))
        if burst is None:
            body = verified_payload(head, instance, external_aad=BURST_AAD)
            burst = Burst.from_bytes(body, bytes_max=HEAD_BYTES_MAX)
            if len(self._known) >= HEADS_KEPT:
                del self._known[next(iter(self._known))]
            self._known[head, instance] = burst
        return burst


def signed_receipts(receipts: Sequence[bytes], key: MachineKey) -> list[bytes]:
    """Return one message for each encoded receipt, in their order, with as few signatures as can be."""
    if len(receipts) > BURST_MAX:
        return [*signed_receipts(receipts[:BURST_MAX], key), *signed_receipts(receipts[BURST_MAX:], key)]
    if len(receipts) < 2 or max(map(len, receipts)) > MESSAGE_BYTES_MAX - PROOF_BYTES_MAX:
        return [sign1(key, receipt, external_aad=AAD) for receipt in receipts]
    tree = Tree([leaf_hash(receipt) for receipt in receipts])
    head = sign1(key, Burst(size=tree.size, root=tree.root()).encoded(), external_aad=BURST_AAD)
    form = form_of(ReceiptInBurst, {"head": head})
    return [
        form({"path": path, "index": index, "receipt": receipt})
        for index, (path, receipt) in enumerate(zip(tree.paths(), receipts, strict=True))
    ]


def verified_message(message: bytes, instance: bytes, heads: BurstHeads | None = None) -> bytes:
    """Return the receipt's bytes that `instance` signed, or raise `InvalidSignature` or `MalformedObject`.

    Args:
        heads: remembers whose signature was verified before; without it, every message's is.
    """
    if _is_alone(message):
        return verified_payload(message, instance, external_aad=AAD)
    part = decoded(ReceiptInBurst, message, bytes_max=MESSAGE_BYTES_MAX)
    burst = (heads or BurstHeads()).verified(part.head, instance)
    if root_from_path(leaf_hash(part.receipt), part.index, burst.size, part.path) != burst.root:
        raise InvalidSignature("the receipt is not in the burst whose head is signed")
    return part.receipt


def receipt_digest(message: bytes) -> bytes:
    """Return the digest of the receipt in a message, verified before; see `payload_digest`."""
    if _is_alone(message):
        return payload_digest(payload_of(message))
    return payload_digest(decoded(ReceiptInBurst, message, bytes_max=MESSAGE_BYTES_MAX).receipt)


def payload_digest(receipt: bytes) -> bytes:
    """Return the SHA-256 by which the next receipt and request name this one: of the receipt, however it is signed."""
    return sha256(receipt).digest()


def _is_alone(message: bytes) -> bool:
    return message[:1] == bytes([_ALONE])
