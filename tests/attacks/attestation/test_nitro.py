"""Attacks with Nitro evidence: forged roots, enclaves that play authority, spliced and kept documents."""

from __future__ import annotations

from itertools import permutations

import cbor2
import pytest

from enclave.attestation.errors import (
    CertificateExpired,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    SignatureInvalid,
)
from enclave.attestation.nitro import verified_nitro
from enclave.attestation.roots import AMD_MILAN, AWS_NITRO, NVIDIA_DEVICE
from tests.enclave.attestation.aws import BUNDLE, ENCLAVE, HOST, LEAF, PCRS, PROTECTED, REGION, ZONE, Enclave, verified
from tests.enclave.attestation.captured import case
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384, pin
from tests.people import DAY_S, NOW, seeded

ACCEPTED = ("nitro-2025-dstack", "nitro-2024-op-enclave", "nitro-2024-op-enclave-2", "nitro-2022-debug-pcr0-zero")
ATTACKER = p384("attacker")


class TestForgedVendors:
    def test_a_chain_that_only_looks_like_awss(self) -> None:
        with pytest.raises(ChainInvalid, match="root"):
            verified_nitro(ENCLAVE.document(), at=NOW)

    def test_awss_own_root_over_certificates_it_never_issued(self) -> None:
        found = case("nitro-2024-op-enclave")
        genuine = cbor2.loads(cbor2.loads(found.files["cose_sign1"])[2])["cabundle"]
        for kept in range(1, len(genuine) + 1):
            document = ENCLAVE.with_(fields={"cabundle": [*genuine[:kept], *BUNDLE[kept:]]}).document()
            with pytest.raises(ChainInvalid):
                verified_nitro(document, at=found.at)

    def test_another_vendors_pinned_root_certifies_no_enclave(self) -> None:
        pinned = {AWS_NITRO: bytes(32), AMD_MILAN: pin(BUNDLE[0]), NVIDIA_DEVICE: pin(BUNDLE[0])}
        with pytest.raises(ChainInvalid, match="root"):
            verified_nitro(ENCLAVE.document(), at=NOW, pinned=pinned)


class TestEnclavesThatPlayAuthority:
    """An enclave's certificate is genuine; what it issues is not."""

    def mine(self, issuer: Subject, above: list[bytes]) -> Enclave:
        return ENCLAVE.with_(key=ATTACKER, leaf={"issuer": issuer}, fields={"cabundle": above})

    def test_a_genuine_leaf_issues_nothing(self) -> None:
        with pytest.raises(ChainInvalid):
            self.mine(LEAF, [*BUNDLE, LEAF.der()]).verified()

    @pytest.mark.parametrize("bound", ["region", "zone", "host"])
    def test_every_bound_on_the_chains_length_stops_one_more_authority(self, bound: str) -> None:
        authority = LEAF.with_(ca=True, usage=CA_USAGE)
        levels = [level if level.name == bound else level.with_(path_length=None) for level in (REGION, ZONE, HOST)]
        unbound = [level.with_(path_length=None).der() for level in levels]
        self.mine(authority, [BUNDLE[0], *unbound, authority.der()]).verified()
        with pytest.raises(ChainInvalid, match=r"allows \d below it"):
            self.mine(authority, [BUNDLE[0], *(level.der() for level in levels), authority.der()]).verified()


class TestSplicedDocuments:
    @pytest.mark.parametrize(("mine", "theirs"), list(permutations(ACCEPTED, 2)))
    def test_one_captured_payload_under_the_signature_of_another(self, mine: str, theirs: str) -> None:
        found, other = case(mine), case(theirs)
        parts = cbor2.loads(found.files["cose_sign1"])
        parts[3] = cbor2.loads(other.files["cose_sign1"])[3]
        with pytest.raises(SignatureInvalid):
            verified_nitro(cbor2.dumps(parts), at=found.at)

    @pytest.mark.parametrize("name", ["user_data", "nonce", "public_key", "module_id", "timestamp", "pcrs"])
    def test_a_genuine_document_with_one_field_replaced(self, name: str) -> None:
        found = case("nitro-2024-op-enclave")
        parts = cbor2.loads(found.files["cose_sign1"])
        payload = cbor2.loads(parts[2])
        replaced = {"module_id": "i-0", "timestamp": payload["timestamp"] + 1, "pcrs": PCRS}.get(name, b"mine")
        parts[2] = cbor2.dumps(payload | {name: replaced})
        with pytest.raises(SignatureInvalid):
            verified_nitro(cbor2.dumps(parts), at=found.at)

    @pytest.mark.parametrize(
        ("found_at", "flip"),
        [
            (b"SHA384", 0x01),
            (b"SHA384", 0x80),  # no longer UTF-8
            (b"\x00\x58\x30", 0x01),  # the same register twice
            (b"\x0f\x58\x30", 0x20),  # a register before the first
            (b"timestamp", 0x01),
            (b"module_id", 0x80),
            (b"user_data", 0x02),
            (b"\xa1\x01\x38\x22", 0x01),
            (b"\x38\x22", 0x20),
            (b"\x22\xa0", 0x02),
        ],
    )
    def test_a_genuine_document_with_one_bit_flipped(self, found_at: bytes, flip: int) -> None:
        found = case("nitro-2024-op-enclave")
        document = bytearray(found.files["cose_sign1"])
        document[document.index(found_at)] ^= flip
        with pytest.raises(SignatureInvalid):
            verified_nitro(bytes(document), at=found.at)

    def test_a_payload_signed_as_something_else(self) -> None:
        payload = ENCLAVE.encoded()
        verified(as_signed(["Signature1", PROTECTED, b"", payload], payload))
        for structure in (["Signature", PROTECTED, b"", payload], ["Signature1", PROTECTED, b"aad", payload]):
            with pytest.raises(SignatureInvalid):
                verified(as_signed(structure, payload))

    @pytest.mark.parametrize("header", [{}, {1: -7}, {1: None}, {1: "none"}, {1: -35, 2: [1]}])
    def test_another_algorithm_in_either_header(self, header: dict[int, object]) -> None:
        protected, _, payload, signature = ENCLAVE.parts()
        with pytest.raises(EvidenceMalformed):
            ENCLAVE.with_(protected=cbor2.dumps(header)).verified()
        if header:
            with pytest.raises(EvidenceMalformed):
                verified(cbor2.dumps([protected, header, payload, signature]))

    @pytest.mark.parametrize("scalar", [0, 1, (1 << 384) - 1])
    def test_degenerate_signatures(self, scalar: int) -> None:
        parts = ENCLAVE.parts()
        parts[3] = scalar.to_bytes(48, "big") * 2
        with pytest.raises(SignatureInvalid):
            verified(cbor2.dumps(parts))


class TestKeptDocuments:
    def test_a_document_is_worth_nothing_after_its_signer(self) -> None:
        for later in (3 * 3600 + 1, DAY_S, 3650 * DAY_S):
            with pytest.raises(CertificateExpired):
                ENCLAVE.verified(at=NOW + later)

    def test_a_document_cannot_say_it_is_younger_than_its_signer(self) -> None:
        made_tomorrow = ENCLAVE.with_(fields={"timestamp": (NOW + DAY_S) * 1000})
        for at in (NOW, NOW + DAY_S):
            with pytest.raises(EvidenceRefused):
                made_tomorrow.verified(at=at)


def test_an_enclave_in_debug_mode_cannot_hide_it() -> None:
    zeros = {index: bytes(48) for index in range(16)}
    for pcrs in (zeros, zeros | {3: seeded("role", 48)}, {8: seeded("signer", 48)}):
        assert ENCLAVE.with_(fields={"pcrs": pcrs}).verified().facts()["debug"] is True


def as_signed(structure: list[object], payload: bytes) -> bytes:
    return ENCLAVE.with_(payload=payload, structure=structure).document()
