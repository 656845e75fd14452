"""Signatures of machines: Ed25519 (RFC 8032) over a purpose and canonical bytes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature as NotVerified
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from vault.codec import MachineSignature, Record, Value, encode, record
from vault.errors import InvalidSignature

BLANK = bytes(64)
KEYS_KEPT: Final = 64  # public ones, as the library takes them: a session verifies with one key, again and again


class MachineKey:
    """A machine's Ed25519 key. It neither prints nor pickles."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public: bytes = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"MachineKey({self.public.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError("a signing key is never pickled")


def verify_machine(public: bytes, message: bytes, signature: bytes) -> None:
    """Raise `InvalidSignature` unless the holder of `public` signed `message`."""
    try:
        _public_key(public).verify(signature, message)
    except (NotVerified, ValueError) as error:
        raise InvalidSignature(f"not signed by machine key {public.hex()}") from error


@lru_cache(maxsize=KEYS_KEPT)
def _public_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public)


@record
class MachineSigned(Record):
    """A record one machine signs. Its type stands in the signed bytes, so no record passes for another."""

    signature: MachineSignature

    def signer(self) -> bytes:
        """Return the public key of the machine the record says it is from."""
        raise TypeError("a subclass says who signs")

    def signed_bytes(self) -> bytes:
        """Return the canonical bytes without the signature; they include the record's type."""
        body: dict[str, Value] = {name: item for name, item in self.value().items() if name != "signature"}
        return encode(body)

    def verify(self) -> None:
        """Raise `InvalidSignature` unless the machine it names signed it."""
        verify_machine(self.signer(), self.signed_bytes(), self.signature)

    def signed_by(self, key: MachineKey) -> Self:
        """Return the record with the signature of `key`; the key must be the one it names."""
        if key.public != self.signer():
            raise InvalidSignature(f"{type(self).__name__} is to be signed by machine key {self.signer().hex()}")
        return replace(self, signature=key.sign(self.signed_bytes()))
