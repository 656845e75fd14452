"""Who a custodian is, and what it remembers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from storage.cid import Cid
from vault.charter import Custodian, Window
from vault.custody_state import Standing
from vault.head_vote import HeadVote
from vault.hpke import HpkeKeys
from vault.machine import MachineKey
from vault.polls import PollStore
from vault.window import Anchor, OpenWindow, WindowId

SEED_BYTES = 160  # Ed25519 seed ‖ HPKE seed
NONCE_LIFETIME_S = 60  # of a challenge, and so of evidence that is to bring a lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a custodian remembers that a release rests on, as of one reading."""

    anchor: tuple[int, bytes] | None  # the ledger's last one: sequence and MAC; None: it was never leased
    instance: bytes | None  # that was leased last, and has not handed back
    state_share: bytes | None  # sealed as it was given
    deposits: Mapping[Cid, bytes]  # by manifest, of those that were asked for


class StateStore(Protocol):
    """What a custodian remembers of its own condition and of the others'; every method is durable when it returns."""

    def restored_at(self) -> int | None: ...  # noqa: D102
    def mark_restored(self, at: int, *, number: int = 0) -> None: ...  # noqa: D102
    def caught_up(self) -> list[Cid]: ...  # noqa: D102
    def next_number(self) -> int: ...  # noqa: D102
    def keep_question(self, custodian: bytes, number: int, question: bytes) -> bytes: ...  # noqa: D102
    def standing(self, ledger: bytes) -> Standing: ...  # noqa: D102
    def registered(self, after: bytes, *, most: int) -> list[tuple[bytes, int, Cid]]: ...  # noqa: D102
    def adopt(  # noqa: D102
        self,
        genesis: Cid,
        ledger: bytes,
        standing: Standing,
        manifests: Iterable[tuple[bytes, int, Cid]],
        *,
        windows: Sequence[OpenWindow] | None,
        returned: bytes | None = None,
        has_caught_up: bool,
    ) -> None: ...


class HeadStore(Protocol):
    """What a custodian remembers of which head comes next; every method is durable when it returns."""

    def accept_head(self, genesis: Cid, epoch: int, head: Cid) -> None: ...  # noqa: D102
    def replace_heads(self, genesis: Cid, heads: Sequence[Cid], *, since: int) -> None: ...  # noqa: D102
    def heads(self, genesis: Cid) -> list[Cid]: ...  # noqa: D102
    def geneses(self) -> list[Cid]: ...  # noqa: D102
    def sign_head(self, genesis: Cid, epoch: int, head: Cid) -> Cid: ...  # noqa: D102
    def signed_heads(self, genesis: Cid, after: int) -> dict[int, Cid]: ...  # noqa: D102
    def keep_head_votes(self, genesis: Cid, epoch: int, votes: Sequence[HeadVote]) -> None: ...  # noqa: D102
    def head_votes(self, genesis: Cid) -> list[HeadVote]: ...  # noqa: D102
    def drop_head_votes(self, genesis: Cid, before: int) -> None: ...  # noqa: D102
    def keep_cause(self, genesis: Cid, cause: Cid) -> bool: ...  # noqa: D102
    def causes(self, genesis: Cid) -> list[Cid]: ...  # noqa: D102
    def drop_causes(self, genesis: Cid, causes: Collection[Cid]) -> None: ...  # noqa: D102


class CustodyStore(StateStore, PollStore, HeadStore, Protocol):
    """What a custodian remembers; every method is durable when it returns (see `vault.stores`)."""

    def register_manifest(  # noqa: D102
        self, dataset: bytes, version: int, manifest: Cid, *, genesis: Cid, is_named: bool = False
    ) -> None: ...
    def latest_manifest(self, dataset: bytes) -> tuple[int, Cid] | None: ...  # noqa: D102
    def store_deposit(self, manifest: Cid, deposit: bytes) -> None: ...  # noqa: D102
    def destroy_deposit(  # noqa: D102
        self, manifest: Cid, *, genesis: Cid, order: bytes, at: int
    ) -> int | None: ...
    def destroyed(self, genesis: Cid, after: bytes, *, most: int) -> list[tuple[bytes, bytes]]: ...  # noqa: D102
    def is_destroyed(self, manifest: Cid) -> bool: ...  # noqa: D102
    def kept(self, ledger: bytes, manifests: Collection[Cid]) -> Kept: ...  # noqa: D102
    def store_state_share(self, ledger: bytes, sealed: bytes) -> bool: ...  # noqa: D102
    def replace_state_share(self, ledger: bytes, sealed: bytes, *, instance: bytes) -> bool: ...  # noqa: D102
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
        window: Window | None = None,
        settled: Sequence[WindowId] = (),
    ) -> None: ...
    def open_windows(self, ledger: bytes) -> list[OpenWindow]: ...  # noqa: D102
    def reports(self, ledger: bytes) -> tuple[list[OpenWindow], bytes | None]: ...  # noqa: D102
    def hand_back(self, ledger: bytes, instance: bytes, anchor: Anchor, signed: bytes) -> None: ...  # noqa: D102
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
