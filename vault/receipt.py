"""Receipts: what was asked, answered and charged, in one signed object that anyone can check offline.

Query and passages appear only as commitments (rule R1); the licensee, who knows them, can open them to whom it likes in
a `ReceiptFile`, which carries everything that `vault.receipt_check` needs.
"""

from __future__ import annotations

from dataclasses import field
from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import Charter
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.cose import MESSAGE_BYTES_MAX
from vault.dataset import DATASETS_MAX
from vault.envelope import PASSAGE_BYTES_MAX
from vault.evidence import Binding, Evidence
from vault.head import Head
from vault.lease import Lease
from vault.license import License
from vault.machine import MachineKey
from vault.manifest import Manifest
from vault.merkle import PATH_MAX
from vault.policy import K_LIMIT, Policy
from vault.question import VECTOR_BYTES_MAX, Query
from vault.receipt_message import receipt_digest as receipt_digest
from vault.receipt_message import signed_receipts, verified_message
from vault.record_decoding import decoded
from vault.record_encoding import encoded
from vault.scores import SCORE_BYTES

FILE_BYTES_MAX = 4 << 20
FIRST_PREVIOUS = bytes(32)


@record
class PassageProof(Record):
    """One returned passage, hidden: its place in the owner's corpus and the path that proves it."""

    manifest: Cid
    index: int
    commitment: Digest  # the owner's
    path: Annotated[tuple[Digest, ...], Length(0, PATH_MAX)]
    redacted: Digest | None  # the commitment to what left in its place, where the policy redacts


@record
class Receipt(Record):
    """What the enclave vouches for."""

    TYPE: ClassVar[str] = "coffer/receipt/v1"

    genesis: Cid
    ledger: Digest
    entry: int  # sequence of the ledger entry that charged for it
    instance: PublicKey
    evidence: Digest
    head: Cid
    policy: Cid
    license: Cid
    request: Digest  # of the licensee's `Query`, its request id among it: what a retry must equal
    text: Digest  # commitment to the query's words
    vector: Digest  # commitment to the query's vector
    k: int
    passages: Annotated[tuple[PassageProof, ...], Length(0, K_LIMIT)]  # best first
    scores: Annotated[bytes, Length(0, SCORE_BYTES * K_LIMIT)]  # of the passages, as they left; see `vault.scores`
    weights: Annotated[tuple[int, ...], Length(0, K_LIMIT)]  # what each counts in the split; see `vault.attribution`
    is_partial: bool  # the policy's limits held some back
    price: int
    currency: Annotated[str, Length(1, 12)]
    budget_left: int  # distinct passages that may still be seen: by this licensee, or by all strangers together
    tee: Annotated[str, Length(1, 20)]
    at: int
    sequence: int  # this licensee's receipts, from 1 without gaps
    previous: Digest  # SHA-256 of this licensee's receipt before; zeros before the first
    confirmed: Digest  # the receipt that the request named as received, under its MAC (rule R4); zeros for none

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encoded(self)

    def signed(self, key: MachineKey) -> bytes:
        """Return the message over this receipt, signed alone."""
        return signed_receipts([self.encoded()], key)[0]


def verified_receipt(message: bytes, instance: bytes) -> Receipt:
    """Return the receipt that `instance` signed, alone or in a burst; raise `InvalidSignature` or `MalformedObject`."""
    return decoded(Receipt, verified_message(message, instance), bytes_max=MESSAGE_BYTES_MAX)


def redacted_commitment(salt: bytes, body: bytes) -> bytes:
    """Return the commitment to a passage as it left, redacted; it is never one of an owner's."""
    return sha256(b"coffer/redacted-passage/v1" + salt + body).digest()


@record
class OpenedPassage(Record):
    """A passage's bytes as they left, and the salt that the commitment to them was blinded with."""

    salt: Digest
    body: Annotated[bytes, Length(4, PASSAGE_BYTES_MAX)] = field(repr=False)


@record
class ReceiptFile(Record):
    """A receipt with all that an offline check needs: no network, no database, no trust in whoever hands it over."""

    TYPE: ClassVar[str] = "coffer/receipt-file/v1"

    message: Annotated[bytes, Length(64, MESSAGE_BYTES_MAX)]
    charter: Charter
    head: Head
    policy: Policy
    license: License
    manifests: Annotated[tuple[Manifest, ...], Length(1, DATASETS_MAX)]
    leases: Annotated[tuple[Lease, ...], Length(1, 16)]
    binding: Binding
    evidence: Evidence
    query: Query
    query_vector: Annotated[bytes, Length(0, VECTOR_BYTES_MAX)] = field(repr=False)  # the one that was searched with
    passages: Annotated[tuple[OpenedPassage, ...], Length(0, K_LIMIT)]
