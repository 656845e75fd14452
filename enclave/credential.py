"""What an AI app asks with: its license, the licensee's delegation, and the session key delegated to."""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import ClassVar, Self

from storage.cid import Cid
from vault.codec import Digest, Record, record
from vault.keys import SecretKey
from vault.license import Delegation, License
from vault.machine import MachineKey
from vault.sealed_files import read_sealed, write_sealed
from vault.signing import SigningKey

PURPOSE = "credential"


@record
class Credential(Record):
    """A secret file's content: whoever has it may spend up to the delegation's cap."""

    TYPE: ClassVar[str] = "coffer/credential/v1"

    license: License
    delegation: Delegation
    seed: Digest = field(repr=False)  # of the Ed25519 session key

    @classmethod
    def read(cls, path: Path, *, password: str) -> Self:
        """Open a file that `coffer license accept` made. Raises `WrongKey`, `MalformedObject`, `OSError`."""
        return cls.from_bytes(read_sealed(path, password=password, purpose=PURPOSE))

    def write(self, path: Path, *, password: str) -> None:
        """Seal it into a file under a password."""
        write_sealed(path, self.encoded(), password=password, purpose=PURPOSE)

    @property
    def genesis(self) -> Cid:
        """Return the DAO that the license is under."""
        return self.license.genesis

    def key(self) -> MachineKey:
        """Return the session key."""
        return MachineKey(self.seed)

    def voucher_key(self) -> SigningKey:
        """Return the key that signs vouchers where a channel names it; it follows from the session key's seed."""
        return SigningKey(SecretKey(self.seed).derive("voucher-key"))

    def __repr__(self) -> str:
        return f"Credential(0x{self.license.licensee.hex()})"
