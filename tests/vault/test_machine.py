"""Machines' signatures: over a typed record, by the key it names."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.errors import InvalidSignature
from vault.lease import EMPTY_ANCHOR
from vault.machine import BLANK, MachineKey, verify_machine
from vault.release import HandBack, Identity

KEY, OTHER = MachineKey(seeded("key")), MachineKey(seeded("other"))
GENESIS = Cid.of(DAG_CBOR, b"genesis")
HAND_BACK = HandBack(
    genesis=GENESIS, ledger=seeded("ledger"), instance=KEY.public, anchor=EMPTY_ANCHOR, signature=BLANK
)


def test_what_a_key_signs_its_public_half_verifies() -> None:
    # RFC 8032, section 7.1, test 2
    key = MachineKey(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    verify_machine(key.public, b"\x72", key.sign(b"\x72"))


@pytest.mark.parametrize(
    ("public", "message", "signature"),
    [
        (OTHER.public, b"m", KEY.sign(b"m")),
        (KEY.public, b"n", KEY.sign(b"m")),
        (KEY.public, b"m", KEY.sign(b"m")[:-1]),
        (KEY.public, b"m", b""),
        (KEY.public, b"m", BLANK),
        (b"short", b"m", KEY.sign(b"m")),
        (bytes(32), b"m", bytes(64)),  # a point of small order and the signature that fits every message
    ],
)
def test_anything_else_does_not(public: bytes, message: bytes, signature: bytes) -> None:
    with pytest.raises(InvalidSignature):
        verify_machine(public, message, signature)


def test_a_record_is_signed_by_the_key_it_names_and_no_other() -> None:
    HAND_BACK.signed_by(KEY).verify()
    with pytest.raises(InvalidSignature, match="is to be signed by"):
        HAND_BACK.signed_by(OTHER)
    with pytest.raises(InvalidSignature):
        HAND_BACK.verify()


@pytest.mark.parametrize(
    ("field", "value"),
    [("genesis", Cid.of(DAG_CBOR, b"x")), ("ledger", seeded("x")), ("instance", OTHER.public)],
)
def test_a_record_changed_after_signing_does_not_verify(field: str, value: object) -> None:
    with pytest.raises(InvalidSignature):
        replace(HAND_BACK.signed_by(KEY), **{field: value}).verify()


def test_a_record_of_one_type_passes_for_no_other() -> None:
    identity = Identity(nonce=bytes(32), tls_key=bytes(32), custodian=bytes(32))
    assert b"coffer/identity/v1" in identity.encoded()
    assert b"coffer/hand-back/v1" in HAND_BACK.signed_bytes()


def test_a_key_neither_prints_nor_pickles() -> None:
    assert seeded("key").hex() not in repr(KEY)
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
