"""SEV-SNP reports: captured ones, and variants that break one fact at a time (AMD 56860, 57230)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import (
    BindingMismatch,
    CertificateExpired,
    CertificateNotYetValid,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    FormUnsupported,
    SignatureInvalid,
)
from enclave.attestation.snp import SnpClaims, verified_snp
from enclave.attestation.snp_chain import product_of_cpu
from enclave.attestation.snp_report import SnpReport
from tests.enclave.attestation.amd import (
    TURIN_GUEST,
    VCEK_GUEST,
    VLEK_GUEST,
    Guest,
    ia5,
    integer,
    intermediate,
    issuers,
    pinned,
)
from tests.enclave.attestation.captured import Case, case, cases
from tests.people import DAY_S, NOW, seeded

GUESTS = {"VCEK": VCEK_GUEST, "VLEK": VLEK_GUEST, "Turin": TURIN_GUEST}


def verified_case(found: Case, **others: Any) -> SnpClaims:
    files = found.files
    parts: dict[str, Any] = {
        "signer": files.get("vcek") or files["vlek"],
        "intermediate": files.get("ask") or files["asvk"],
        "root": files["trust_anchor"],
        "at": found.at,
    }
    return verified_snp(files["snp_report"], **(parts | others))


class TestCaptured:
    @pytest.mark.parametrize("case_id", cases("snp"))
    def test_verdict_reason_and_claims_are_those_of_the_index(self, case_id: str) -> None:
        found = case(case_id)
        if found.verdict == "accept":
            assert verified_case(found).shown() == dict(found.claims)
        else:
            with pytest.raises(EvidenceRefused) as refused:
                verified_case(found)
            assert refused.value.reason == found.reason

    @pytest.mark.parametrize("case_id", ["snp-vlek-under-vcek-chain", "snp-milan-before-vcek-valid"])
    def test_what_a_refused_report_says_can_be_shown(self, case_id: str) -> None:
        found = case(case_id)
        assert SnpReport(found.files["snp_report"]).shown() == dict(found.claims)

    @settings(max_examples=60, deadline=None)
    @given(offset=st.integers(0, 1183), flip=st.integers(1, 255))
    def test_no_byte_of_a_report_is_free(self, offset: int, flip: int) -> None:
        found = case("snp-turin-v5-vcek")
        report = bytearray(found.files["snp_report"])
        report[offset] ^= flip
        with pytest.raises((SignatureInvalid, EvidenceMalformed)):
            verified_case(replace(found, files={**found.files, "snp_report": bytes(report)}))

    @pytest.mark.parametrize(
        ("tee_case", "parts"),
        [
            ("snp-milan-v3-vcek", {"reported_bl": 4, "reported_snp": 24, "reported_ucode": 219, "product": "Milan"}),
            ("snp-turin-v5-vcek", {"reported_fmc": 1, "launch_snp": 4, "committed_ucode": 81, "product": "Turin"}),
            ("snp-milan-v3-dstack", {"reported_snp": 23, "committed_snp": 24, "current_snp": 24, "launch_snp": 24}),
            ("snp-milan-v3-vlek", {"signed_by": "VLEK", "csp_id": "CN=cc-us-east-2.amazonaws.com", "vmpl": 1}),
            ("snp-milan-v2-debug-policy", {"debug": True, "migrate": False, "smt": True, "single_socket": False}),
        ],
    )
    def test_facts_name_what_a_policy_judges(self, tee_case: str, parts: dict[str, Any]) -> None:
        facts = verified_case(case(tee_case)).facts()
        assert {name: facts[name] for name in parts} == parts


class TestValid:
    @pytest.mark.parametrize("guest", GUESTS.values(), ids=GUESTS)
    def test_a_whole_guest_verifies(self, guest: Guest) -> None:
        claims = guest.verified()
        facts = claims.facts()
        assert claims.kind == "snp"
        assert (facts["product"], facts["signed_by"]) == (guest.product, guest.kind)
        assert facts["report_data"] == seeded("report data", 64)
        assert facts["measurement"] == seeded("measurement", 48)
        assert facts["vmpl"] == 1
        assert facts["chip_id"] == guest.chip_id

    @pytest.mark.parametrize("version", [2, 3, 4, 5])
    def test_every_version_in_the_wild(self, version: int) -> None:
        guest = VCEK_GUEST.with_(version=version, cpuid=bytes(3) if version == 2 else VCEK_GUEST.cpuid)
        fms = [None, None, None] if version == 2 else [0x19, 0x11, 1]
        assert guest.verified().shown()["cpuid_fms"] == fms

    @pytest.mark.parametrize("version", [4, 5])
    def test_mitigation_vectors_are_no_reserved_bytes(self, version: int) -> None:
        VCEK_GUEST.with_(version=version, patches={0x1F8: b"\xff" * 16}).verified()

    @pytest.mark.parametrize("name", ["Genoa", "Genoa-B2", "Bergamo-A1", "Siena-B0"])
    def test_genoas_root_certifies_its_relatives(self, name: str) -> None:
        assert (
            VCEK_GUEST.with_(product_name=name, cpuid=bytes((0x19, 0xA0, 1))).verified().facts()["product"] == "Genoa"
        )

    def test_a_host_may_mask_the_chip(self) -> None:
        certified = {"4": VCEK_GUEST.chip_id}
        assert not any(VCEK_GUEST.with_(chip_id=bytes(64), extensions=certified).verified().report.field("chip_id"))

    def test_a_host_may_forbid_the_vcek_where_a_vlek_signs(self) -> None:
        VLEK_GUEST.with_(flags=VLEK_GUEST.flags | 2).verified()

    @pytest.mark.parametrize(("fact", "bit"), [("smt", 16), ("migrate", 18), ("debug", 19), ("single_socket", 20)])
    def test_policy_bits_are_facts(self, fact: str, bit: int) -> None:
        for policy in (1 << 17, 1 << 17 | 1 << bit):
            assert VCEK_GUEST.with_(policy=policy).verified().facts()[fact] == bool(policy >> bit & 1)


SIGNED_WRONG: dict[str, tuple[Guest, type[EvidenceRefused]]] = {
    "version 1": (VCEK_GUEST.with_(version=1), FormUnsupported),
    "version 6": (VCEK_GUEST.with_(version=6), FormUnsupported),
    "no signature algorithm": (VCEK_GUEST.with_(sig_algo=0), SignatureInvalid),
    "another signature algorithm": (VCEK_GUEST.with_(sig_algo=2), SignatureInvalid),
    "reserved key flags": (VCEK_GUEST.with_(flags=1 << 5), EvidenceMalformed),
    "reserved after the flags": (VCEK_GUEST.with_(patches={0x4F: b"\1"}), EvidenceMalformed),
    "reserved after the CPU": (VCEK_GUEST.with_(patches={0x18B: b"\1"}), EvidenceMalformed),
    "CPU in version 2": (VCEK_GUEST.with_(version=2), EvidenceMalformed),
    "reserved after the current version": (VCEK_GUEST.with_(patches={0x1EB: b"\1"}), EvidenceMalformed),
    "reserved after the committed version": (VCEK_GUEST.with_(patches={0x1EF: b"\1"}), EvidenceMalformed),
    "reserved at the end": (VCEK_GUEST.with_(patches={0x29F: b"\1"}), EvidenceMalformed),
    "reserved after the vectors": (VCEK_GUEST.with_(patches={0x208: b"\1"}), EvidenceMalformed),
    "vectors in version 3": (VCEK_GUEST.with_(version=3, patches={0x1F8: b"\1"}), EvidenceMalformed),
    "policy without its constant bit": (VCEK_GUEST.with_(policy=0x10000), EvidenceMalformed),
    "policy with an unknown bit": (VCEK_GUEST.with_(policy=1 << 17 | 1 << 26), EvidenceMalformed),
    "says a VLEK signed": (VCEK_GUEST.with_(flags=1 << 2), BindingMismatch),
    "says a VCEK signed": (VLEK_GUEST.with_(flags=0), BindingMismatch),
    "says nothing signed": (VCEK_GUEST.with_(flags=7 << 2), BindingMismatch),
    "says a reserved key signed": (VCEK_GUEST.with_(flags=2 << 2), BindingMismatch),
    "says the VCEK must not sign": (VCEK_GUEST.with_(flags=2), BindingMismatch),
    "TCB above the certified": (VCEK_GUEST.with_(reported_tcb=bytes((7, 0, 0, 0, 0, 0, 25, 219))), BindingMismatch),
    "TCB below the certified": (VCEK_GUEST.with_(reported_tcb=bytes((6, 0, 0, 0, 0, 0, 24, 219))), BindingMismatch),
    "reserved TCB byte": (VCEK_GUEST.with_(reported_tcb=bytes((7, 0, 1, 0, 0, 0, 24, 219))), BindingMismatch),
    "FMC of another TCB": (TURIN_GUEST.with_(reported_tcb=bytes((2, 2, 3, 4, 0, 0, 0, 81))), BindingMismatch),
    "another product's CPU": (VCEK_GUEST.with_(cpuid=bytes((0x19, 1, 1))), BindingMismatch),
    "unknown CPU": (VCEK_GUEST.with_(cpuid=bytes((0x1B, 0, 0))), BindingMismatch),
    "another chip": (VCEK_GUEST.with_(extensions={"4": seeded("another", 64)}), BindingMismatch),
    "Turin chip of more bytes": (
        TURIN_GUEST.with_(chip_id=seeded("chip", 64), extensions={"4": seeded("chip", 64)[:8]}),
        BindingMismatch,
    ),
    "another product's name": (VCEK_GUEST.with_(product_name="Milan-B0"), ChainInvalid),
    "unknown product": (VCEK_GUEST.with_(product_name="Venice"), ChainInvalid),
    "no product": (VCEK_GUEST.with_(extensions={"2": None}), ChainInvalid),
    "product of another type": (VCEK_GUEST.with_(extensions={"2": b"\x0c\x05Genoa"}), ChainInvalid),
    "product with bytes after it": (VCEK_GUEST.with_(extensions={"2": ia5("Genoa") + b"\0"}), ChainInvalid),
    "product in other characters": (VCEK_GUEST.with_(extensions={"2": b"\x16\x05Geno\xe4"}), ChainInvalid),
    "VCEK without a chip": (VCEK_GUEST.with_(extensions={"4": None}), ChainInvalid),
    "VCEK of a short chip": (VCEK_GUEST.with_(extensions={"4": VCEK_GUEST.chip_id[:8]}), ChainInvalid),
    "VCEK with a provider": (VCEK_GUEST.with_(extensions={"5": ia5("cloud")}), ChainInvalid),
    "VLEK without a provider": (VLEK_GUEST.with_(extensions={"5": None}), ChainInvalid),
    "VLEK with a chip": (VLEK_GUEST.with_(extensions={"4": seeded("chip", 64)}), ChainInvalid),
    "VLEK of an empty provider": (VLEK_GUEST.with_(extensions={"5": b"\x16\x00"}), ChainInvalid),
    "no patch level": (VCEK_GUEST.with_(extensions={"3.8": None}), ChainInvalid),
    "negative patch level": (VCEK_GUEST.with_(extensions={"3.8": b"\x02\x01\x80"}), ChainInvalid),
    "patch level over a byte": (VCEK_GUEST.with_(extensions={"3.8": b"\x02\x02\x01\x00"}), ChainInvalid),
    "patch level padded": (VCEK_GUEST.with_(extensions={"3.1": b"\x02\x02\x00\x07"}), ChainInvalid),
    "patch level of another length": (VCEK_GUEST.with_(extensions={"3.1": b"\x02\x02\x07"}), ChainInvalid),
    "patch level of another type": (VCEK_GUEST.with_(extensions={"3.1": b"\x04\x01\x07"}), ChainInvalid),
    "reserved level certified": (VCEK_GUEST.with_(extensions={"3.4": integer(9)}), BindingMismatch),
    "signer of another name": (VCEK_GUEST.with_(leaf={"name": "SEV-OTHER"}), ChainInvalid),
    "VCEK named a VLEK": (VCEK_GUEST.with_(leaf={"name": "SEV-VLEK"}), ChainInvalid),
    "signer is an authority": (VCEK_GUEST.with_(leaf={"ca": True}), ChainInvalid),
}


@pytest.mark.parametrize(("guest", "refusal"), SIGNED_WRONG.values(), ids=SIGNED_WRONG)
def test_one_wrong_fact_is_refused_though_all_is_signed(guest: Guest, refusal: type[EvidenceRefused]) -> None:
    with pytest.raises(refusal) as refused:
        guest.verified()
    assert type(refused.value) is refusal


FORGED: dict[str, tuple[Guest, type[EvidenceRefused]]] = {
    "signature of zeros": (VCEK_GUEST.with_(forgeries={0x2A0: bytes(144)}), SignatureInvalid),
    "R beyond the curve": (VCEK_GUEST.with_(forgeries={0x2A0 + 48: b"\1"}), SignatureInvalid),
    "S beyond the curve": (VCEK_GUEST.with_(forgeries={0x2E8 + 71: b"\1"}), SignatureInvalid),
    "measurement": (VCEK_GUEST.with_(forgeries={0x90: bytes(48)}), SignatureInvalid),
    "version before the signature is looked at": (VCEK_GUEST.with_(forgeries={0: b"\x09"}), SignatureInvalid),
    "first unsigned byte": (VCEK_GUEST.with_(forgeries={0x330: b"\1"}), EvidenceMalformed),
    "last unsigned byte": (VCEK_GUEST.with_(forgeries={0x49F: b"\1"}), EvidenceMalformed),
}


@pytest.mark.parametrize(("guest", "refusal"), FORGED.values(), ids=FORGED)
def test_bytes_changed_after_signing_are_refused(guest: Guest, refusal: type[EvidenceRefused]) -> None:
    with pytest.raises(refusal):
        guest.verified()


@pytest.mark.parametrize("length", [0, 1, 0x2A0, 1183, 1185, 4096])
def test_a_report_has_one_length(length: int) -> None:
    signer = VCEK_GUEST.signer()
    ask, ark = issuers("Genoa", "VCEK")
    with pytest.raises(EvidenceMalformed, match=f"{length} bytes"):
        verified_snp(
            VCEK_GUEST.report().ljust(length, b"\0")[:length],
            signer=signer,
            intermediate=ask,
            root=ark,
            at=NOW,
            pinned=pinned(),
        )


def test_certificates_are_valid_at_a_time() -> None:
    guest = VCEK_GUEST.with_(leaf={"begins": NOW - DAY_S, "ends": NOW + DAY_S})
    with pytest.raises(CertificateNotYetValid):
        guest.verified(at=NOW - DAY_S - 1)
    with pytest.raises(CertificateExpired):
        guest.verified(at=NOW + DAY_S + 1)


@pytest.mark.parametrize("part", ["signer", "intermediate", "root"])
@settings(deadline=None)
@given(data=st.binary(max_size=1500))
def test_bytes_that_are_no_certificate_are_refused(part: str, data: bytes) -> None:
    with pytest.raises(EvidenceMalformed):
        VCEK_GUEST.verified(**{part: data})


@settings(max_examples=50, deadline=None)
@given(report=st.binary(min_size=1184, max_size=1184) | st.binary(max_size=2000))
def test_arbitrary_reports_are_refused_and_nothing_else(report: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        verified_snp(report, **PARTS)


@settings(deadline=None)
@given(report=st.binary(min_size=0x330, max_size=0x330))
def test_whatever_a_report_says_can_be_shown(report: bytes) -> None:
    shown = SnpReport(report.ljust(1184, b"\0")).shown()
    assert shown["measurement"] == report[0x90:0xC0].hex()
    assert shown["signing_key"] == report[0x48] >> 2 & 7


@settings(deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=3))
def test_a_changed_signers_certificate_is_refused(flips: list[tuple[int, int]]) -> None:
    signer = bytearray(PARTS["signer"])
    for offset, flip in flips:
        signer[offset % len(signer)] ^= flip
    if bytes(signer) != PARTS["signer"]:
        with pytest.raises(EvidenceRefused):
            verified_snp(REPORT, **(PARTS | {"signer": bytes(signer)}))


PARTS: dict[str, Any] = {
    "signer": VCEK_GUEST.signer(),
    "intermediate": issuers("Genoa", "VCEK")[0],
    "root": issuers("Genoa", "VCEK")[1],
    "at": NOW,
    "pinned": pinned(),
}
REPORT = VCEK_GUEST.report()


@pytest.mark.parametrize(
    ("family", "model", "product"),
    [
        (0x19, 0x00, "Milan"),
        (0x19, 0x0F, "Milan"),
        (0x19, 0x11, "Genoa"),
        (0x19, 0xA0, "Genoa"),
        (0x19, 0x20, None),  # a desktop part
        (0x19, 0x90, None),
        (0x1A, 0x02, "Turin"),
        (0x1A, 0x11, "Turin"),
        (0x1A, 0x50, None),
        (0x17, 0x31, None),
    ],
)
def test_a_cpu_tells_its_product(family: int, model: int, product: str | None) -> None:
    assert product_of_cpu(family, model) == product


def test_the_asvk_has_its_own_name() -> None:
    assert intermediate("Milan", "VLEK").name == "SEV-VLEK-Milan"
    with pytest.raises(ChainInvalid, match="issued by SEV-VLEK-Milan"):
        VLEK_GUEST.with_(leaf={"issuer": intermediate("Milan", "VCEK")}).verified(
            intermediate=issuers("Milan", "VCEK")[0]
        )
