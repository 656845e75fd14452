"""TDX quotes: captured ones as the index says, and made ones with one fact broken at a time."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.claims import Claims
from enclave.attestation.errors import (
    AttributesRefused,
    BindingMismatch,
    CertificateExpired,
    CertificateMalformed,
    CertificateNotYetValid,
    CertificateRevoked,
    ChainInvalid,
    CollateralExpired,
    CollateralInvalid,
    CollateralMismatch,
    CollateralNotYetValid,
    DebugEnabled,
    EvidenceMalformed,
    EvidenceRefused,
    MeasurementMismatch,
    SignatureInvalid,
    TcbNotMatched,
    TcbRefused,
)
from enclave.attestation.intel import TCB_STATUSES
from enclave.attestation.tdx import TdxClaims, verified_tdx
from tests.enclave.attestation.captured import Case, case, cases
from tests.enclave.attestation.intel import (
    CPU_SVN,
    EVALUATION,
    ISSUED,
    NEXT_UPDATE,
    PCE_SVN,
    PCK,
    PCK_CA,
    PINNED,
    ROOT,
    TCB_DATE,
    TCB_SIGNER,
    TD,
    TD15,
    TD15_EX,
    TD_OFFSETS,
    TDS,
    Machine,
    level,
    moment,
)
from tests.enclave.attestation.intel_pki import pem, sgx_extension
from tests.people import DAY_S, NOW, seeded

GENUINE = "tdx-v4-b0c06f-uptodate"
OTHER_PLATFORM = "tdx-v4-gcp-cos113-uptodate"
SEPT_VE_DISABLE = 1 << 28


def verified_case(found: Case, **others: Any) -> TdxClaims:
    parts: dict[str, Any] = {"quote": found.files["quote"], "collateral": found.files["dcap_collateral_v3"]}
    return verified_tdx(**(parts | {"at": found.at} | others))


def attributes(value: int) -> dict[str, bytes]:
    return {"td_attributes": value.to_bytes(8, "little")}


class TestCaptured:
    @pytest.mark.parametrize("case_id", cases("tdx"))
    def test_verdict_reason_and_claims_are_those_of_the_index(self, case_id: str) -> None:
        found = case(case_id)
        if found.verdict == "accept":
            shown = verified_case(found).shown()
            assert {name: shown[name] for name in found.claims} == dict(found.claims)
        else:
            with pytest.raises(EvidenceRefused) as refused:
                verified_case(found)
            assert refused.value.reason == found.reason

    @pytest.mark.parametrize(
        ("case_id", "status", "advisories", "dated"),
        [
            (GENUINE, "UpToDate", [], "2024-03-13"),
            ("tdx-v5-td15-uptodate", "UpToDate", [], "2024-11-13"),
            (
                "tdx-v4-gcp-outofdate",
                "OutOfDate",
                ["INTEL-SA-00960", "INTEL-SA-00982", "INTEL-SA-00986"],
                "2023-08-09",
            ),
        ],
    )
    def test_the_platforms_standing_is_a_claim(
        self, case_id: str, status: str, advisories: list[str], dated: str
    ) -> None:
        claims = verified_case(case(case_id))
        assert (claims.shown()["tcb_status"], claims.shown()["advisory_ids"]) == (status, advisories)
        assert claims.facts()["advisory_ids"] == ",".join(advisories)
        assert moment(claims.platform.tcb_date).startswith(dated)

    @settings(max_examples=60, deadline=None)
    @given(offset=st.integers(0, 4935), flip=st.integers(1, 255))
    def test_no_byte_of_a_quote_that_carries_a_claim_is_free(self, offset: int, flip: int) -> None:
        found = case(GENUINE)
        quote = bytearray(found.files["quote"])
        quote[offset] ^= flip
        if offset < 48 + 584 + 4 + 128:
            with pytest.raises(EvidenceRefused):
                verified_case(found, quote=bytes(quote))
        else:
            try:
                claims = verified_case(found, quote=bytes(quote))
            except EvidenceRefused:
                return
            assert claims == verified_case(found)  # a signature, or the ends of lines in PEM, can be written otherwise

    def test_another_platforms_collateral_does_not_do(self) -> None:
        found, other = case(GENUINE), case(OTHER_PLATFORM)
        collateral = other.files["dcap_collateral_v3"]
        with pytest.raises(CollateralInvalid, match="FMSPC"):
            verified_case(found, collateral=collateral, at=found.at + 4 * DAY_S)

    def test_an_enclaves_collateral_does_not_do(self) -> None:
        found, enclave = case(GENUINE), case("sgx-v3-config-and-swhardening")
        with pytest.raises(CollateralInvalid):
            verified_case(found, collateral=enclave.files["dcap_collateral_v3"])

    def test_parts_of_two_quotes_do_not_verify(self) -> None:
        found, other = case(GENUINE), case(OTHER_PLATFORM)
        body = slice(48, 48 + 584)
        quote = bytearray(found.files["quote"])
        quote[body] = other.files["quote"][body]
        with pytest.raises(SignatureInvalid):
            verified_case(found, quote=bytes(quote))

    @pytest.mark.parametrize("case_id", [GENUINE, OTHER_PLATFORM, "tdx-v5-td15-uptodate"])
    @pytest.mark.parametrize("shift", [-1, 0])
    def test_collateral_counts_within_its_window_only(self, case_id: str, shift: int) -> None:
        found = case(case_id)
        collateral = json.loads(found.files["dcap_collateral_v3"])
        documents = [json.loads(collateral[name]) for name in ("tcb_info", "qe_identity")]
        begins = max(document["issueDate"] for document in documents)
        at = int(datetime.fromisoformat(begins).timestamp()) + shift
        if shift < 0:
            with pytest.raises(CollateralNotYetValid):
                verified_case(found, at=at)
        else:
            assert verified_case(found, at=at) == verified_case(found)


class TestClaims:
    @pytest.mark.parametrize("machine", TDS.values(), ids=TDS)
    def test_every_field_is_a_fact_and_is_shown(self, machine: Machine) -> None:
        claims: Claims = machine.verified_td()
        facts, shown = claims.facts(), claims.shown()
        for name, content in machine.td_body().items():
            if name == "vmid":
                assert facts[name] == shown[name] == content[0]
            else:
                assert facts[name] == content and shown[name] == content.hex()
        assert claims.kind == "tdx" and (shown["quote_version"], shown["tee_type"]) == (machine.version, "0x81")
        assert (facts["fmspc"], shown["fmspc"]) == (bytes.fromhex("a0c0ffee0001"), "A0C0FFEE0001")
        assert (facts["debug"], facts["pck_ca"], facts["tcb_status"]) == (False, "platform", "UpToDate")
        assert (facts["tcb_evaluation_data_number"], facts["tcb_date"]) == (EVALUATION, TCB_DATE)
        assert set(facts) <= set(shown)
        assert [name for name in TD_OFFSETS if name not in facts] == [
            name for name, place in TD_OFFSETS.items() if place >= machine.td_size
        ]
        json.dumps(shown)

    @pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
    def test_the_lower_evaluation_number_counts(self, document: str) -> None:
        older = TD.with_(**{document: {"tcbEvaluationDataNumber": EVALUATION - 3}})
        assert older.verified_td().platform.tcb_evaluation_data_number == EVALUATION - 3

    @pytest.mark.parametrize(
        "status", sorted(TCB_STATUSES - {"TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded"})
    )
    def test_a_status_other_than_revoked_refuses_nothing_here(self, status: str) -> None:
        claims = TD.with_(status=status, advisories=("INTEL-SA-00002", "INTEL-SA-00001")).verified_td()
        assert claims.platform.tcb_status == status
        assert claims.shown()["advisory_ids"] == ["INTEL-SA-00001", "INTEL-SA-00002"]

    @pytest.mark.parametrize("component", ["status", "module_status", "qe_status"])
    def test_revoked_is_refused_whichever_component_is(self, component: str) -> None:
        assert TD.with_(**{component: "OutOfDate"}).verified_td().platform.tcb_status == "OutOfDate"
        with pytest.raises(TcbRefused):
            TD.with_(**{component: "Revoked"}).verified_td()

    def test_grace_counts_from_the_oldest_component_that_lags(self) -> None:
        older = TCB_DATE - 100 * DAY_S
        assert TD.with_(qe_date=older).verified_td().platform.tcb_date == TCB_DATE
        assert TD.with_(qe_date=older, qe_status="OutOfDate").verified_td().platform.tcb_date == older
        assert TD.with_(qe_date=NOW, qe_status="OutOfDate").verified_td().platform.tcb_date == TCB_DATE

    @pytest.mark.parametrize("machine", [TD15, TD15_EX], ids=["1.5", "1.5ex"])
    def test_a_td_launched_before_its_module_was_updated_is_named(self, machine: Machine) -> None:
        lagging = level({"isvsvn": 2}, "OutOfDate")
        current = level({"isvsvn": 4}, "UpToDate")
        modules = json.loads(machine.described()[0])["tdxModuleIdentities"]
        modules[0]["tcbLevels"] = [current, lagging]
        updated = {"tee_tcb_svn2": bytes((4, 1, 2)).ljust(16, b"\0")}
        machine = machine.with_(tcb_info={"tdxModuleIdentities": modules}, body=updated)
        assert machine.verified_td().platform.tcb_status == "TDRelaunchAdvised"


WRONG: dict[str, tuple[Machine, type[EvidenceRefused]]] = {
    "debug": (TD.with_(body=attributes(SEPT_VE_DISABLE | 1)), DebugEnabled),
    "profiling": (TD.with_(body=attributes(SEPT_VE_DISABLE | 1 << 4)), AttributesRefused),
    "reserved attribute": (TD.with_(body=attributes(SEPT_VE_DISABLE | 1 << 40)), AttributesRefused),
    "no SEPT_VE_DISABLE": (TD.with_(body=attributes(0)), AttributesRefused),
    "migratable": (TD.with_(body=attributes(SEPT_VE_DISABLE | 1 << 29)), AttributesRefused),
    "service TD extension": (TD.with_(body=attributes(SEPT_VE_DISABLE | 1 << 17)), AttributesRefused),
    "service TD": (TD15.with_(body={"mr_service_td": seeded("service", 48)}), AttributesRefused),
    "initial service TD": (TD15_EX.with_(body={"init_service_td_hash": seeded("service", 48)}), AttributesRefused),
    "current service TD": (TD15_EX.with_(body={"cur_service_td_hash": bytes(47) + b"\x01"}), AttributesRefused),
    "TDX module's signer": (TD.with_(body={"mr_signer_seam": seeded("signer", 48)}), MeasurementMismatch),
    "TDX module's attributes": (TD.with_(body={"seam_attributes": b"\x01"}), MeasurementMismatch),
    "TDX module unknown": (TD.with_(body={"tee_tcb_svn": bytes((3, 9, 2))}), TcbNotMatched),
    "TDX module too old": (TD.with_(body={"tee_tcb_svn": bytes((2, 1, 2))}), TcbNotMatched),
    "TDX components too old": (TD.with_(body={"tee_tcb_svn": bytes((3, 1, 1))}), TcbNotMatched),
    "current module too old": (TD15.with_(body={"tee_tcb_svn2": bytes((2, 1, 2))}), TcbNotMatched),
    "QE too old": (TD.with_(qe={"isv_svn": b"\x03\0"}), TcbNotMatched),
    "QE of another signer": (TD.with_(qe={"mr_signer": seeded("other", 32)}), SignatureInvalid),
    "QE of another product": (TD.with_(qe={"isv_prod_id": b"\x01\0"}), SignatureInvalid),
    "QE in debug mode": (TD.with_(qe={"attributes": b"\x17"}), DebugEnabled),
    "QE of other settings": (TD.with_(qe={"misc_select": b"\x01"}), SignatureInvalid),
    "other attestation key": (TD.with_(qe_report_data=seeded("other key", 32)), BindingMismatch),
    "more than the key is bound": (TD.with_(qe={"report_data": bytes(32) + b"\x01"}), BindingMismatch),
    "TCB info of SGX": (TD.with_(tcb_info={"id": "SGX"}), CollateralMismatch),
    "QE identity of SGX": (TD.with_(qe_identity={"id": "QE"}), CollateralMismatch),
    "TCB info of another family": (TD.with_(tcb_info={"fmspc": "00" * 6}), CollateralMismatch),
    "TCB info without levels": (TD.with_(tcb_info={"tcbLevels": []}), TcbNotMatched),
    "TCB info expired": (TD.with_(tcb_info={"nextUpdate": moment(NOW - 1)}), CollateralExpired),
    "TCB info of tomorrow": (TD.with_(tcb_info={"issueDate": moment(NOW + 1)}), CollateralNotYetValid),
    "QE identity expired": (TD.with_(qe_identity={"nextUpdate": moment(NOW - 1)}), CollateralExpired),
    "QE identity of tomorrow": (TD.with_(qe_identity={"issueDate": moment(NOW + 1)}), CollateralNotYetValid),
    "PCK CRL expired": (TD.with_(pck_crl=TD.pck_crl.with_(ends=NOW)), CollateralExpired),
    "PCK CRL of tomorrow": (TD.with_(pck_crl=TD.pck_crl.with_(begins=NOW + 1)), CollateralNotYetValid),
    "root CRL expired": (TD.with_(root_crl=TD.root_crl.with_(ends=NOW)), CollateralExpired),
    "root CRL of tomorrow": (TD.with_(root_crl=TD.root_crl.with_(begins=NOW + 1)), CollateralNotYetValid),
    "dates without a zone": (TD.with_(tcb_info={"issueDate": "2026-01-01T00:00:00"}), EvidenceMalformed),
    "PCK revoked": (TD.with_(pck_crl=TD.pck_crl.with_(revoked=[PCK.serial])), CertificateRevoked),
    "PCK CA revoked": (TD.with_(root_crl=TD.root_crl.with_(revoked=[PCK_CA.serial])), CertificateRevoked),
    "TCB signer revoked": (TD.with_(root_crl=TD.root_crl.with_(revoked=[TCB_SIGNER.serial])), CertificateRevoked),
    "root revoked": (TD.with_(root_crl=TD.root_crl.with_(revoked=[ROOT.serial])), CertificateRevoked),
    "PCK expired": (TD.with_(pck_chain=(PCK.with_(ends=NOW - 1), PCK_CA, ROOT)), CertificateExpired),
    "PCK of tomorrow": (TD.with_(pck_chain=(PCK.with_(begins=NOW + 1), PCK_CA, ROOT)), CertificateNotYetValid),
    "PCK CA expired": (TD.with_(pck_chain=(PCK, PCK_CA.with_(ends=NOW - 1), ROOT)), CertificateExpired),
    "TCB signer expired": (TD.with_(signers=(TCB_SIGNER.with_(ends=NOW - 1), ROOT)), CertificateExpired),
    "PCK of a younger platform": (
        TD.with_(
            pck_chain=(
                PCK.with_(sgx_extension=sgx_extension(fmspc=bytes(6), cpu_svn=CPU_SVN, pce_svn=PCE_SVN)),
                PCK_CA,
                ROOT,
            )
        ),
        CollateralMismatch,
    ),
    "PCE too old": (
        TD.with_(
            pck_chain=(
                PCK.with_(
                    sgx_extension=sgx_extension(
                        fmspc=bytes.fromhex("a0c0ffee0001"), cpu_svn=CPU_SVN, pce_svn=PCE_SVN - 1
                    )
                ),
                PCK_CA,
                ROOT,
            )
        ),
        TcbNotMatched,
    ),
    "PCK without SGX extension": (TD.with_(pck_chain=(PCK.with_(sgx_extension=None), PCK_CA, ROOT)), ChainInvalid),
    "PCK with a torn SGX extension": (
        TD.with_(pck_chain=(PCK.with_(sgx_extension=b"\x30\x05\x30"), PCK_CA, ROOT)),
        ChainInvalid,
    ),
    "PCK chain without root": (TD.with_(pck_chain=(PCK, PCK_CA)), ChainInvalid),
    "PCK chain in another order": (TD.with_(pck_pem=pem(PCK, ROOT, PCK_CA).encode()), ChainInvalid),
    "PCK chain with text between": (
        TD.with_(pck_pem=b"text\n" + pem(PCK, PCK_CA, ROOT).encode()),
        CertificateMalformed,
    ),
    "no PCK chain": (TD.with_(pck_pem=b""), CertificateMalformed),
    "issuer chain without root": (TD.with_(signers=(TCB_SIGNER,)), ChainInvalid),
}


class TestRefusals:
    def test_what_every_variant_starts_from_verifies(self) -> None:
        for machine in TDS.values():
            assert machine.verified_td().platform.tcb_status == "UpToDate"

    @pytest.mark.parametrize(("machine", "refusal"), WRONG.values(), ids=WRONG.keys())
    def test_one_wrong_fact_is_enough(self, machine: Machine, refusal: type[EvidenceRefused]) -> None:
        for version in (machine, machine.with_(version=5, body_type=4)):
            with pytest.raises(refusal) as refused:
                version.verified_td()
            assert type(refused.value) is refusal

    @pytest.mark.parametrize("machine", TDS.values(), ids=TDS)
    def test_no_field_of_a_body_is_free(self, machine: Machine) -> None:
        begins = len(machine.signed()) - machine.td_size
        for place in {*(place for place in TD_OFFSETS.values() if place < machine.td_size), machine.td_size - 1}:
            quote = bytearray(machine.quote())
            quote[begins + place] ^= 1
            with pytest.raises(SignatureInvalid):
                verified_tdx(bytes(quote), machine.collateral(), at=NOW, pinned=PINNED)

    @pytest.mark.parametrize(
        ("at", "refusal"),
        [
            (ISSUED - 1, CollateralNotYetValid),
            (ISSUED, None),
            (NEXT_UPDATE, None),
            (NEXT_UPDATE + 1, CollateralExpired),
        ],
    )
    def test_documents_count_from_issue_to_next_update(self, at: int, refusal: type[EvidenceRefused] | None) -> None:
        if refusal is None:
            assert TD.verified_td(at=at) == TD.verified_td()
        else:
            with pytest.raises(refusal):
                TD.verified_td(at=at)

    @pytest.mark.parametrize("at", [-1, 0, 1 << 62, 1 << 70])
    def test_times_outside_every_calendar_are_refused(self, at: int) -> None:
        with pytest.raises(CollateralInvalid):
            TD.verified_td(at=at)

    @pytest.mark.parametrize("end", ["begins", "ends"])
    def test_a_revocation_list_counts_until_a_newer_one_is_out(self, end: str) -> None:
        exact = {"begins": NOW, "ends": NOW + 1}[end]
        for name in ("root_crl", "pck_crl"):
            machine = TD.with_(**{name: getattr(TD, name).with_(**{end: exact})})
            assert machine.verified_td() == TD.verified_td()

    def test_an_enclaves_quote_is_not_a_tds(self) -> None:
        with pytest.raises(EvidenceMalformed, match="SGX"):
            verified_tdx(Machine(version=3, tee_type=0).quote(), TD.collateral(), at=NOW, pinned=PINNED)

    def test_padding_changes_no_claim(self) -> None:
        padded = TD.quote().ljust(8000, b"\0")
        assert verified_tdx(padded, TD.collateral(), at=NOW, pinned=PINNED) == TD.verified_td()

    @pytest.mark.parametrize("member", sorted(json.loads(TD.collateral())))
    def test_every_part_of_collateral_is_needed(self, member: str) -> None:
        collateral = json.loads(TD.collateral())
        for value in (None, 7, "zz", []):
            broken = json.dumps(collateral | {member: value}).encode()
            if member == "pck_crl_issuer_chain" and value == "zz":
                continue  # the quote's own chain has that certificate authority
            with pytest.raises(EvidenceMalformed):
                verified_tdx(TD.quote(), broken, at=NOW, pinned=PINNED)
        del collateral[member]
        with pytest.raises(EvidenceMalformed):
            verified_tdx(TD.quote(), json.dumps(collateral).encode(), at=NOW, pinned=PINNED)

    @settings(max_examples=80, deadline=None)
    @given(st.data())
    def test_a_changed_byte_of_collateral_changes_no_claim(self, data: st.DataObject) -> None:
        collateral = bytearray(TD.collateral())
        collateral[data.draw(st.integers(0, len(collateral) - 1))] ^= data.draw(st.integers(1, 255))
        try:
            claims = verified_tdx(TD.quote(), bytes(collateral), at=NOW, pinned=PINNED)
        except EvidenceRefused:
            return
        assert claims == TD.verified_td()

    @settings(max_examples=100)
    @given(st.binary(max_size=300), st.binary(max_size=300), st.integers(-10, 1 << 65))
    def test_nothing_else_escapes(self, quote: bytes, collateral: bytes, at: int) -> None:
        for parts in ((quote, collateral), (TD.quote(), collateral), (quote, TD.collateral())):
            with pytest.raises(EvidenceRefused):
                verified_tdx(*parts, at=at, pinned=PINNED)
