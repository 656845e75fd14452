"""The keys of one run of an enclave: made at start, never written anywhere, bound by its evidence."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from vault.hpke import HpkeKeys
from vault.machine import MachineKey
from vault.tls import TlsIdentity


@dataclass(frozen=True, slots=True, repr=False)
class InstanceKeys:
    """HPKE, TLS and receipt keys. The receipt key's public half names the instance."""

    receipt: MachineKey
    hpke: HpkeKeys
    tls: TlsIdentity

    @classmethod
    def fresh(cls) -> InstanceKeys:
        """Make all keys for this run."""
        return cls(
            MachineKey(secrets.token_bytes(32)), HpkeKeys.from_seed(secrets.token_bytes(128)), TlsIdentity.fresh()
        )

    @property
    def instance(self) -> bytes:
        """Return the instance's name."""
        return self.receipt.public

    def __repr__(self) -> str:
        return f"InstanceKeys({self.instance.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError("private keys are never pickled")
