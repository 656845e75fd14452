"""What passes between an enclave and a custodian besides evidence and leases: shares, and signed requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX
from vault.codec import Digest, Label, Length, PublicKey, Record
from vault.hpke import context
from vault.machine import MachineSigned

SealedShare = Annotated[bytes, Length(48, 4096)]
STATE_KEY_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareRelease(MachineSigned):
    """A custodian's share, sealed to an attested key (rule E1: signed by the charter key, bound to report_data)."""

    TYPE: ClassVar[str] = "coffer/share-release/v1"

    custodian: PublicKey
    subject: Digest  # dataset id, or the ledger's for the state key
    key_version: int
    index: int
    suite: Label
    report_data: Annotated[bytes, Length(64, 64)]
    sealed: SealedShare
    commitments: Annotated[tuple[Digest, ...], Length(0, CUSTODIANS_MAX)]  # state key only: see `StateDeposit`
    key_commitment: Annotated[bytes, Length(0, 32)]  # state key only

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDeposit(MachineSigned):
    """One share of the state key, from the enclave that made it (rule L1)."""

    TYPE: ClassVar[str] = "coffer/state-deposit/v1"

    genesis: Cid
    ledger: Digest
    instance: PublicKey
    custodian: PublicKey
    index: int
    suite: Label
    sealed: SealedShare
    commitments: Annotated[tuple[Digest, ...], Length(1, CUSTODIANS_MAX)]
    key_commitment: Digest

    def signer(self) -> bytes:
        """Return the instance."""
        return self.instance


@dataclass(frozen=True, slots=True, kw_only=True)
class HandBack(MachineSigned):
    """An instance ends its lease early."""

    TYPE: ClassVar[str] = "coffer/hand-back/v1"

    genesis: Cid
    ledger: Digest
    instance: PublicKey

    def signer(self) -> bytes:
        """Return the instance."""
        return self.instance


def deposit_context(
    *, genesis: Cid, subject: bytes, key_version: int, custodian: bytes, index: int, suite: str
) -> bytes:
    """Return the HPKE `info` of a share on its way to a custodian (rule B2)."""
    return context(
        "share-deposit",
        genesis=genesis,
        subject=subject,
        key_version=key_version,
        custodian=custodian,
        index=index,
        suite=suite,
    )


def release_context(
    *, genesis: Cid, subject: bytes, key_version: int, custodian: bytes, index: int, suite: str, report_data: bytes
) -> bytes:
    """Return the HPKE `info` of a share on its way to an enclave; report_data covers every key it offered (rule E1)."""
    return context(
        "share-release",
        genesis=genesis,
        subject=subject,
        key_version=key_version,
        custodian=custodian,
        index=index,
        suite=suite,
        report_data=report_data,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity(Record):
    """What a custodian signs to prove which one it is, on one connection."""

    TYPE: ClassVar[str] = "coffer/identity/v1"

    nonce: Digest
    tls_key: Digest
    custodian: Digest  # SHA-256 of its `Custodian` record
