"""Who may ask under a policy: named addresses, whoever its issuer licensed, or anyone who pays.

Where no issuer is needed, a licensee signs its own license. It can do so at any time and as often as it likes, so what
such a license says of itself proves nothing: a revocation counts from the policy's adoption on, not from its epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Final

from vault.codec import Address, Length, Record, record
from vault.errors import AccessDenied, MalformedObject
from vault.license import License

LISTED_MAX = 1024
SHARED_BUDGET: Final = b"anyone"  # the holder of the one budget that strangers share (rule O2); no address is so short


class Admits(StrEnum):
    """By what a licensee is admitted."""

    LISTED = "listed"
    CREDENTIAL = "credential"
    ANYONE = "anyone"


@record
class Licensees(Record):
    """Whom a policy admits."""

    admits: Admits
    addresses: Annotated[tuple[Address, ...], Length(0, LISTED_MAX)]  # of the listed, in ascending order
    issuer: Address | None  # who signs credentials

    def check(self) -> None:
        """Refuse a kind without what it needs, or with what another one needs."""
        if (self.admits is Admits.CREDENTIAL) != (self.issuer is not None):
            raise MalformedObject("licensees by credential need an issuer, and no others have one")
        if self.admits is not Admits.LISTED and self.addresses:
            raise MalformedObject("addresses are listed where licensees are admitted by address, and nowhere else")
        if self.admits is Admits.LISTED and not self.addresses:
            raise MalformedObject("the list of licensees is empty, so nobody could ever ask")
        if list(self.addresses) != sorted(set(self.addresses)):
            raise MalformedObject("listed licensees stand once each, in ascending order")

    @classmethod
    def listed(cls, addresses: Iterable[bytes]) -> Licensees:
        """Admit these addresses."""
        return cls(admits=Admits.LISTED, addresses=tuple(sorted(addresses)), issuer=None)

    @classmethod
    def credential(cls, issuer: bytes) -> Licensees:
        """Admit whoever the issuer grants a license."""
        return cls(admits=Admits.CREDENTIAL, addresses=(), issuer=issuer)

    @classmethod
    def anyone(cls) -> Licensees:
        """Admit anyone who pays."""
        return cls(admits=Admits.ANYONE, addresses=(), issuer=None)

    @property
    def is_self_signed(self) -> bool:
        """Say whether licensees sign their own licenses."""
        return self.admits is not Admits.CREDENTIAL

    @property
    def shares_budget(self) -> bool:
        """Say whether all licensees together have one budget: fresh keys cost nothing (rule O2)."""
        return self.admits is Admits.ANYONE

    def holder(self, licensee: bytes) -> bytes:
        """Return whose extraction budget a licensee's answers count against."""
        return SHARED_BUDGET if self.shares_budget else licensee

    def signer_of(self, licensee: bytes) -> bytes:
        """Return who has to sign a license for `licensee`."""
        return licensee if self.issuer is None else self.issuer

    def require(self, license: License) -> None:
        """Raise `AccessDenied` unless a license, its signature verified already, is one that this policy admits."""
        if self.admits is Admits.LISTED and license.licensee not in self.addresses:
            raise AccessDenied(
                "the licensee is not on the policy's list; the DAO would have to adopt one that names it"
            )
        if license.issuer != self.signer_of(license.licensee):
            raise AccessDenied(
                "under this policy licensees sign their own licenses, and nobody another's"
                if self.is_self_signed
                else "the license was not granted by the policy's issuer"
            )

    def revocable_since(self, license: License, *, adopted: int) -> int:
        """Return the epoch after which a revocation of the licensee ends the license.

        Args:
            adopted: the epoch at which the policy was adopted.
        """
        return adopted if self.is_self_signed else license.epoch
