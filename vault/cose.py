"""COSE_Sign1 (RFC 9052, section 4.2) in the one form we write: EdDSA, fixed protected header, empty unprotected one.

Libraries accept an algorithm in the unprotected header, unknown critical headers and trailing bytes. Here a message is
compared byte by byte with the only form it may have (rule X1), and the payload's type stands in `external_aad`.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Final

import cbor2

from vault.errors import InvalidSignature
from vault.machine import MachineKey, verify_machine

CONTENT_TYPE: Final = "application/vnd.coffer.receipt+dag-cbor"
EDDSA: Final = -8  # RFC 9053, section 2.2
KID_BYTES: Final = 16
MESSAGE_BYTES_MAX: Final = 1 << 18
KEYS_KEPT: Final = 64  # public ones, whose headers are at hand


def key_id(public: bytes) -> bytes:
    """Return the short name of a signing key: the start of its SHA-256."""
    return sha256(public).digest()[:KID_BYTES]


def sign1(key: MachineKey, payload: bytes, *, external_aad: bytes) -> bytes:
    """Return the tagged COSE_Sign1 message over `payload`."""
    protected = _protected(key.public)
    signature = key.sign(_to_be_signed(protected, external_aad, payload))
    return _prefix(protected) + cbor2.dumps(payload) + b"\x58\x40" + signature


def verified_payload(message: bytes, public: bytes, *, external_aad: bytes) -> bytes:
    """Return the payload, or raise `InvalidSignature` unless the message has exactly our form and verifies."""
    protected = _protected(public)
    prefix = _prefix(protected)
    if len(message) > MESSAGE_BYTES_MAX or not message.startswith(prefix):
        raise InvalidSignature("not a COSE_Sign1 message of this key in its one accepted form")
    item, signature = message[len(prefix) : -66], message[-64:]
    try:
        payload = cbor2.loads(item, max_depth=1, allow_indefinite=False)
    except cbor2.CBORError as error:
        raise InvalidSignature("the message's payload is not a byte string") from error
    if type(payload) is not bytes or cbor2.dumps(payload) != item or message[-66:-64] != b"\x58\x40":
        raise InvalidSignature("the message's payload is not a byte string in its shortest form")
    verify_machine(public, _to_be_signed(protected, external_aad, payload), signature)
    return payload


def payload_of(message: bytes) -> bytes:
    """Return the payload of a message, unverified, or raise `InvalidSignature` where it has not our form."""
    prefix_bytes = len(_prefix(_protected(bytes(32))))
    item = message[prefix_bytes:-66]
    try:
        payload = cbor2.loads(item, max_depth=1, allow_indefinite=False)
    except cbor2.CBORError as error:
        raise InvalidSignature("the message's payload is not a byte string") from error
    if type(payload) is not bytes:
        raise InvalidSignature("the message's payload is not a byte string")
    return payload


@lru_cache(maxsize=KEYS_KEPT)
def _protected(public: bytes) -> bytes:
    """Return the protected header of a key's messages, made once while the key is in use."""
    header = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(public)}
    encoded: bytes = cbor2.dumps(header, canonical=True)
    return encoded


def _prefix(protected: bytes) -> bytes:
    return b"\xd2\x84" + cbor2.dumps(protected) + b"\xa0"  # tag 18, array of 4, protected, empty unprotected


def _to_be_signed(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    encoded: bytes = cbor2.dumps(["Signature1", protected, external_aad, payload])
    return encoded
