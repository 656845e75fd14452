"""A custodian's challenges: nonces of a short life, for one instance and the keys it named, used once (rule E1).

Anybody may ask for challenges in any name, so handing one out costs no memory: the nonce itself says what it is for.

    nonce = time (5 bytes) ‖ random (11) ‖ HMAC-SHA256(secret, "…" ‖ time ‖ random ‖ instance ‖ keys), first 16 bytes

The secret is made anew with every start and known to nobody else, so a nonce is good at one custodian, until it
restarts. HMAC truncated to 128 bits stays a MAC (RFC 2104, section 5): each guess is one call, and 2^128 are expected.
The random bytes make every nonce another one, so evidence that binds it is fresh; the fields of the MAC have fixed
lengths, so no two challenges share its input. Remembered are nonces that were used, until they are too old anyway, and
instances that handed back, as long as an older nonce of theirs could be good.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from hmac import compare_digest, digest

from vault.custodian import NONCE_LIFETIME_S
from vault.errors import AccessDenied, MalformedObject, NotYet

SPENT_MAX = 100_000  # 1,600 a second, which are more releases than one custodian can look at
RETURNED_MAX = 10_000
_CONTEXT = b"coffer/v1/challenge"
_TIME_BYTES, _SALT_BYTES, _MAC_BYTES = 5, 16, 16  # the salt is time and randomness


class Challenges:
    """What makes one custodian's challenges single-use, in memory only: none survives a restart."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._now = 0  # never goes back, so that nothing that was forgotten becomes good again
        self._spent: dict[bytes, int] = {}  # nonce → when; earliest first
        self._returned: dict[bytes, int] = {}  # instance → when; earliest first

    def issue(self, instance: bytes, keys: bytes, *, at: int) -> bytes:
        """Return a nonce for evidence of `instance` over the HPKE keys with that digest."""
        if len(instance) != 32 or len(keys) != 32:
            raise MalformedObject("an instance is named by its 32-byte receipt key, its HPKE keys by a SHA-256")
        self._advance(at)
        salt = self._now.to_bytes(_TIME_BYTES, "big") + secrets.token_bytes(_SALT_BYTES - _TIME_BYTES)
        return salt + self._mac(salt, instance, keys)

    def spend(self, nonce: bytes, instance: bytes, keys: bytes, *, at: int) -> None:
        """Use up a nonce, or raise `AccessDenied` unless it was given to this instance, for these keys, in time.

        Raises: `NotYet` where too many were used within their lifetime.
        """
        self._advance(at)
        salt = nonce[:_SALT_BYTES]
        issued_at = int.from_bytes(salt[:_TIME_BYTES], "big")
        is_ours = compare_digest(nonce[_SALT_BYTES:], self._mac(salt, instance, keys))
        is_void = issued_at <= self._returned.get(instance, -1)
        if not is_ours or is_void or nonce in self._spent or self._now >= issued_at + NONCE_LIFETIME_S:
            raise AccessDenied(
                "this challenge is unknown, used or too old, or was given for other HPKE keys; ask for a fresh one"
            )
        if len(self._spent) >= SPENT_MAX:
            raise NotYet(f"too many challenges were used; ask again in {NONCE_LIFETIME_S} s")
        self._spent[nonce] = self._now

    def forget(self, instance: bytes, *, at: int, is_leased: bool) -> None:
        """Void an instance's challenges, so that nothing it asked before can be answered any more.

        Args:
            is_leased: it holds a lease here. Of others, which may be anybody, no more than `RETURNED_MAX` are noted.
        Raises: `NotYet` where there is no room.
        """
        self._advance(at)
        if not is_leased and len(self._returned) >= RETURNED_MAX:
            raise NotYet(f"too many hand-backs; ask again in {NONCE_LIFETIME_S} s")
        self._returned.pop(instance, None)
        self._returned[instance] = self._now

    def _mac(self, salt: bytes, instance: bytes, keys: bytes) -> bytes:
        return digest(self._secret, _CONTEXT + salt + instance + keys, sha256)[:_MAC_BYTES]

    def _advance(self, at: int) -> None:
        """Take the time over, and drop what is too old to matter."""
        self._now = max(self._now, at)
        for known in (self._spent, self._returned):
            while known and next(iter(known.values())) + NONCE_LIFETIME_S <= self._now:
                del known[next(iter(known))]
