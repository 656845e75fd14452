"""Signatures of people: secp256k1 over EIP-712 digests, with the checks libraries leave out.

Both `eth-account` and `coincurve` accept a high s, and the former any v; a signature then has several forms, and who
counts or deduplicates by bytes can be fooled. Here r, s and v have exactly one form (EIP-2, section "specification").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any, ClassVar, Self, TypeVar

from vault.codec import Record, Value, WalletSignature, encode, record
from vault.errors import InvalidSignature, MalformedObject
from vault.typed_data import Domain, Struct, keccak

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BLANK_SIGNATURE = bytes(65)
_PASTED_CHARS_MAX = 200


class SigningKey:
    """A person's secp256k1 key. It neither prints nor pickles."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        import coincurve

        if len(secret) != 32:  # coincurve would pad a shorter one
            raise ValueError("a secp256k1 key has 32 bytes")
        self._key = coincurve.PrivateKey(secret)
        self.address: bytes = keccak(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(self, digest: bytes) -> bytes:
        """Return r ‖ s ‖ v (65 bytes, low s, v 27 or 28) over a 32-byte digest."""
        raw: bytes = self._key.sign_recoverable(digest, hasher=None)
        return raw[:64] + bytes([raw[64] + 27])

    def derive(self, purpose: bytes) -> bytes:
        """Return 32 bytes that only this key's holder can make, for sealing the holder's own files."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, salt=None, info=b"coffer/wallet/v1/" + purpose).derive(self._key.secret)

    def __repr__(self) -> str:
        return f"SigningKey(0x{self.address.hex()})"

    def __reduce__(self) -> Any:
        raise TypeError("a signing key is never pickled")


def recovered(digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address whose key signed `digest`, or raise `InvalidSignature`."""
    import coincurve

    if len(signature) != 65:
        raise InvalidSignature(f"a signature has 65 bytes, not {len(signature)}")
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if not 0 < r < CURVE_ORDER or not 0 < s <= CURVE_ORDER // 2 or v not in (27, 28):
        raise InvalidSignature("signature is not in its one canonical form (low s, v 27 or 28)")
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature[:64] + bytes([v - 27]), digest, hasher=None)
    except Exception as error:  # coincurve raises bare Exception for a point that is not on the curve
        raise InvalidSignature("signature does not recover to any key") from error
    return keccak(key.format(compressed=False)[1:])[12:]


def wallet_signature_from(text: str) -> bytes:
    """Return r ‖ s ‖ v (65 bytes) from what a wallet shows: hex of 65 bytes, or of the 64 of EIP-2098.

    Raises: `InvalidSignature` for anything else. A high s is not turned into the low one: a wallet that follows EIP-2
    makes none, so it is not the wallet's own signature, and what others hold would not be these bytes.
    """
    body = text[:_PASTED_CHARS_MAX].strip().removeprefix("0x")
    if len(text) > _PASTED_CHARS_MAX:
        raise InvalidSignature("too long; a contract wallet's signature is checked on its chain, so vote there")
    try:
        raw = bytes.fromhex(body)
    except ValueError:
        raise InvalidSignature("not a signature in hex") from None  # unsaid, lest a mistaken paste be a key
    if len(raw) * 2 != len(body) or len(raw) not in (64, 65):
        raise InvalidSignature(f"a wallet's signature has 65 bytes, or 64 in the short form, not {len(raw)}")
    if len(raw) == 64:
        raw = raw[:32] + bytes([raw[32] & 0x7F]) + raw[33:] + bytes([27 + (raw[32] >> 7)])  # EIP-2098: yParity ‖ s
    r, s, v = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]
    if v not in (0, 1, 27, 28):
        raise InvalidSignature(f"the signature ends in v = {v}; over typed data it is 0, 1, 27 or 28")
    if not (0 < r < CURVE_ORDER and 0 < s < CURVE_ORDER):
        raise InvalidSignature("not a signature: r and s are at least 1 and below the curve's order")
    if s > CURVE_ORDER // 2:
        raise InvalidSignature(
            "the signature has a high s, so it is another's altered copy or from a wallet that ignores EIP-2; "
            "it is not put right here, since then two signatures would pass for one: sign again"
        )
    return raw[:64] + bytes([v % 27 + 27])


@record
class PersonSigned(Record):
    """A record one person signs. The signature covers every other field, through the struct a wallet displays."""

    STRUCT: ClassVar[Struct]

    signature: WalletSignature

    def signer(self) -> bytes:
        """Return the address the record claims as its signer."""
        raise TypeError("a subclass says who signs")

    def message(self) -> Mapping[str, Any]:
        """Return the struct's values; together with `unsigned_digest` they cover the whole record."""
        raise TypeError("a subclass says what is signed")

    def unsigned_digest(self) -> bytes:
        """Return SHA-256 of the record's encoding without its signature."""
        body: dict[str, Value] = {name: item for name, item in self.value().items() if name != "signature"}
        return sha256(encode(body)).digest()

    def verify(self, domain: Domain) -> None:
        """Raise `InvalidSignature` unless the claimed signer signed exactly this record for this DAO."""
        try:
            digest = domain.digest(self.STRUCT, self.message())
        except MalformedObject as error:
            raise InvalidSignature(f"{type(self).__name__} cannot be signed as it stands") from error
        if recovered(digest, self.signature) != self.signer():
            raise InvalidSignature(f"{type(self).__name__} is not signed by 0x{self.signer().hex()}")

    def signed_by(self, key: SigningKey, domain: Domain) -> Self:
        """Return the record with the signature of `key`; the key must be the claimed signer's."""
        if key.address != self.signer():
            raise InvalidSignature(f"{type(self).__name__} is to be signed by 0x{self.signer().hex()}")
        return replace(self, signature=key.sign(domain.digest(self.STRUCT, self.message())))


Signed = TypeVar("Signed", bound=PersonSigned)


def address_from(text: str) -> bytes:
    """Return the 20 bytes of an address in hex; a mixed-case one must carry its EIP-55 checksum."""
    body = text.removeprefix("0x")
    try:
        address = bytes.fromhex(body)
    except ValueError as error:
        raise MalformedObject("not an address in hex") from error  # unsaid, lest a mistaken paste be a key
    if len(address) != 20 or len(body) != 40:
        raise MalformedObject(f"an address has 20 bytes, not {len(address)}")
    if body not in (body.lower(), body.upper()) and address_text(address) != "0x" + body:
        raise MalformedObject(f"{text} does not carry its EIP-55 checksum; one character is probably mistyped")
    return address


def address_text(address: bytes) -> str:
    """Return an address in hex with its EIP-55 checksum."""
    body = address.hex()
    nibbles = keccak(body.encode()).hex()
    return "0x" + "".join(c.upper() if int(n, 16) >= 8 else c for c, n in zip(body, nibbles, strict=False))
