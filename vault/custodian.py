"""Who a custodian is, and what it remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from storage.cid import Cid
from vault.charter import Custodian
from vault.hpke import HpkeKeys
from vault.machine import MachineKey

SEED_BYTES = 160  # Ed25519 seed ‖ HPKE seed


class CustodyStore(Protocol):
    """What a custodian remembers; every method is durable when it returns (see `vault.stores`)."""

    def accept_head(self, genesis: Cid, epoch: int, head: Cid) -> None: ...  # noqa: D102
    def heads(self, genesis: Cid) -> list[Cid]: ...  # noqa: D102
    def geneses(self) -> list[Cid]: ...  # noqa: D102
    def register_manifest(self, dataset: bytes, version: int, manifest: Cid) -> None: ...  # noqa: D102
    def latest_manifest(self, dataset: bytes) -> tuple[int, Cid] | None: ...  # noqa: D102
    def store_deposit(self, manifest: Cid, deposit: bytes) -> None: ...  # noqa: D102
    def deposit(self, manifest: Cid) -> bytes | None: ...  # noqa: D102
    def store_state_share(self, ledger: bytes, sealed: bytes) -> bool: ...  # noqa: D102
    def state_share(self, ledger: bytes) -> bytes | None: ...  # noqa: D102
    def grant_lease(  # noqa: D102
        self,
        ledger: bytes,
        *,
        instance: bytes,
        not_after: int,
        anchor_sequence: int,
        anchor_mac: bytes,
        at: int,
        skew_s: int,
    ) -> None: ...
    def anchor(self, ledger: bytes) -> tuple[int, bytes] | None: ...  # noqa: D102
    def release_instance(self, ledger: bytes, instance: bytes) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, repr=False)
class CustodianKeys:
    """What a custodian signs and opens with. It neither prints nor pickles."""

    signing: MachineKey
    hpke: HpkeKeys

    @classmethod
    def from_seed(cls, seed: bytes) -> CustodianKeys:
        """Rebuild the keys from `SEED_BYTES` of randomness."""
        return cls(MachineKey(seed[:32]), HpkeKeys.from_seed(seed[32:]))

    def public(self) -> Custodian:
        """Return what a charter says of this custodian."""
        return Custodian(key=self.signing.public, hpke=self.hpke.public)

    def __repr__(self) -> str:
        return f"CustodianKeys({self.signing.public.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError("private keys are never pickled")
