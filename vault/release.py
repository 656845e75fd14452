"""What passes between an enclave and a custodian besides evidence and leases: shares, and signed requests."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX, SuiteKey
from vault.codec import Digest, Label, Length, PublicKey, Record, record
from vault.errors import MalformedObject
from vault.hpke import context
from vault.machine import MachineSigned
from vault.merkle import EMPTY_ROOT
from vault.window import Anchor, Settled
from vault.window import HandBack as HandBack

SealedShare = Annotated[bytes, Length(48, 4096)]
ReportData = Annotated[bytes, Length(64, 64)]
STATE_KEY_VERSION = 1


@record
class OfferedKeys(Record):
    """The HPKE keys of one instance: a challenge is given for them, and a release goes to no others."""

    TYPE: ClassVar[str] = "coffer/offered-keys/v1"

    hpke: Annotated[tuple[SuiteKey, ...], Length(1, 4)]

    def digest(self) -> bytes:
        """Return the SHA-256 that a challenge names them by."""
        return sha256(self.encoded()).digest()


@record
class LeaseRequest(MachineSigned):
    """What an instance asks of custodians, beside its evidence; signed, so that nobody who relays evidence can ask."""

    TYPE: ClassVar[str] = "coffer/lease-request/v1"

    instance: PublicKey
    custodian: PublicKey  # that is asked; another one cannot hand it on and so spend that one's challenge
    report_data: ReportData  # of the binding that this goes with, and so of its nonces
    anchor: Anchor  # how far the ledger has come: claimed where shares are wanted, verified otherwise
    log: Digest | None  # the public log's root as far as the anchor; None where shares are wanted: it is not known yet
    wants_shares: bool  # False: a renewal, which grants a window
    settled: Settled  # others' windows that this ledger accounts for, to be closed

    def signer(self) -> bytes:
        """Return the instance."""
        return self.instance

    def check(self) -> None:
        """Refuse to settle anything, or to name the log's root, before the books are verified; then it has to."""
        if self.wants_shares and self.settled:
            raise MalformedObject("windows are settled by a renewal")
        if self.wants_shares != (self.log is None):
            raise MalformedObject("a renewal names the log's root, and nothing else does")
        if self.log is not None and (self.anchor.sequence == 0) != (self.log == EMPTY_ROOT):
            raise MalformedObject("exactly the empty log has the empty root")


@record
class ShareRelease(MachineSigned):
    """A custodian's share, sealed to an attested key (rule E1: signed by the charter key, bound to report_data)."""

    TYPE: ClassVar[str] = "coffer/share-release/v1"

    custodian: PublicKey
    subject: Digest  # dataset id, or the ledger's for the state key
    key_version: int
    index: int
    suite: Label
    report_data: ReportData
    sealed: SealedShare
    commitments: Annotated[tuple[Digest, ...], Length(0, CUSTODIANS_MAX)]  # state key only: see `StateDeposit`
    key_commitment: Annotated[bytes, Length(0, 32)]  # state key only

    def signer(self) -> bytes:
        """Return the custodian's key."""
        return self.custodian


@record
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


@record
class Identity(Record):
    """What a custodian signs to prove which one it is, on one connection."""

    TYPE: ClassVar[str] = "coffer/identity/v1"

    nonce: Digest
    tls_key: Digest
    custodian: Digest  # SHA-256 of its `Custodian` record
