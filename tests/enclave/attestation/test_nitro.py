"""Nitro documents: captured ones, and variants that break one fact at a time (AWS, attestation process)."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import (
    BindingMismatch,
    CertificateExpired,
    CertificateNotYetValid,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    KindUnsupported,
    SignatureInvalid,
)
from enclave.attestation.nitro import CLOCK_SKEW_S, verified_nitro
from enclave.attestation.nitro_document import CABUNDLE_MAX, PAYLOAD_BYTES_MAX, NitroDocument, NitroEnvelope
from tests.enclave.attestation.aws import BUNDLE, ENCLAVE, LEFT_OUT, PCRS, REGION, Enclave, verified
from tests.enclave.attestation.captured import case, cases
from tests.enclave.attestation.pki import p384
from tests.people import NOW, seeded


class TestCaptured:
    @pytest.mark.parametrize("case_id", cases("nitro"))
    def test_verdict_reason_and_claims_are_those_of_the_index(self, case_id: str) -> None:
        found = case(case_id)
        document = found.files["cose_sign1"]
        if found.verdict == "accept":
            assert verified_nitro(document, at=found.at).shown() == dict(found.claims)
        else:
            with pytest.raises(EvidenceRefused) as refused:
                verified_nitro(document, at=found.at)
            assert refused.value.reason == found.reason

    def test_a_tag_is_optional(self) -> None:
        found = case("nitro-2024-op-enclave")
        tagged = b"\xd2" + found.files["cose_sign1"]
        assert verified_nitro(tagged, at=found.at).shown() == dict(found.claims)

    def test_what_a_refused_document_says_can_be_shown(self) -> None:
        found = case("nitro-expired")
        assert NitroDocument.from_bytes(found.files["cose_sign1"]).shown() == dict(found.claims)

    def test_a_map_of_indefinite_length_is_read(self) -> None:
        found = case("nitro-2025-dstack")
        assert found.files["cose_sign1"][10:12] == b"\xbf\x69"
        facts = verified_nitro(found.files["cose_sign1"], at=found.at).facts()
        assert facts["pcr0"] == bytes.fromhex(found.claims["pcrs"]["0"])

    @settings(max_examples=60, deadline=None)
    @given(offset=st.integers(0, 4479), flip=st.integers(1, 255))
    def test_no_byte_of_a_document_is_free(self, offset: int, flip: int) -> None:
        found = case("nitro-2024-op-enclave-2")
        document = bytearray(found.files["cose_sign1"])
        document[offset] ^= flip
        with pytest.raises(EvidenceRefused):
            verified_nitro(bytes(document), at=found.at)

    @settings(max_examples=60, deadline=None)
    @given(offset=st.integers(0, 4479), bit=st.integers(0, 7))
    def test_a_flipped_bit_that_leaves_framing_and_certificates_is_not_signed(self, offset: int, bit: int) -> None:
        found = case("nitro-2024-op-enclave-2")
        document = bytearray(found.files["cose_sign1"])
        genuine = NitroEnvelope.from_bytes(bytes(document))
        document[offset] ^= 1 << bit
        try:
            envelope = NitroEnvelope.from_bytes(bytes(document))
        except EvidenceMalformed:
            return
        if (envelope.certificate, envelope.cabundle) == (genuine.certificate, genuine.cabundle):
            with pytest.raises(SignatureInvalid):
                verified_nitro(bytes(document), at=found.at)


class TestValid:
    def test_facts_name_registers_and_what_the_enclave_added(self) -> None:
        claims = ENCLAVE.with_(fields={"nonce": b"", "public_key": b"key"}).verified()
        facts = claims.facts()
        assert claims.kind == "nitro"
        assert {name: facts[name] for name in facts if name.startswith("pcr")} == {
            f"pcr{index}": value for index, value in PCRS.items()
        }
        assert (facts["user_data"], facts["nonce"], facts["public_key"]) == (seeded("report data", 64), b"", b"key")
        assert (facts["debug"], facts["timestamp_ms"]) == (False, NOW * 1000 + 250)

    def test_registers_that_say_nothing_are_facts_but_not_shown(self) -> None:
        shown = ENCLAVE.verified().shown()
        assert list(shown["pcrs"]) == ["0", "1", "2", "4", "8"]

    @pytest.mark.parametrize("name", ["public_key", "user_data", "nonce"])
    def test_optional_fields_may_be_missing_or_null(self, name: str) -> None:
        for value in (LEFT_OUT, None):
            assert ENCLAVE.with_(fields={name: value}).verified().facts()[name] is None

    @pytest.mark.parametrize(
        ("zeroed", "debug"), [((), False), ((0,), False), ((0, 1), False), ((1, 2), False), ((0, 1, 2), True)]
    )
    def test_debug_is_told_by_registers_0_to_2_all_zero(self, zeroed: tuple[int, ...], debug: bool) -> None:
        pcrs = PCRS | {index: bytes(48) for index in zeroed}
        assert ENCLAVE.with_(fields={"pcrs": pcrs}).verified().facts()["debug"] is debug

    def test_a_document_without_image_registers_counts_as_debug(self) -> None:
        facts = ENCLAVE.with_(fields={"pcrs": {3: seeded("role", 48)}}).verified().facts()
        assert facts["debug"] is True
        assert "pcr0" not in facts

    @pytest.mark.parametrize(
        ("field", "size"),
        [("user_data", 0), ("user_data", 512), ("nonce", 512), ("public_key", 1), ("public_key", 1024)],
    )
    def test_sizes_at_their_bounds(self, field: str, size: int) -> None:
        assert ENCLAVE.with_(fields={field: bytes(size)}).verified().facts()[field] == bytes(size)


def pcrs(**changed: Any) -> dict[str, Any]:
    return {"fields": {"pcrs": PCRS | {int(index[1:]): value for index, value in changed.items()}}}


TIMESTAMP = (NOW * 1000 + 250).to_bytes(8, "big")
MALFORMED: dict[str, Enclave] = {
    **{
        f"{name} missing": ENCLAVE.with_(fields={name: LEFT_OUT})
        for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
    },
    **{
        f"{name} null": ENCLAVE.with_(fields={name: None})
        for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
    },
    "unknown field": ENCLAVE.with_(fields={"other": 1}),
    "module_id empty": ENCLAVE.with_(fields={"module_id": ""}),
    "module_id of bytes": ENCLAVE.with_(fields={"module_id": b"i-0"}),
    "module_id too long": ENCLAVE.with_(fields={"module_id": "i" * 257}),
    "digest SHA256": ENCLAVE.with_(fields={"digest": "SHA256"}),
    "digest of bytes": ENCLAVE.with_(fields={"digest": b"SHA384"}),
    "timestamp zero": ENCLAVE.with_(fields={"timestamp": 0}),
    "timestamp negative": ENCLAVE.with_(fields={"timestamp": -1}),
    "timestamp true": ENCLAVE.with_(fields={"timestamp": True}),
    "timestamp of floating point": ENCLAVE.with_(fields={"timestamp": NOW * 1000.0}),
    "timestamp of a big number": ENCLAVE.with_(
        payload=ENCLAVE.encoded().replace(b"\x1b" + TIMESTAMP, b"\xc2\x48" + TIMESTAMP)
    ),
    "timestamp beyond 63 bits": ENCLAVE.with_(fields={"timestamp": 1 << 63}),
    "no registers": ENCLAVE.with_(fields={"pcrs": {}}),
    "register 32": ENCLAVE.with_(**pcrs(_32=bytes(48))),
    "register -1": ENCLAVE.with_(fields={"pcrs": PCRS | {-1: bytes(48)}}),
    "register named": ENCLAVE.with_(fields={"pcrs": PCRS | {"0": bytes(48)}}),
    "register true": ENCLAVE.with_(fields={"pcrs": {True: bytes(48)}}),
    "register of SHA-256": ENCLAVE.with_(**pcrs(_0=bytes(32))),
    "register of SHA-512": ENCLAVE.with_(**pcrs(_0=bytes(64))),
    "register of text": ENCLAVE.with_(**pcrs(_0="0" * 48)),
    "registers in a list": ENCLAVE.with_(fields={"pcrs": [bytes(48)]}),
    "cabundle empty": ENCLAVE.with_(fields={"cabundle": []}),
    "cabundle too long": ENCLAVE.with_(fields={"cabundle": [BUNDLE[0]] * (CABUNDLE_MAX + 1)}),
    "cabundle of text": ENCLAVE.with_(fields={"cabundle": ["root"]}),
    "cabundle of an empty certificate": ENCLAVE.with_(fields={"cabundle": [b""]}),
    "cabundle of no certificate": ENCLAVE.with_(fields={"cabundle": [b"\x30\x00"]}),
    "certificate too long": ENCLAVE.with_(fields={"certificate": bytes(1025)}),
    "certificate with bytes after it": ENCLAVE.with_(fields={"certificate": BUNDLE[0] + b"\0"}),
    "public_key empty": ENCLAVE.with_(fields={"public_key": b""}),
    "public_key too long": ENCLAVE.with_(fields={"public_key": bytes(1025)}),
    "user_data too long": ENCLAVE.with_(fields={"user_data": bytes(513)}),
    "nonce too long": ENCLAVE.with_(fields={"nonce": bytes(513)}),
    "nonce of text": ENCLAVE.with_(fields={"nonce": "nonce"}),
    "payload empty": ENCLAVE.with_(payload=b""),
    "payload a list": ENCLAVE.with_(payload=cbor2.dumps([1])),
    "payload with bytes after it": ENCLAVE.with_(payload=ENCLAVE.encoded() + b"\0"),
    "payload cut short": ENCLAVE.with_(payload=ENCLAVE.encoded()[:-1]),
    "payload too long": ENCLAVE.with_(payload=bytes(PAYLOAD_BYTES_MAX + 1)),
    "payload of a tag": ENCLAVE.with_(payload=b"\xd8\x2a" + ENCLAVE.encoded()),
    "payload of a set": ENCLAVE.with_(payload=b"\xd9\x01\x02\x81\x01"),
    "payload that refers to itself": ENCLAVE.with_(payload=b"\xd8\x1c\x81\xd8\x1d\x00"),
    "payload of a field twice": ENCLAVE.with_(payload=b"\xa2" + cbor2.dumps("digest") * 4),
    "payload nested deep": ENCLAVE.with_(payload=b"\x81" * 100 + b"\x01"),
    "register twice": ENCLAVE.with_(payload=ENCLAVE.encoded().replace(b"\x01\x58\x30", b"\x00\x58\x30", 1)),
    "another algorithm": ENCLAVE.with_(protected=cbor2.dumps({1: -7})),
    "no algorithm": ENCLAVE.with_(protected=cbor2.dumps({})),
    "a header more": ENCLAVE.with_(protected=cbor2.dumps({1: -35, 4: b"key"})),
    "a header in longer form": ENCLAVE.with_(protected=bytes.fromhex("a101390022")),
}


@pytest.mark.parametrize("enclave", MALFORMED.values(), ids=MALFORMED)
def test_one_malformed_field_is_refused_though_all_is_signed(enclave: Enclave) -> None:
    with pytest.raises(EvidenceMalformed):
        enclave.verified()


NEEDED_FIRST = ("certificate", "cabundle", "payload")  # to find who signed
FRAMED_OTHERWISE = ("timestamp of a big number",)  # a tag
LATER = [name for name in MALFORMED if not name.startswith(NEEDED_FIRST) and name not in FRAMED_OTHERWISE]


@pytest.mark.parametrize("name", LATER)
def test_what_is_malformed_is_judged_only_once_it_is_known_who_signed_it(name: str) -> None:
    protected, unprotected, payload, _ = MALFORMED[name].parts()
    with pytest.raises(SignatureInvalid):
        verified(cbor2.dumps([protected, unprotected, payload, ENCLAVE.parts()[3]]))


@pytest.mark.parametrize("others", [{"pcrs": LEFT_OUT}, {}], ids=["alone", "beside an enclave's"])
def test_a_document_of_a_nitro_tpm_is_told_from_an_enclaves(others: dict[str, Any]) -> None:
    document = ENCLAVE.with_(fields={"nitrotpm_pcrs": PCRS, **others}).document()
    for reader in (verified, NitroDocument.from_bytes):
        with pytest.raises(KindUnsupported, match="NitroTPM"):
            reader(document)


def envelopes() -> dict[str, bytes]:
    protected, unprotected, payload, signature = ENCLAVE.parts()
    whole = cbor2.dumps([protected, unprotected, payload, signature])
    return {
        "nothing": b"",
        "bytes after it": whole + b"\0",
        "cut short": whole[:-1],
        "tagged twice": b"\xd2\xd2" + whole,
        "tagged as something else": b"\xd1" + whole,
        "tag in longer form": b"\xd8\x12" + whole,
        "list in longer form": b"\x98\x04" + whole[1:],
        "list of indefinite length": b"\x9f" + whole[1:] + b"\xff",
        "three parts": cbor2.dumps([protected, unprotected, payload]),
        "five parts": cbor2.dumps([protected, unprotected, payload, signature, b""]),
        "an unprotected header": cbor2.dumps([protected, {1: -35}, payload, signature]),
        "unprotected a list": cbor2.dumps([protected, [], payload, signature]),
        "protected a map": cbor2.dumps([{1: -35}, unprotected, payload, signature]),
        "payload detached": cbor2.dumps([protected, unprotected, None, signature]),
        "signature short": cbor2.dumps([protected, unprotected, payload, signature[:-1]]),
        "signature long": cbor2.dumps([protected, unprotected, payload, signature + b"\0"]),
    }


@pytest.mark.parametrize(("name", "document"), envelopes().items(), ids=envelopes())
def test_an_envelope_has_one_form(name: str, document: bytes) -> None:
    with pytest.raises(EvidenceMalformed):
        verified(document)


@pytest.mark.parametrize(
    ("length", "told"), [(PAYLOAD_BYTES_MAX + 1, "over 16385"), (20_000, "too long"), (0, "over 0")]
)
def test_a_payload_is_bounded_before_it_is_parsed(length: int, told: str) -> None:
    with pytest.raises(EvidenceMalformed, match=told):
        ENCLAVE.with_(payload=bytes(length)).verified()


@pytest.mark.parametrize(
    "enclave",
    [
        pytest.param(ENCLAVE.with_(fields={"cabundle": list(BUNDLE[1:])}), id="root missing"),
        pytest.param(ENCLAVE.with_(fields={"cabundle": list(BUNDLE[:-1])}), id="last intermediate missing"),
        pytest.param(ENCLAVE.with_(fields={"cabundle": [BUNDLE[0], *BUNDLE[2:]]}), id="intermediate missing"),
        pytest.param(ENCLAVE.with_(fields={"cabundle": list(reversed(BUNDLE))}), id="leaf's issuer first"),
        pytest.param(ENCLAVE.with_(fields={"cabundle": [*BUNDLE, BUNDLE[1]]}), id="one more at the end"),
        pytest.param(ENCLAVE.with_(fields={"cabundle": [BUNDLE[0], *BUNDLE]}), id="root twice"),
        pytest.param(ENCLAVE.with_(leaf={"ca": True, "usage": None}), id="signer is an authority"),
        pytest.param(ENCLAVE.with_(leaf={"issuer": REGION}), id="issued elsewhere"),
        pytest.param(ENCLAVE.with_(leaf={"signer": p384("forger")}), id="issued by a forger"),
        pytest.param(ENCLAVE.with_(key=ec.derive_private_key(7, ec.SECP256R1())), id="P-256"),
    ],
)
def test_one_wrong_certificate_is_refused(enclave: Enclave) -> None:
    with pytest.raises(ChainInvalid):
        enclave.verified()


def test_the_signature_is_the_certified_keys() -> None:
    protected, unprotected, payload, _ = ENCLAVE.parts()
    for signature in (bytes(96), b"\xff" * 96, ENCLAVE.with_(fields={"nonce": b"other"}).parts()[3]):
        with pytest.raises(SignatureInvalid):
            verified(cbor2.dumps([protected, unprotected, payload, signature]))


class TestTime:
    def test_the_chain_is_verified_at_the_callers_time(self) -> None:
        with pytest.raises(CertificateExpired):
            ENCLAVE.verified(at=NOW + 3 * 3600 + 1)
        with pytest.raises(CertificateNotYetValid):
            ENCLAVE.verified(at=NOW - 61)
        ENCLAVE.verified(at=NOW + 3 * 3600)
        ENCLAVE.verified(at=NOW - 60)

    def test_a_document_may_be_ahead_of_our_clock_a_little(self) -> None:
        ENCLAVE.with_(fields={"timestamp": (NOW + CLOCK_SKEW_S) * 1000 + 999}).verified()
        with pytest.raises(BindingMismatch, match="after now"):
            ENCLAVE.with_(fields={"timestamp": (NOW + CLOCK_SKEW_S + 1) * 1000}).verified()

    @pytest.mark.parametrize("made", [NOW - 61, NOW + 3 * 3600 + 1])
    def test_a_document_is_made_while_its_signer_is_certified(self, made: int) -> None:
        with pytest.raises(BindingMismatch, match="while its certificate is valid"):
            ENCLAVE.with_(fields={"timestamp": made * 1000}).verified()


@settings(deadline=None)
@given(st.binary(max_size=5000))
def test_arbitrary_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for document in (data, b"\x84\x44\xa1\x01\x38\x22\xa0" + data):
        with pytest.raises(EvidenceMalformed):
            verified(document)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers() | st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(name=st.sampled_from(["module_id", "timestamp", "digest", "pcrs", "certificate", "cabundle"]), value=anything)
def test_fields_of_any_shape_are_refused_or_well_formed(name: str, value: Any) -> None:
    payload = cbor2.dumps(cbor2.loads(ENCLAVE.encoded()) | {name: value})
    document = cbor2.dumps([bytes.fromhex("a1013822"), {}, payload, bytes(96)])
    try:
        found = NitroDocument.from_bytes(document)
    except EvidenceMalformed:
        return
    assert found.module_id
    assert found.timestamp_ms > 0
    assert all(len(register) == 48 for register in found.pcrs.values())
