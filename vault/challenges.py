"""A custodian's challenges: nonces of a short life, for one instance and the keys it named, used once (rule E1)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from vault.custodian import NONCE_LIFETIME_S
from vault.errors import AccessDenied, MalformedObject, NotYet

NONCES_MAX = 10_000
INSTANCE_NONCES_MAX = 64


@dataclass(frozen=True, slots=True)
class _Open:
    instance: bytes
    keys: bytes
    not_after: int


class Challenges:
    """The open challenges of one custodian, in memory only: none survives a restart."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Open] = {}

    def issue(self, instance: bytes, keys: bytes, *, at: int) -> bytes:
        """Return a nonce for evidence of `instance` over the HPKE keys with that digest.

        Raises: `NotYet` where this instance, or all of them together, have too many open.
        """
        if len(instance) != 32 or len(keys) != 32:
            raise MalformedObject("an instance is named by its 32-byte receipt key, its HPKE keys by a SHA-256")
        self._open = {nonce: open for nonce, open in self._open.items() if open.not_after > at}
        own = sum(open.instance == instance for open in self._open.values())
        if own >= INSTANCE_NONCES_MAX or len(self._open) >= NONCES_MAX:
            raise NotYet(f"too many open challenges; ask again in {NONCE_LIFETIME_S} s")
        nonce = secrets.token_bytes(32)
        self._open[nonce] = _Open(instance, keys, at + NONCE_LIFETIME_S)
        return nonce

    def spend(self, nonce: bytes, instance: bytes, keys: bytes, *, at: int) -> None:
        """Use up a nonce, or raise `AccessDenied` unless it was given to this instance, for these keys, in time."""
        open = self._open.pop(nonce, None)
        if open is None or open.instance != instance or at >= open.not_after:
            raise AccessDenied("this challenge is unknown, used or too old; ask for a fresh one")
        if open.keys != keys:
            raise AccessDenied("this challenge was given for other HPKE keys; ask for a fresh one")

    def forget(self, instance: bytes) -> None:
        """Drop an instance's challenges, so that nothing it asked before can be answered any more."""
        self._open = {nonce: open for nonce, open in self._open.items() if open.instance != instance}
