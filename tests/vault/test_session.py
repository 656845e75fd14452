"""What a session's signature, MAC and commitments cover (rules E6, R1, R4, R5)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.codec import INTEGER_MAX
from vault.errors import AccessDenied, InvalidSignature, MalformedObject
from vault.keys import SecretKey
from vault.machine import BLANK, MachineKey
from vault.question import TEXT_CHARS_MAX, Query, text_commitment, vector_commitment
from vault.session import SessionOpening, request_mac, session_mac_key, verify_mac

KEY = MachineKey(seeded("session key"))
CID = Cid.of(DAG_CBOR, b"something")
OTHER: dict[type, Any] = {bytes: seeded("other"), int: 5, str: "other", Cid: Cid.of(DAG_CBOR, b"other")}
OPENING = SessionOpening(
    genesis=CID,
    license=CID,
    delegation=CID,
    session_key=KEY.public,
    tls_key=seeded("tls"),
    instance=seeded("instance"),
    ledger=seeded("ledger"),
    server_nonce=seeded("nonce"),
    expires_at=1,
    spend_cap=1,
    suite="suite",
    sealed_secret=seeded("sealed", 64),
    signature=BLANK,
).signed_by(KEY)
QUERY = Query(request=seeded("request"), policy=CID, text="tide", k=2, salt=seeded("salt"))
SECRET = SecretKey(seeded("secret"))
MAC: dict[str, Any] = {
    "session": bytes(16),
    "sequence": 1,
    "body": QUERY.body_digest(),
    "previous_receipt": bytes(32),
}


def changed(record: Any, name: str) -> Any:
    value = getattr(record, name)
    other = seeded("other", 64) if name in ("sealed_secret", "signature") else OTHER[type(value)]
    return replace(record, **{name: other})


@pytest.mark.parametrize("name", [field.name for field in fields(OPENING) if field.init])
def test_an_opening_is_signed_in_every_field(name: str) -> None:
    OPENING.verify()
    with pytest.raises(InvalidSignature):
        changed(OPENING, name).verify()


@pytest.mark.parametrize("name", [field.name for field in fields(OPENING) if field.init and field.name != "signature"])
def test_the_mac_key_depends_on_every_field_of_the_opening(name: str) -> None:
    assert session_mac_key(SECRET, OPENING) == session_mac_key(SECRET, replace(OPENING))
    assert session_mac_key(SECRET, OPENING) != session_mac_key(SECRET, changed(OPENING, name))
    assert session_mac_key(SECRET, OPENING) != session_mac_key(SecretKey(bytes(32)), OPENING)


@pytest.mark.parametrize(
    ("name", "other"),
    [("session", b"o" * 16), ("sequence", 2), ("body", seeded("other")), ("previous_receipt", seeded("other"))],
)
def test_the_mac_covers_place_body_and_the_receipt_before(name: str, other: Any) -> None:
    mac = request_mac(seeded("key"), **MAC)
    verify_mac(mac, request_mac(seeded("key"), **MAC))
    for different in (request_mac(seeded("key"), **(MAC | {name: other})), request_mac(seeded("another"), **MAC)):
        with pytest.raises(AccessDenied):
            verify_mac(mac, different)


def test_a_cut_or_empty_mac_is_refused() -> None:
    mac = request_mac(seeded("key"), **MAC)
    for given in (mac[:-1], b"", mac + b"\x00"):
        with pytest.raises(AccessDenied):
            verify_mac(mac, given)


def test_fields_of_the_mac_cannot_run_into_one_another() -> None:
    one = request_mac(seeded("key"), session=b"ab", sequence=1, body=b"c", previous_receipt=b"")
    other = request_mac(seeded("key"), session=b"a", sequence=1, body=b"bc", previous_receipt=b"")
    assert one != other


@pytest.mark.parametrize("name", ["request", "policy", "text", "k", "salt"])
def test_a_retry_has_to_equal_in_every_field(name: str) -> None:
    assert changed(QUERY, name).body_digest() != QUERY.body_digest()


def test_a_question_is_never_printed() -> None:
    assert "tide" not in repr(QUERY)


@pytest.mark.parametrize("text", ["", "x" * (TEXT_CHARS_MAX + 1), "\ud800"])
def test_a_text_out_of_bounds_is_no_question(text: str) -> None:
    with pytest.raises(MalformedObject):
        replace(QUERY, text=text)


@pytest.mark.parametrize("sequence", [-1, INTEGER_MAX + 1])
def test_a_sequence_out_of_bounds_has_no_mac(sequence: int) -> None:
    with pytest.raises(MalformedObject):
        request_mac(seeded("key"), **(MAC | {"sequence": sequence}))


def test_commitments_hide_and_bind() -> None:
    salt, other = seeded("salt"), seeded("other")
    assert text_commitment(salt, "tide") != text_commitment(other, "tide")
    assert text_commitment(salt, "tide") != text_commitment(salt, "tides")
    assert text_commitment(salt, "tide") != vector_commitment(salt, b"tide")  # one is not the other
