"""What a machine claims, bound to its keys (rule E1), and what a verifier concluded.

report_data = SHA-512(`coffer/report/v1` ‖ canonical CBOR of the `Binding`). One piece of evidence serves several
challengers: each finds its own nonce among the sorted ones. Verifying belongs to `enclave.attestation`; the vault only
says what it needs of it, in `Appraiser`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Annotated, ClassVar, Protocol

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX, SuiteKey
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.errors import AccessDenied, MalformedObject
from vault.policy import AcceptedTee

REPORT_TAG = b"coffer/report/v1"
DOCUMENT_BYTES_MAX = 128 << 10
GPU_BYTES_MAX = 256 << 10
RELEASE = "release"  # to custodians: release shares, renew leases
SERVE = "serve"  # to clients: prove what they are talking to


@record
class Nonce(Record):
    """One challenger's nonce; a client, which has no key, is the empty challenger."""

    challenger: Annotated[bytes, Length(0, 32)]
    nonce: Digest


@record
class Binding(Record):
    """Everything one piece of evidence vouches for."""

    TYPE: ClassVar[str] = "coffer/binding/v1"

    purpose: Annotated[str, Length(1, 20)]
    nonces: Annotated[tuple[Nonce, ...], Length(1, CUSTODIANS_MAX)]
    hpke: Annotated[tuple[SuiteKey, ...], Length(1, 4)]
    tls_key: Digest  # SHA-256 of the certificate's SubjectPublicKeyInfo
    receipt_key: PublicKey  # also the instance's name
    gpu_evidence: Annotated[bytes, Length(0, 64)]  # digest; empty: no GPU is vouched for
    configuration: Cid
    genesis: Cid

    def check(self) -> None:
        """Refuse nonces out of order or given twice."""
        pairs = [(nonce.challenger, nonce.nonce) for nonce in self.nonces]
        if pairs != sorted(set(pairs)):
            raise MalformedObject("nonces must be sorted and stand once each")

    def report_data(self) -> bytes:
        """Return the 64 bytes that the TEE's hardware signs."""
        return sha512(REPORT_TAG + self.encoded()).digest()

    def require_nonce(self, challenger: bytes, nonce: bytes) -> None:
        """Raise `AccessDenied` unless the challenger's own nonce is among the bound ones."""
        if Nonce(challenger=challenger, nonce=nonce) not in self.nonces:
            raise AccessDenied("the evidence was not made for this challenge; ask for a fresh one")


@record
class Evidence(Record):
    """A TEE's claim in its vendor's own format, with the certificates and collateral that verify it."""

    TYPE: ClassVar[str] = "coffer/evidence/v1"

    kind: Annotated[str, Length(1, 20)]
    document: Annotated[bytes, Length(1, DOCUMENT_BYTES_MAX)]
    gpu: Annotated[bytes, Length(0, GPU_BYTES_MAX)] = b""  # the GPUs' own; counts only through the binding (rule E2)

    def digest(self) -> bytes:
        """Return the SHA-256 that leases and receipts name it by."""
        return sha256(self.encoded()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """Verified: this kind of machine runs this measured program, as an accepted entry of the policy says."""

    kind: str
    measurement: bytes  # the program's own: the one that people compare
    measurements: tuple[bytes, ...]  # all of them: a revocation of any is one of the machine
    accepted: AcceptedTee
    evidence: bytes  # digest


class Appraiser(Protocol):
    """Verifies evidence and judges it; the adapters live in `enclave.attestation`."""

    def appraise(self, evidence: Evidence, *, binding: Binding, accepted: Iterable[AcceptedTee], at: int) -> Appraisal:
        """Return the appraisal under the first accepted entry that fits, or raise `AccessDenied`.

        Args:
            binding: what the evidence has to vouch for.
            at: UTC seconds; certificates, collateral and grace periods are judged at that time.
        """
        ...
