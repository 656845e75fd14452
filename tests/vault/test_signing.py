"""Signatures of people: one form each, for one record, under one DAO."""

import copy
import json
import pickle
from contextlib import suppress
from dataclasses import replace
from typing import Any

import coincurve
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import CHAIN_ID, NOW, ballot, dao, license, policy, proposal, revoking, seeded, signed, wallet
from vault.action import Scope
from vault.errors import InvalidSignature, MalformedObject
from vault.license import License
from vault.signing import (
    BLANK_SIGNATURE,
    CURVE_ORDER,
    PersonSigned,
    SigningKey,
    address_from,
    address_text,
    recovered,
    wallet_signature_from,
)
from vault.typed_data import Domain

DIGEST = seeded("digest")
KEY = wallet("alice")
DAO = dao()
DOMAIN = DAO.charter.domain(DAO.genesis)
LICENSE = license(DAO.history, policy(DAO.genesis), wallet("licensee"))


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32).filter(lambda b: 0 < int.from_bytes(b, "big") < CURVE_ORDER), st.data())
def test_addresses_and_signatures_are_those_of_eth_account(secret: bytes, data: st.DataObject) -> None:
    digest = data.draw(st.binary(min_size=32, max_size=32))
    key = SigningKey(secret)
    oracle = Account.unsafe_sign_hash(digest, secret)
    assert key.sign(digest) == bytes(oracle.signature)
    assert recovered(digest, key.sign(digest)) == key.address
    assert address_text(key.address) == Account.from_key(secret).address


def mirrored(signature: bytes) -> bytes:
    """Return the other signature that the same curve points allow: s negated, v flipped."""
    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])


def test_the_high_s_twin_is_refused_although_libraries_take_it() -> None:
    twin = mirrored(KEY.sign(DIGEST))
    taken = coincurve.PublicKey.from_signature_and_message(twin[:64] + bytes([twin[64] - 27]), DIGEST, hasher=None)
    assert taken == coincurve.PublicKey.from_valid_secret(seeded("wallet alice"))
    with pytest.raises(InvalidSignature, match="canonical"):
        recovered(DIGEST, twin)


@pytest.mark.parametrize("v", [0, 1, 2, 3, 26, 29, 30, 31, 35, 36, 37, 255])
def test_v_is_27_or_28(v: int) -> None:
    with pytest.raises(InvalidSignature, match="canonical"):
        recovered(DIGEST, KEY.sign(DIGEST)[:64] + bytes([v]))


@pytest.mark.parametrize(
    ("start", "value"),
    [(0, 0), (0, CURVE_ORDER), (0, 2**256 - 1), (32, 0), (32, CURVE_ORDER // 2 + 1), (32, CURVE_ORDER - 1)],
    ids=["r=0", "r=n", "r=max", "s=0", "s=n/2+1", "s=n-1"],
)
def test_r_and_s_out_of_range_are_refused(start: int, value: int) -> None:
    signature = bytearray(KEY.sign(DIGEST))
    signature[start : start + 32] = value.to_bytes(32, "big")
    with pytest.raises(InvalidSignature, match="canonical"):
        recovered(DIGEST, bytes(signature))


def test_an_r_that_is_no_point_is_an_invalid_signature() -> None:
    no_point = (5).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x1b"  # 5³ + 7 is no square modulo p
    with pytest.raises(InvalidSignature, match="does not recover"):
        recovered(DIGEST, no_point)


@pytest.mark.parametrize("size", [0, 1, 64, 66, 130])
def test_a_signature_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(InvalidSignature, match="65 bytes"):
        recovered(DIGEST, bytes(size))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.binary(min_size=65, max_size=65))
def test_arbitrary_signatures_recover_or_are_invalid_and_nothing_else(digest: bytes, signature: bytes) -> None:
    with suppress(InvalidSignature):
        assert len(recovered(digest, signature)) == 20


def test_a_record_that_its_signer_signed_verifies() -> None:
    LICENSE.verify(DOMAIN)
    assert License.from_bytes(LICENSE.encoded()) == LICENSE


@pytest.mark.parametrize(
    "field",
    [
        {"genesis": policy(DAO.genesis).cid()},
        {"policy": DAO.genesis},
        {"issuer": wallet("mallory").address},
        {"licensee": wallet("mallory").address},
        {"epoch": 7},
        {"issued_at": NOW - 1},
        {"expires_at": NOW + 1},
        {"signature": BLANK_SIGNATURE},
        {"signature": mirrored(LICENSE.signature)},
    ],
    ids=lambda field: next(iter(field)),
)
def test_no_field_can_be_changed_after_signing(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidSignature):
        replace(LICENSE, **field).verify(DOMAIN)


@pytest.mark.parametrize(
    "domain",
    [Domain(chain_id=CHAIN_ID + 1, dao_id=DOMAIN.dao_id), Domain(chain_id=CHAIN_ID, dao_id=seeded("other DAO"))],
    ids=["chain", "dao"],
)
def test_a_signature_means_nothing_to_another_dao_or_chain(domain: Domain) -> None:
    with pytest.raises(InvalidSignature):
        LICENSE.verify(domain)


def test_a_record_is_signed_with_any_wallet_that_reads_typed_data() -> None:
    shown = json.loads(json.dumps(DOMAIN.typed_data(License.STRUCT, LICENSE.message())))
    signed = Account.sign_typed_data(seeded("wallet issuer"), full_message=shown)
    assert replace(LICENSE, signature=wallet_signature_from(bytes(signed.signature).hex())) == LICENSE


def test_only_the_claimed_signer_can_sign() -> None:
    with pytest.raises(InvalidSignature, match=wallet("issuer").address.hex()):
        LICENSE.signed_by(wallet("mallory"), DOMAIN)


def test_what_one_record_type_signs_no_other_type_accepts() -> None:
    asked = proposal(DAO.history, revoking(Scope.DAO))
    member = next(key for key in DAO.wallets if key.address == asked.proposer)
    answer = ballot(DAO.history, asked, member)
    grant = signed(DAO.history, member, replace(LICENSE, issuer=member.address))
    records: list[PersonSigned] = [asked, answer, grant]
    for record in records:
        record.verify(DOMAIN)
        for other in records:
            if other is not record:
                with pytest.raises(InvalidSignature):
                    replace(record, signature=other.signature).verify(DOMAIN)


@pytest.mark.parametrize("secret", [b"", b"\x01", bytes(31), bytes(33), bytes(32), b"\xff" * 32], ids=len)
def test_a_secret_out_of_range_is_misuse(secret: bytes) -> None:
    with pytest.raises(ValueError) as caught:
        SigningKey(secret)
    assert "ff" * 32 not in str(caught.value)


def test_a_signing_key_neither_prints_nor_travels() -> None:
    secret = seeded("wallet alice")
    for shown in (repr(KEY), str(KEY), f"{KEY}", f"{[KEY]}"):
        assert shown.strip("[]") == f"SigningKey(0x{KEY.address.hex()})"
        assert secret.hex() not in shown
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leave(KEY)
    assert not hasattr(KEY, "__dict__")


def test_keys_derived_for_two_purposes_differ_and_are_not_the_secret() -> None:
    derived = {KEY.derive(b"a"), KEY.derive(b"b"), wallet("bob").derive(b"a"), seeded("wallet alice")}
    assert len(derived) == 4
    assert KEY.derive(b"a") == KEY.derive(b"a")


EIP55 = [  # EIP-55, section "test cases"
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
]


@pytest.mark.parametrize("text", EIP55)
def test_an_address_reads_with_its_checksum_or_without_case(text: str) -> None:
    address = address_from(text)
    assert address_text(address) == text
    body = text[2:]
    assert address_from(body) == address_from("0x" + body.lower()) == address_from("0x" + body.upper()) == address


@pytest.mark.parametrize("text", EIP55[:4])
def test_one_letter_in_the_wrong_case_is_refused(text: str) -> None:
    for place in (n for n, letter in enumerate(text) if n > 1 and letter.isalpha()):
        with pytest.raises(MalformedObject, match="checksum"):
            address_from(text[:place] + text[place].swapcase() + text[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "0x", "0x00", "00" * 19, "00" * 21, "0x" + "0g" * 20, "0X" + "00" * 20, "0x0x" + "00" * 19, "00 " * 20]
)
def test_other_text_is_not_an_address(text: str) -> None:
    with pytest.raises(MalformedObject):
        address_from(text)


@settings(max_examples=200)
@given(st.text(max_size=44) | st.text("0123456789abcdefABCDEFxX ", max_size=44))
def test_arbitrary_text_is_an_address_or_malformed_and_nothing_else(text: str) -> None:
    with suppress(MalformedObject):
        assert len(address_from(text)) == 20


def test_a_private_key_pasted_for_an_address_is_not_repeated() -> None:
    pasted = seeded("wallet alice").hex()
    for text in (pasted, pasted + "z", "legal winner thank year wave sausage"):
        with pytest.raises(MalformedObject) as caught:
            address_from(text)
        assert text not in str(caught.value)


EIP2098 = [  # EIP-2098, section "example implementation in Python": message, r, s, v, yParityAndS
    (
        "Hello World",
        "68a020a209d3d56c46f38cc50a33f704f4a9a10a59377f8dd762ac66910e9b90",
        "7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064",
        "1b",
        "7e865ad05c4035ab5792787d4a0297a43617ae897930a6fe4d822b8faea52064",
    ),
    (
        "It's a small(er) world",
        "9328da16089fcba9bececa81663203989f2df5fe1faa6291a45381c81bd17f76",
        "139c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793",
        "1c",
        "939c6d6b623b42da56557e5e734a43dc83345ddfadec52cbe24d0cc64f550793",
    ),
]


@pytest.mark.parametrize(("message", "r", "s", "v", "parity_and_s"), EIP2098, ids=["v=27", "v=28"])
def test_a_compact_signature_is_the_long_one(message: str, r: str, s: str, v: str, parity_and_s: str) -> None:
    whole = bytes.fromhex(r + s + v)
    assert (
        bytes(Account.sign_message(encode_defunct(text=message), "0x" + "1234567890" * 6 + "1234").signature) == whole
    )
    assert wallet_signature_from("0x" + r + s + v) == wallet_signature_from("0x" + r + parity_and_s) == whole


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_every_form_of_a_wallets_signature_is_read_as_one(digest: bytes) -> None:
    signature = KEY.sign(digest)
    parity = signature[64] - 27
    compact = signature[:32] + bytes([signature[32] | parity << 7]) + signature[33:64]
    for form in (signature, signature[:64] + bytes([parity]), compact):
        for text in (form.hex(), "0x" + form.hex(), "0x" + form.hex().upper(), f"  0x{form.hex()}\n"):
            assert wallet_signature_from(text) == signature


def test_a_pasted_high_s_is_refused_and_never_put_right() -> None:
    twin = mirrored(KEY.sign(DIGEST))
    for text in (twin.hex(), (twin[:64] + bytes([twin[64] - 27])).hex()):
        with pytest.raises(InvalidSignature, match=r"high s.*sign again"):
            wallet_signature_from(text)
    just_high = (CURVE_ORDER // 2 + 1).to_bytes(32, "big")  # below 2^255, so the compact form can hold it too
    with pytest.raises(InvalidSignature, match="high s"):
        wallet_signature_from((twin[:32] + just_high).hex())
    assert wallet_signature_from((twin[:32] + (CURVE_ORDER // 2).to_bytes(32, "big")).hex())[64] == 27


@pytest.mark.parametrize("v", [2, 3, 26, 29, 31, 35, 36, 37, 255])
def test_a_pasted_v_is_0_1_27_or_28(v: int) -> None:
    with pytest.raises(InvalidSignature, match=f"v = {v};"):
        wallet_signature_from((KEY.sign(DIGEST)[:64] + bytes([v])).hex())


@pytest.mark.parametrize(
    "signature",
    [
        bytes(65),
        bytes(64),
        bytes(32) + KEY.sign(DIGEST)[32:],
        KEY.sign(DIGEST)[:32] + bytes(33),
        b"\xff" * 64 + b"\x00",
    ],
    ids=["blank", "blank compact", "r=0", "s=0", "above the order"],
)
def test_a_pasted_r_and_s_are_in_range(signature: bytes) -> None:
    with pytest.raises(InvalidSignature, match="not a signature"):
        wallet_signature_from(signature.hex())


@pytest.mark.parametrize(
    "text",
    [
        *("", "0x", "0x00", "00" * 63, "00" * 66, "0" * 131, "0x" * 2 + KEY.sign(DIGEST).hex(), "00" * 4096),
        *(KEY.sign(DIGEST).hex(" "), "0X" + KEY.sign(DIGEST).hex(), KEY.sign(DIGEST).hex()[:-1] + "g", "\u0660" * 130),
        KEY.sign(DIGEST).hex() + " " * 4096,
    ],
    ids=lambda text: f"{text[:8]} {len(text)}",
)
def test_other_text_is_not_a_signature(text: str) -> None:
    with pytest.raises(InvalidSignature):
        wallet_signature_from(text)


def test_a_private_key_pasted_for_a_signature_is_not_repeated() -> None:
    pasted = seeded("wallet alice").hex()
    for text in (pasted, pasted + "z", "legal winner thank year wave sausage", pasted * 9):
        with pytest.raises(InvalidSignature) as caught:
            wallet_signature_from(text)
        assert pasted not in str(caught.value)
        assert text not in str(caught.value)


@settings(max_examples=300)
@given(
    st.text(max_size=140)
    | st.binary(min_size=64, max_size=65).map(bytes.hex)
    | st.text("0123456789abcdefx ", max_size=140)
)
def test_arbitrary_text_is_one_canonical_signature_or_none(text: str) -> None:
    with suppress(InvalidSignature):
        signature = wallet_signature_from(text)
        assert signature == wallet_signature_from(signature.hex())
        assert signature[64] in (27, 28)
        assert 0 < int.from_bytes(signature[32:64], "big") <= CURVE_ORDER // 2
