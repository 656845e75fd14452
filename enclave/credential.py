"""What an AI app asks with: its license, the licensee's delegation, and the session key delegated to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from storage.cid import Cid
from vault.codec import Digest, Record
from vault.license import Delegation, License
from vault.machine import MachineKey


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credential(Record):
    """A secret file's content: whoever has it may spend up to the delegation's cap."""

    TYPE: ClassVar[str] = "coffer/credential/v1"

    license: License
    delegation: Delegation
    seed: Digest  # of the Ed25519 session key

    @property
    def genesis(self) -> Cid:
        """Return the DAO that the license is under."""
        return self.license.genesis

    def key(self) -> MachineKey:
        """Return the session key."""
        return MachineKey(self.seed)

    def __repr__(self) -> str:
        return f"Credential(0x{self.license.licensee.hex()})"
