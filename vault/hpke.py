"""HPKE (RFC 9180, base mode, single shot) with named suites, strongest first.

`cryptography` takes no associated data here, so everything a ciphertext depends on goes into `info`, as canonical CBOR.
The hybrid key has no standard serialization: ours is ML-KEM-768 public (1,184 bytes) ‖ X25519 public (32).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from vault.charter import SuiteKey
from vault.codec import Value, encode
from vault.errors import MalformedObject, WrongKey

HYBRID: Final = "MLKEM768X25519-HKDF-SHA256-AES256GCM"
CLASSIC: Final = "X25519-HKDF-SHA256-AES256GCM"
SUITES: Final = (HYBRID, CLASSIC)  # strongest first
_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64

_RUN = {
    HYBRID: Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
    CLASSIC: Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM),
}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class HpkeKeys:
    """One private key per suite. It neither prints nor pickles."""

    _hybrid: MLKEM768X25519PrivateKey
    _classic: X25519PrivateKey
    public: tuple[SuiteKey, ...]

    @classmethod
    def from_seed(cls, seed: bytes) -> HpkeKeys:
        """Rebuild the keys from 128 bytes of randomness: ML-KEM seed ‖ its X25519 key ‖ the classic X25519 key."""
        if len(seed) != 128:
            raise ValueError("an HPKE seed has 128 bytes")
        mlkem = MLKEM768PrivateKey.from_seed_bytes(seed[:_MLKEM_SEED])
        inner = X25519PrivateKey.from_private_bytes(seed[64:96])
        classic = X25519PrivateKey.from_private_bytes(seed[96:])
        hybrid_public = mlkem.public_key().public_bytes_raw() + inner.public_key().public_bytes_raw()
        public = (
            SuiteKey(suite=HYBRID, key=hybrid_public),
            SuiteKey(suite=CLASSIC, key=classic.public_key().public_bytes_raw()),
        )
        return cls(MLKEM768X25519PrivateKey(mlkem, inner), classic, public)

    def open(self, suite: str, sealed: bytes, *, info: bytes) -> bytes:
        """Return the plaintext, or raise `WrongKey` where key, context or bytes are not the sealed ones."""
        if suite not in _RUN:
            raise WrongKey(f"HPKE suite {suite!r} is not known here")
        key: Any = self._hybrid if suite == HYBRID else self._classic
        try:
            return _RUN[suite].decrypt(sealed, key, info=info)
        except InvalidTag as error:
            raise WrongKey("the sealed bytes do not open with this key in this context") from error

    def __repr__(self) -> str:
        return "HpkeKeys(…)"

    def __reduce__(self) -> Any:
        raise TypeError("private keys are never pickled")


def seal(recipient: SuiteKey, plaintext: bytes, *, info: bytes) -> bytes:
    """Return enc ‖ ciphertext for the recipient. Raises `MalformedObject` for a key the suite cannot use."""
    try:
        return _RUN[recipient.suite].encrypt(plaintext, _public(recipient), info=info)
    except (KeyError, ValueError) as error:
        raise MalformedObject("the recipient's HPKE key is not usable") from error


def _public(recipient: SuiteKey) -> Any:
    if recipient.suite == CLASSIC:
        return X25519PublicKey.from_public_bytes(recipient.key)
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(recipient.key[:_MLKEM_PUBLIC]),
        X25519PublicKey.from_public_bytes(recipient.key[_MLKEM_PUBLIC:]),
    )


def strongest(offered: Iterable[SuiteKey], *, floor: str) -> SuiteKey:
    """Return the strongest offered key at or above `floor`; the offer is attested, so nobody can shorten it.

    Raises `WrongKey` where nothing offered is strong enough.
    """
    if floor not in SUITES:
        raise MalformedObject(f"suite floor {floor!r} is not known here")
    by_suite = {key.suite: key for key in offered}
    for suite in SUITES[: SUITES.index(floor) + 1]:
        if suite in by_suite:
            return by_suite[suite]
    raise WrongKey(f"no offered HPKE suite reaches the charter's floor {floor}")


def context(purpose: str, **facts: Value) -> bytes:
    """Return `info`: the canonical encoding of a purpose and the facts a ciphertext depends on."""
    return encode({"purpose": f"coffer/{purpose}/v1", **facts})
