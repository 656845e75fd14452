"""GPU attestation reports: captured ones as the index says, and each rule of format and appraisal, one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import (
    CertificateExpired,
    CertificateNotYetValid,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    KindUnsupported,
    MeasurementMismatch,
    NonceMismatch,
    SignatureInvalid,
)
from enclave.attestation.nvidia import NvidiaClaims, require_reference, verified_nvidia
from enclave.attestation.rim import DRIVER, VBIOS, verified_rim
from tests.enclave.attestation.nvidia_gpu import BLOCKS, FWID, NONCE, Gpu, blackwell, pem, pinned
from tests.enclave.attestation.pki import Key, p384, rsa_key
from tests.people import DAY_S, NOW, seeded
from tests.shared_data import shared

CASES = (
    "nvgpu-h100-550",
    "nvgpu-h100-550-wrong-nonce",
    "nvgpu-h100-mut-measurement",
    "nvgpu-h100-mut-signature",
    "nvgpu-h100-bad-chain-2",
    "nvgpu-h100-bad-chain-3",
    "nvgpu-h100-bad-chain-4",
    "nvgpu-blackwell-575",
    "nvgpu-h100-535-with-vbios-rim",
    "nvgpu-h100-535-rim-mismatch",
    "nvgpu-h100-580",
    "nvgpu-h100-590-multi-0",
    "nvgpu-h100-590-multi-1",
    "nvgpu-h100-590-multi-2",
    "nvgpu-h100-590-multi-3",
)


REPORT, CHAIN, VBIOS_RIM = "spdm_measurements_request_and_response", "device_cert_chain", "vbios_rim"


def cases() -> Mapping[str, Any]:
    index = json.loads(shared("evidence/index.json").read_bytes())
    return {case["id"]: case for case in index["cases"] if case["tee"] == "nvgpu"}


def files(case: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a case's files by role, its mutations applied."""
    found: dict[str, bytes] = {}
    for file in case["files"]:
        content = bytearray(shared(f"evidence/{file['path']}").read_bytes())
        for mutation in case.get("mutations", ()):
            if file["path"].endswith("/" + mutation["file"]):
                content[mutation["offset"]] ^= int(mutation["xor"], 16)
        found[file["role"]] = bytes(content)
    return found


def appraised(case: Mapping[str, Any]) -> NvidiaClaims:
    at = int(datetime.fromisoformat(case["verification_time"]).timestamp())
    found, nonce = files(case), case.get("params", {}).get("nonce")
    expected = bytes.fromhex(nonce) if nonce else None
    claims = verified_nvidia(found[REPORT], found[CHAIN], nonce=expected, at=at)
    if VBIOS_RIM in found:
        matched = require_reference(claims, [verified_rim(found[VBIOS_RIM], at=at)], kinds={VBIOS})
        assert matched == case["params"]["rim_active"]
    return claims


def test_every_captured_report_is_tried() -> None:
    assert sorted(cases()) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_captured_reports_come_out_as_the_index_says(name: str) -> None:
    case = cases()[name]
    if case["expected"]["strict_verdict"] == "accept":
        assert appraised(case).shown() == case["expected_claims"]
        return
    with pytest.raises(EvidenceRefused) as refused:
        appraised(case)
    assert refused.value.reason == case["expected"]["reason_class"]


def test_a_mismatch_names_the_index_and_both_values() -> None:
    with pytest.raises(MeasurementMismatch, match="rim index 9: found 7f3e9382785513c1, wanted 059b32e712a153f4"):
        appraised(cases()["nvgpu-h100-535-rim-mismatch"])


def test_four_gpus_of_one_host_are_four_devices() -> None:
    facts = [appraised(cases()[f"nvgpu-h100-590-multi-{place}"]).facts() for place in range(4)]
    assert len({found["device"] for found in facts}) == len({found["serial"] for found in facts}) == 4
    assert all(found["protected_pcie"] is True and found["chip"] == "GH100" for found in facts)


def test_a_trailing_nul_of_the_collector_changes_nothing() -> None:
    case = cases()["nvgpu-h100-550"]
    found, at = files(case), int(datetime.fromisoformat(case["verification_time"]).timestamp())
    claims = verified_nvidia(found[REPORT] + b"\0", found[CHAIN], nonce=None, at=at)
    assert claims.shown() == case["expected_claims"]


def test_a_driver_manifest_for_another_version_does_not_serve_a_captured_report() -> None:
    claims = appraised(cases()["nvgpu-h100-550"])
    at = int(datetime.fromisoformat("2025-06-01T00:00:00Z").timestamp())
    driver = verified_rim(shared("evidence/nvrim/nvrim-driver-550/rim.swidtag").read_bytes(), at=at)
    with pytest.raises(MeasurementMismatch, match=r"driver rim: found one for 550\.144\.03, wanted 550\.90\.07"):
        require_reference(claims, [driver], kinds={DRIVER})


def test_hopper_claims() -> None:
    claims = Gpu().claims()
    facts = claims.facts()
    assert (claims.kind, claims.architecture, claims.chip, claims.fwid) == ("nvidia", "hopper", "GH100", FWID)
    assert (facts["measurement_3"], facts["measurement_4"]) == (BLOCKS[3], bytes(48))
    assert (facts["driver_version"], facts["vbios_version"]) == ("550.90.07", "96.00.9f.00.01")
    assert claims.is_nvdec0_on is True and claims.is_pcie_protected is None


def test_blackwell_claims() -> None:
    claims = blackwell().claims()
    assert (claims.architecture, claims.chip, claims.vbios_version) == ("blackwell", "GB100", "97.00.88.00.0f")


def test_the_chip_is_the_report_s_own_word_before_the_certificate_s() -> None:
    assert blackwell().with_field(35, b"GB102\0").claims().chip == "GB102"


def test_two_devices_differ_though_they_run_the_same() -> None:
    one, other = Gpu().claims(), Gpu(key=p384("another fmc")).claims()
    assert one.device != other.device
    assert one.blocks == other.blocks


def test_a_report_is_shown_without_a_nonce() -> None:
    assert Gpu().claims(nonce=None).nonce == NONCE


@pytest.mark.parametrize("nonce", [seeded("another", 32), NONCE[:31], NONCE + b"\0", b""])
def test_another_nonce_is_refused(nonce: bytes) -> None:
    with pytest.raises(NonceMismatch):
        Gpu().claims(nonce=nonce)


@pytest.mark.parametrize("kind", [15, 17, 18])
def test_a_report_without_a_part_number_claims_none(kind: int) -> None:
    shown = Gpu().with_field(kind, None).claims().shown()
    assert shown[{15: "chip_sku", 17: "project", 18: "project_sku"}[kind]] is None


@pytest.mark.parametrize("place", [0, 4, 36, 37, 45, 60, 200, -500, -97, -96, -48, -1])
def test_a_flipped_bit_anywhere_is_refused(place: int) -> None:
    report = bytearray(Gpu().report())
    report[place] ^= 1
    with pytest.raises(SignatureInvalid):
        verified_nvidia(bytes(report), Gpu().chain(), nonce=None, at=NOW, pinned=pinned())


def test_zero_is_no_signature() -> None:
    with pytest.raises(SignatureInvalid):
        verified_nvidia(Gpu().unsigned() + bytes(96), Gpu().chain(), nonce=NONCE, at=NOW, pinned=pinned())


def test_a_certificate_is_valid_for_its_time() -> None:
    with pytest.raises(CertificateExpired):
        Gpu().claims(at=NOW + 31 * DAY_S)
    with pytest.raises(CertificateNotYetValid):
        Gpu().claims(at=NOW - 31 * DAY_S)


def test_the_root_is_nvidia_s() -> None:
    with pytest.raises(ChainInvalid, match="NVIDIA Device Identity CA"):
        verified_nvidia(Gpu().report(), Gpu().chain(), nonce=NONCE, at=NOW)


@pytest.mark.parametrize(
    "places", [(0, 1, 2, 3), (1, 2, 3, 4), (0,), (0, 2, 1, 3, 4), (4, 3, 2, 1, 0), (0, 1, 2, 3, 3)]
)
def test_a_chain_is_five_certificates_in_order(places: Sequence[int]) -> None:
    subjects = Gpu().subjects()
    with pytest.raises(ChainInvalid):
        verified_nvidia(
            Gpu().report(), pem([subjects[place] for place in places]), nonce=NONCE, at=NOW, pinned=pinned()
        )


def test_a_chain_without_its_provisioner_is_not_a_gpu_s() -> None:
    leaf, rom, _, identity, root = Gpu().subjects()
    rom = rom.with_(issuer=identity)
    with pytest.raises(ChainInvalid, match="chain of 4 certificates, wanted a GPU's 5"):
        verified_nvidia(
            Gpu().report(), pem([leaf.with_(issuer=rom), rom, identity, root]), nonce=NONCE, at=NOW, pinned=pinned()
        )


def test_a_chain_that_is_none_is_malformed() -> None:
    with pytest.raises(EvidenceMalformed):
        verified_nvidia(Gpu().report(), b"certificates", nonce=NONCE, at=NOW, pinned=pinned())


@pytest.mark.parametrize("key", [rsa_key("gpu"), ec.derive_private_key(7, ec.SECP256R1())], ids=["RSA", "P-256"])
def test_the_signing_key_is_a_p384_key(key: Key) -> None:
    subjects = Gpu().subjects()
    subjects[0] = subjects[0].with_(key=key, signer=subjects[1].key)
    with pytest.raises(ChainInvalid, match="P-384"):
        verified_nvidia(Gpu().report(), pem(subjects), nonce=NONCE, at=NOW, pinned=pinned())


@pytest.mark.parametrize("model", ["LS10 A01 BROM", "GH100 A01 FSP BROM", "TU102 A01 GSP BROM", "GSP"])
def test_another_device_of_nvidia_s_is_no_gpu(model: str) -> None:
    with pytest.raises(KindUnsupported):
        Gpu(model=model).claims()


@given(data=st.binary(max_size=600))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        verified_nvidia(data, data, nonce=NONCE, at=NOW)


@settings(max_examples=200)
@given(place=st.integers(0, 10_000), value=st.binary(max_size=4), kept=st.integers(0, 4))
def test_a_changed_report_is_refused(place: int, value: bytes, kept: int) -> None:
    report, chain = REPORT_BYTES, CHAIN_BYTES
    place %= len(report)
    changed = report[:place] + value + report[place + kept :]
    if changed in (report, report + b"\0"):
        return
    with pytest.raises(EvidenceRefused):
        verified_nvidia(changed, chain, nonce=NONCE, at=NOW, pinned=pinned())


@settings(max_examples=200)
@given(place=st.integers(0, 10_000), value=st.binary(max_size=4), kept=st.integers(0, 4))
def test_a_changed_chain_is_refused_or_says_the_same(place: int, value: bytes, kept: int) -> None:
    place %= len(CHAIN_BYTES)
    changed = CHAIN_BYTES[:place] + value + CHAIN_BYTES[place + kept :]
    try:
        claims = verified_nvidia(REPORT_BYTES, changed, nonce=NONCE, at=NOW, pinned=pinned())
    except EvidenceRefused:
        return
    assert claims == Gpu().claims()  # a change of white space or outside the certificates


REPORT_BYTES, CHAIN_BYTES = Gpu().report(), Gpu().chain()
