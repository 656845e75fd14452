"""COSE_Sign1 in its one accepted form, and every other form refused (rule X1)."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from tests.builders import seeded
from vault.cose import CONTENT_TYPE, EDDSA, MESSAGE_BYTES_MAX, key_id, sign1, verified_payload
from vault.errors import InvalidSignature
from vault.machine import MachineKey

KEY = MachineKey(seeded("receipt key"))
PAYLOAD, AAD = b"payload", b"coffer/receipt/v1"
HEADER = {1: EDDSA, 3: CONTENT_TYPE, 4: key_id(KEY.public)}


def message(
    header: Any = HEADER, unprotected: Any = None, payload: Any = PAYLOAD, key: MachineKey = KEY, aad: bytes = AAD
) -> bytes:
    """Return a message of any form, correctly signed over that form (RFC 9052, section 4.4)."""
    protected = cbor2.dumps(header, canonical=True)
    signature = key.sign(cbor2.dumps(["Signature1", protected, aad, payload]))
    return cbor2.dumps(cbor2.CBORTag(18, [protected, unprotected or {}, payload, signature]))


def verify(data: bytes, public: bytes = KEY.public, aad: bytes = AAD) -> bytes:
    return verified_payload(data, public, external_aad=aad)


def test_what_is_signed_is_what_verifies() -> None:
    assert sign1(KEY, PAYLOAD, external_aad=AAD) == message()  # an independent encoder agrees, byte for byte
    assert verify(message()) == PAYLOAD


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_payloads_of_every_head_length_verify(size: int) -> None:
    assert verify(sign1(KEY, bytes(size), external_aad=AAD)) == bytes(size)


SIGNED = message()
FORMS = {
    "algorithm in the unprotected header": message({3: CONTENT_TYPE, 4: key_id(KEY.public)}, {1: EDDSA}),
    "algorithm in both headers": message(HEADER, {1: EDDSA}),
    "another algorithm": message(HEADER | {1: -7}),
    "no algorithm": message({3: CONTENT_TYPE, 4: key_id(KEY.public)}),
    "another content type": message(HEADER | {3: "application/cbor"}),
    "critical header": message(HEADER | {2: [99], 99: True}),
    "key id of another": message(HEADER | {4: key_id(bytes(32))}),
    "no key id": message({1: EDDSA, 3: CONTENT_TYPE}),
    "key id unprotected": message({1: EDDSA, 3: CONTENT_TYPE}, {4: key_id(KEY.public)}),
    "other external aad": message(aad=b"coffer/other/v1"),
    "no external aad": message(aad=b""),
    "detached payload": message(payload=None),
    "text payload": message(payload="payload"),
    "another signer": message(key=MachineKey(seeded("mallory"))),
    "trailing byte": SIGNED + b"\x00",
    "trailing message": SIGNED * 2,
    "cut short": SIGNED[:-1],
    "empty": b"",
    "prefix alone": SIGNED[:70],
    "untagged": SIGNED[1:],
    "another tag": b"\xd1" + SIGNED[1:],
    "array of indefinite length": b"\xd2\x9f" + SIGNED[2:] + b"\xff",
    "payload of indefinite length": SIGNED.replace(b"\x47payload", b"\x5f\x47payload\xff"),
    "payload length not the shortest": SIGNED.replace(b"\x47payload", b"\x58\x07payload"),
    "signature length not the shortest": SIGNED[:-66] + b"\x59\x00\x40" + SIGNED[-64:],
    "payload changed": SIGNED.replace(b"payload", b"paYload"),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_other_form_is_refused(form: str) -> None:
    with pytest.raises(InvalidSignature):
        verify(FORMS[form])


def test_every_flipped_bit_is_noticed() -> None:
    for place in range(len(SIGNED)):
        for bit in range(8):
            broken = SIGNED[:place] + bytes([SIGNED[place] ^ 1 << bit]) + SIGNED[place + 1 :]
            with pytest.raises(InvalidSignature):
                verify(broken)


def test_another_key_or_aad_does_not_verify_it() -> None:
    with pytest.raises(InvalidSignature):
        verify(SIGNED, MachineKey(seeded("mallory")).public)
    with pytest.raises(InvalidSignature):
        verify(SIGNED, aad=b"coffer/other/v1")


def test_a_message_over_the_bound_is_refused_unparsed() -> None:
    with pytest.raises(InvalidSignature):
        verify(sign1(KEY, bytes(MESSAGE_BYTES_MAX), external_aad=AAD))
