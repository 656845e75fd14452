"""Licenses, the session keys they are delegated to, and the deposits that credit enters by (rules E6, L2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from storage.cid import Cid
from vault.codec import Address, Digest, Length, PublicKey, record
from vault.currency import check_currency
from vault.errors import MalformedObject
from vault.signing import PersonSigned
from vault.typed_data import Struct

AMOUNT_MAX = 10**15


@record
class License(PersonSigned):
    """The issuer's word that one licensee may ask under one policy."""

    TYPE: ClassVar[str] = "coffer/license/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "License",
        (("license", "bytes32"), ("policy", "string"), ("licensee", "address"), ("expiresAt", "uint64")),
    )

    genesis: Cid
    policy: Cid
    issuer: Address
    licensee: Address
    epoch: int  # head epoch at granting; a later revocation of the licensee ends it (rule G4)
    issued_at: int
    expires_at: int

    def check(self) -> None:
        """Refuse a license that ends before it begins."""
        if self.expires_at <= self.issued_at:
            raise MalformedObject("a license must end after it is issued")

    def signer(self) -> bytes:
        """Return the issuer."""
        return self.issuer

    def message(self) -> Mapping[str, Any]:
        """Return what the issuer's wallet shows."""
        return {
            "license": self.unsigned_digest(),
            "policy": str(self.policy),
            "licensee": self.licensee,
            "expiresAt": self.expires_at,
        }


@record
class Delegation(PersonSigned):
    """The licensee's word that a machine's key may open sessions and spend up to a cap."""

    TYPE: ClassVar[str] = "coffer/delegation/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Delegation",
        (("delegation", "bytes32"), ("sessionKey", "bytes32"), ("spendCap", "uint64"), ("expiresAt", "uint64")),
    )

    genesis: Cid
    license: Cid
    licensee: Address
    session_key: PublicKey
    spend_cap: int  # micro-units, over the delegation's whole life; kept by the ledger
    expires_at: int

    def signer(self) -> bytes:
        """Return the licensee."""
        return self.licensee

    def message(self) -> Mapping[str, Any]:
        """Return what the licensee's wallet shows."""
        return {
            "delegation": self.unsigned_digest(),
            "sessionKey": self.session_key,
            "spendCap": self.spend_cap,
            "expiresAt": self.expires_at,
        }


@record
class Deposit(PersonSigned):
    """The treasury's word that a licensee has paid in. It is booked once, whoever brings it and however often."""

    TYPE: ClassVar[str] = "coffer/deposit/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Deposit",
        (
            ("deposit", "bytes32"),
            ("ledger", "bytes32"),
            ("licensee", "address"),
            ("amount", "uint64"),
            ("currency", "string"),
        ),
    )

    genesis: Cid
    ledger: Digest
    id: Digest  # unique; chosen by the treasury
    treasury: Address
    licensee: Address
    amount: int  # micro-units
    currency: Annotated[str, Length(1, 12)]

    def check(self) -> None:
        """Refuse an amount of nothing, or one no ledger could add up."""
        if not 0 < self.amount <= AMOUNT_MAX:
            raise MalformedObject(f"a deposit is 1 … {AMOUNT_MAX} micro-units")
        check_currency(self.currency)

    def signer(self) -> bytes:
        """Return the treasury."""
        return self.treasury

    def message(self) -> Mapping[str, Any]:
        """Return what the treasury's wallet shows."""
        return {
            "deposit": self.unsigned_digest(),
            "ledger": self.ledger,
            "licensee": self.licensee,
            "amount": self.amount,
            "currency": self.currency,
        }
