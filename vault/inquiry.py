"""A person's signed question to the books: what does my account hold?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from vault.codec import Address, Digest, record
from vault.signing import PersonSigned
from vault.typed_data import Struct


@record
class Inquiry(PersonSigned):
    """Asks for the signer's own balances, once, over the server's nonce."""

    TYPE: ClassVar[str] = "coffer/inquiry/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Inquiry", (("inquiry", "bytes32"), ("ledger", "bytes32"), ("account", "address"))
    )

    ledger: Digest
    account: Address
    server_nonce: Digest
    tls_key: Digest

    def signer(self) -> bytes:
        """Return the person asking."""
        return self.account

    def message(self) -> Mapping[str, Any]:
        """Return what the person's wallet shows."""
        return {"inquiry": self.unsigned_digest(), "ledger": self.ledger, "account": self.account}
