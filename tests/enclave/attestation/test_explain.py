"""What evidence is, told from its bytes alone, and why it would be accepted or not."""

from __future__ import annotations

import base64
import json
import os
import ssl
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.attestation.bundle import DstackBundle, GpuBundle, GpuDevice, IntelBundle, SnpBundle
from enclave.attestation.evidence_parts import Material
from enclave.attestation.explain import ADVICE, FRESH, Explanation, explained
from enclave.attestation.index import time_from
from enclave.attestation.recognize import Form, Found, Unrecognized, recognized
from enclave.attestation.simulated import UnsafeSimulatedAttester
from tests.deployment import deployed
from tests.enclave.attestation.pki import Subject, p384
from tests.shared_data import shared
from vault.errors import MalformedObject
from vault.evidence import Evidence
from vault.machine import MachineKey


@cache
def captured(id: str) -> tuple[dict[str, bytes], int]:
    """Return a captured case's files by role, and its time."""
    cases = json.loads(shared("evidence/index.json").read_text())["cases"]
    (case,) = [case for case in cases if case["id"] == id]
    at = time_from(case["verification_time"])
    assert at is not None
    return {file["role"]: shared(f"evidence/{file['path']}").read_bytes() for file in case["files"]}, at


def told(id: str, role: str, *helping: str, at: int = 0, nonce: bytes | None = None) -> Explanation:
    """Explain the file of a role, with the help of files of other roles."""
    files, usual = captured(id)
    found = recognized(files[role], name=role)
    material = Material.of(recognized(files[name], name=name) for name in helping)
    (explanation,) = explained(found, material, at=at or usual, nonce=nonce)
    return explanation


@pytest.mark.parametrize(
    ("id", "role", "form"),
    [
        ("tdx-v4-b0c06f-uptodate", "quote", Form.TDX),
        ("tdx-v5-td15-uptodate", "quote", Form.TDX),
        ("sgx-v3-icx-swhardening", "quote", Form.SGX),
        ("snp-milan-v2-vcek", "snp_report", Form.SNP),
        ("snp-turin-v5-vcek", "snp_report", Form.SNP),
        ("nitro-2025-dstack", "cose_sign1", Form.NITRO),
        ("nvgpu-h100-550", "spdm_measurements_request_and_response", Form.NVIDIA),
        ("nvrim-driver-550", "rim", Form.RIM),
        ("tdx-v4-b0c06f-uptodate", "dcap_collateral_v3", Form.COLLATERAL),
        ("dstack-quote-report-eventlog", "dstack_event_log", Form.EVENT_LOG),
        ("nvgpu-h100-550", "device_cert_chain", Form.CERTIFICATES),
        ("snp-milan-v2-vcek", "ask", Form.CERTIFICATES),
    ],
)
def test_a_file_is_known_by_what_it_holds_in_binary_hex_and_base64(id: str, role: str, form: Form) -> None:
    data = captured(id)[0][role]
    assert recognized(data, name="x").form is form
    if form not in (Form.COLLATERAL, Form.EVENT_LOG, Form.RIM):
        assert recognized(data.hex().encode() + b"\n", name="x").form is form
        assert recognized(base64.encodebytes(data), name="x").form is form


def test_a_tagged_nitro_document_is_one() -> None:
    document = captured("nitro-2025-dstack")[0]["cose_sign1"]
    assert recognized(b"\xd2" + document.removeprefix(b"\xd2"), name="x").form is Form.NITRO


def test_dstacks_answer_holds_quote_and_log() -> None:
    files, at = captured("dstack-quote-report-eventlog")
    answer = {"quote": files["quote"].hex(), "event_log": files["dstack_event_log"].decode(), "report_data": ""}
    found = recognized(json.dumps(answer).encode(), name="x")
    collateral = recognized(files["dcap_collateral_v3"], name="x")
    (explanation,) = explained(found, Material.of([collateral]), at=at, nonce=None)
    assert (explanation.kind, explanation.is_accepted) == ("dstack", True)
    assert next(iter(explanation.claims)) == "compose_hash"


@pytest.mark.parametrize(
    ("id", "role", "helping", "signer"),
    [
        ("tdx-v4-b0c06f-uptodate", "quote", ("dcap_collateral_v3",), "FMSPC B0C06F000000"),
        ("dstack-quote-report-eventlog", "quote", ("dcap_collateral_v3", "dstack_event_log"), "FMSPC 90C06F000000"),
        ("snp-milan-v3-vcek", "snp_report", ("vcek", "ask", "trust_anchor"), "VCEK of an AMD Milan"),
        ("snp-milan-v3-vlek", "snp_report", ("vlek", "asvk", "trust_anchor"), "VLEK on an AMD Milan"),
        ("nitro-2025-dstack", "cose_sign1", (), "Nitro hypervisor of i-0827e799ec9232d44"),
        ("nvrim-driver-550", "rim", (), "NVIDIA"),
    ],
)
def test_genuine_evidence_is_accepted_with_what_verifies_it(
    id: str, role: str, helping: tuple[str, ...], signer: str
) -> None:
    explanation = told(id, role, *helping)
    assert explanation.is_verified and explanation.is_accepted and explanation.reason is None
    assert signer in explanation.signed_by
    assert explanation.claims


@pytest.mark.parametrize(
    ("id", "role", "helping", "missing"),
    [
        ("tdx-v4-b0c06f-uptodate", "quote", (), "collateral is missing"),
        ("sgx-v3-icx-swhardening", "quote", (), "collateral is missing"),
        ("snp-milan-v3-vcek", "snp_report", (), "give VCEK or VLEK, ASK or ASVK, ARK"),
        ("snp-milan-v3-vcek", "snp_report", ("vcek", "trust_anchor"), "give ASK or ASVK with"),
        ("snp-milan-v3-vcek", "snp_report", ("ask", "vcek"), "give ARK with"),
        ("nvgpu-h100-550", "spdm_measurements_request_and_response", (), "certificate chain is missing"),
    ],
)
def test_what_is_missing_is_said_and_the_claims_are_nobodys(
    id: str, role: str, helping: tuple[str, ...], missing: str
) -> None:
    explanation = told(id, role, *helping)
    assert missing in explanation.told
    assert not explanation.is_verified and not explanation.is_accepted and not explanation.signed_by
    assert explanation.claims


@pytest.mark.parametrize(
    ("id", "role", "helping", "at", "reason"),
    [
        ("tdx-v4-b0c06f-uptodate", "quote", ("dcap_collateral_v3",), 1_800_000_000, "collateral_expired"),
        ("tdx-v4-gcp-outofdate", "quote", ("dcap_collateral_v3",), 0, "tcb_status"),
        ("tdx-v4-debug-td", "quote", ("dcap_collateral_v3",), 0, "debug_enabled"),
        ("snp-milan-v2-debug-policy", "snp_report", ("vcek", "ask", "trust_anchor"), 0, "debug_enabled"),
        ("snp-milan-wrong-ask-genoa", "snp_report", ("vcek", "ask", "trust_anchor"), 0, "cert_chain"),
        ("nitro-2025-dstack", "cose_sign1", (), 1_800_000_000, "cert_expired"),
        (
            "dstack-eventlog-payload-swapped",
            "quote",
            ("dcap_collateral_v3", "dstack_event_log"),
            0,
            "event_log_mismatch",
        ),
        ("nvrim-driver-550-bad-signature", "rim", (), 0, "signature"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(id: str, role: str, helping: tuple[str, ...], at: int, reason: str) -> None:
    explanation = told(id, role, *helping, at=at)
    assert not explanation.is_accepted
    assert explanation.reason == reason
    assert explanation.told and explanation.advice == ADVICE[reason]


def test_a_manifest_at_hand_is_held_against_a_gpus_report() -> None:
    role, chain = "spdm_measurements_request_and_response", "device_cert_chain"
    fits = told("nvgpu-h100-535-with-vbios-rim", role, chain, "vbios_rim")
    assert any("only its vbios" in caveat for caveat in fits.caveats)
    assert any("not compared" in caveat for caveat in told("nvgpu-h100-535-with-vbios-rim", role, chain).caveats)
    assert told("nvgpu-h100-535-rim-mismatch", role, chain, "vbios_rim").reason == "measurement_mismatch"


@pytest.mark.parametrize(
    ("id", "role", "helping", "claim", "reason"),
    [
        ("tdx-v4-b0c06f-uptodate", "quote", ("dcap_collateral_v3",), "report_data", "binding"),
        ("snp-milan-v3-vcek", "snp_report", ("vcek", "ask", "trust_anchor"), "report_data", "binding"),
        (
            "nvgpu-h100-550",
            "spdm_measurements_request_and_response",
            ("device_cert_chain",),
            "request_nonce",
            "nonce_mismatch",
        ),
    ],
)
def test_freshness_is_checked_where_the_question_is_known(
    id: str, role: str, helping: tuple[str, ...], claim: str, reason: str
) -> None:
    unasked = told(id, role, *helping)
    assert FRESH in unasked.caveats
    nonce = bytes.fromhex(str(unasked.claims[claim]))
    asked = told(id, role, *helping, nonce=nonce)
    assert asked.is_verified and asked.reason is None and FRESH not in asked.caveats
    assert asked.established[-1] == "made for what --nonce says"
    assert told(id, role, *helping, nonce=bytes([nonce[0] ^ 1]) + nonce[1:]).reason == reason


@pytest.mark.parametrize("helping", [("device_cert_chain",), ("device_cert_chain", "vbios_rim")])
def test_a_gpu_whose_firmware_was_not_all_compared_is_genuine_and_not_accepted(helping: tuple[str, ...]) -> None:
    found = told("nvgpu-h100-535-with-vbios-rim", "spdm_measurements_request_and_response", *helping)
    assert found.is_verified and not found.is_accepted and found.reason is None
    assert "NVIDIA GH100" in found.signed_by
    assert found.established[0] == "genuine" and "firmware not compared" in found.established[1]
    assert "no --nonce" in found.established[2] and "--rim" in found.advice


def test_what_was_not_judged_is_said_of_each_kind() -> None:
    for id, role, helping in (
        ("tdx-v4-b0c06f-uptodate", "quote", ("dcap_collateral_v3",)),
        ("snp-milan-v3-vcek", "snp_report", ("vcek", "ask", "trust_anchor")),
        ("nitro-2025-dstack", "cose_sign1", ()),
    ):
        assert told(id, role, *helping).established[-1] == "not known to be fresh (no --nonce)"
    assert (
        "firmware not judged" in told("snp-milan-v3-vcek", "snp_report", "vcek", "ask", "trust_anchor").established[2]
    )


def test_a_bundles_own_nonce_is_held_against_the_one_that_was_asked_with() -> None:
    files, at = captured("nvgpu-h100-535-with-vbios-rim")
    asked = bytes.fromhex(
        str(told("nvgpu-h100-535-with-vbios-rim", "spdm_measurements_request_and_response").claims["request_nonce"])
    )
    device = GpuDevice(report=files["spdm_measurements_request_and_response"], chain=files["device_cert_chain"])
    bundle = GpuBundle(nonce=asked, devices=(device,), rims=(files["vbios_rim"],)).encoded()

    def reason(nonce: bytes | None) -> str | None:
        (explanation,) = explained(recognized(bundle, name="x"), Material(), at=at, nonce=nonce)
        return explanation.reason

    assert reason(bytes(32)) == "nonce_mismatch"
    assert reason(asked) == reason(None) != "nonce_mismatch"  # its driver's manifest is not there


def test_a_nitro_document_without_nonce_answers_no_question() -> None:
    assert told("nitro-2025-dstack", "cose_sign1", nonce=b"\1").reason == "nonce_mismatch"


def evidence_of(id: str) -> tuple[Evidence, int]:
    files, at = captured(id)
    match id.partition("-")[0]:
        case "tdx":
            bundle = IntelBundle(quote=files["quote"], collateral=files["dcap_collateral_v3"])
            return Evidence(kind="tdx", document=bundle.encoded()), at
        case "dstack":
            log = DstackBundle(
                quote=files["quote"], collateral=files["dcap_collateral_v3"], event_log=files["dstack_event_log"]
            )
            return Evidence(kind="dstack", document=log.encoded()), at
        case _:
            chain = SnpBundle(
                report=files["snp_report"],
                signer=files["vcek"],
                intermediate=files["ask"],
                root=files["trust_anchor"],
            )
            return Evidence(kind="snp", document=chain.encoded()), at


@pytest.mark.parametrize("id", ["tdx-v4-b0c06f-uptodate", "dstack-quote-report-eventlog", "snp-milan-v3-vcek"])
def test_our_own_evidence_brings_all_that_verifies_it(id: str) -> None:
    evidence, at = evidence_of(id)
    for data in (evidence.encoded(), evidence.document):
        (explanation,) = explained(recognized(data, name="x"), Material(), at=at, nonce=None)
        assert (explanation.kind, explanation.is_accepted) == (evidence.kind, True)


def test_evidence_with_gpus_is_explained_machine_first() -> None:
    evidence, at = evidence_of("snp-milan-v3-vcek")
    files, _ = captured("nvgpu-h100-535-with-vbios-rim")
    device = GpuDevice(report=files["spdm_measurements_request_and_response"], chain=files["device_cert_chain"])
    gpu = GpuBundle(nonce=sha256(b"another").digest(), devices=(device,), rims=(files["vbios_rim"],))
    both = Evidence(kind="snp", document=evidence.document, gpu=gpu.encoded())
    machine, device_told = explained(recognized(both.encoded(), name="x"), Material(), at=at, nonce=None)
    assert machine.is_accepted
    assert device_told.kind == "nvidia" and not device_told.is_accepted


def test_simulated_evidence_is_never_accepted() -> None:
    evidence = UnsafeSimulatedAttester(MachineKey(bytes(32)), bytes(48)).evidence(bytes(64))
    for data in (evidence.encoded(), evidence.document):
        (explanation,) = explained(recognized(data, name="x"), Material(), at=0, nonce=None)
        assert explanation.is_verified and not explanation.is_accepted
        assert (explanation.kind, explanation.reason) == ("simulated", "unsupported")
        assert "simulator" in explanation.signed_by


def test_a_receipt_brings_the_evidence_it_rests_on(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        with deployment.client() as client:
            file = client.search("rain", k=1).file
    (explanation,) = explained(recognized(file.encoded(), name="x"), Material(), at=0, nonce=None)
    assert explanation.what.startswith("Coffer receipt")
    assert (explanation.kind, explanation.is_verified, explanation.is_accepted) == ("simulated", True, False)
    assert explanation.claims["report_data"] == file.binding.report_data().hex()


def test_of_several_issuers_the_signers_own_is_taken() -> None:
    files, at = captured("snp-milan-v3-vcek")
    another = captured("snp-milan-wrong-ask-genoa")[0]["ask"]
    found = recognized(files["snp_report"], name="x")
    for order in ((files["ask"], another), (another, files["ask"])):
        helping = [*order, files["vcek"], files["trust_anchor"]]
        (explanation,) = explained(found, Material.of(recognized(der, name="x") for der in helping), at=at, nonce=None)
        assert explanation.is_accepted


def test_two_collaterals_are_one_too_many() -> None:
    files, _ = captured("tdx-v4-b0c06f-uptodate")
    other, _ = captured("tdx-v5-td15-uptodate")
    found = [recognized(data["dcap_collateral_v3"], name="x") for data in (files, other)]
    with pytest.raises(MalformedObject, match="2 files"):
        Material.of(found)
    assert Material.of([found[0], found[0]]).collateral == files["dcap_collateral_v3"]


@given(st.binary(max_size=3000) | st.text(max_size=200).map(str.encode))
def test_bytes_of_no_kind_are_refused_by_name(data: bytes) -> None:
    try:
        found = recognized(data, name="their file")
    except Unrecognized as error:
        assert "their file" in str(error) and len(str(error)) < 200
    else:
        for explanation in explained(found, Material(), at=0, nonce=None):
            assert not explanation.is_accepted


def test_every_reason_has_advice() -> None:
    errors = Path(__file__).parents[3] / "enclave" / "attestation" / "errors.py"
    reasons = {line.split('"')[1] for line in errors.read_text().splitlines() if line.startswith("    reason = ")}
    assert reasons == set(ADVICE)
    assert os.linesep not in "".join(ADVICE.values())


@pytest.mark.parametrize("form", ["der", "pem"])
def test_a_certificate_named_in_bits_is_one_sentence(form: str) -> None:
    der = Subject(name="bits", key=p384("bits")).der()
    odd = der.replace(b"\x55\x04\x03\x0c\x04bits", b"\x55\x04\x03\x03\x04\x00its")
    assert odd != der
    given = odd if form == "der" else ssl.DER_cert_to_PEM_cert(odd).encode()
    with pytest.raises(MalformedObject, match="a file of certificates cannot be read"):
        Material.of([Found(form=Form.CERTIFICATES, data=given)])
