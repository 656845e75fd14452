"""What an issuer hands a licensee: the license with the public objects by which it can be checked and used offline."""

from __future__ import annotations

from typing import ClassVar

from vault.charter import Charter
from vault.codec import Record, record
from vault.errors import AccessDenied, InvalidSignature
from vault.license import License
from vault.policy import Policy


@record
class Grant(Record):
    """A license file. Nothing in it is secret, and nobody but the licensee can use it."""

    TYPE: ClassVar[str] = "coffer/grant/v1"

    license: License
    policy: Policy
    charter: Charter

    def verify(self, *, licensee: bytes, at: int) -> None:
        """Raise unless this is a license of `licensee` that the policy admits, still good at `at` (UTC seconds)."""
        genesis = self.charter.cid()
        if genesis != self.license.genesis or self.policy.genesis != genesis:
            raise InvalidSignature("license, policy and charter are not of one DAO")
        self.license.verify(self.charter.domain(genesis))
        if self.license.licensee != licensee:
            raise AccessDenied(f"the license is for 0x{self.license.licensee.hex()}, not for this wallet")
        self.policy.admit(self.license, k=self.policy.k_max, at=at)
