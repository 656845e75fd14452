"""Indexes of evidence cases: read strictly, run one by one, and compared with what they expect."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.attestation.cases import Outcome, outcome
from enclave.attestation.index import Case, MalformedIndex, Mutation, Unreadable, UnusableCase, index_from, time_from
from tests.shared_data import shared

GARBAGE = b"\x84nothing that anybody signed"
TIME = "2025-07-04T10:16:31Z"


@cache
def captured() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(shared("evidence/index.json").read_text())["cases"]}


def garbage(**changed: Any) -> dict[str, Any]:
    """A case that needs no captured file: a Nitro document that is none."""
    return {
        "id": "garbage",
        "tee": "nitro",
        "files": [{"path": "document", "role": "cose_sign1", "sha256": sha256(GARBAGE).hexdigest()}],
        "verification_time": TIME,
        "expected": {"strict_verdict": "reject", "reason_class": "parse_error"},
        **changed,
    }


def read(*cases: Any) -> list[Case | Unreadable]:
    return list(index_from(json.dumps({"cases": cases}).encode()))


def ran(said: dict[str, Any], files: Mapping[str, bytes] | None = None) -> Outcome:
    (case,) = read(said)
    assert isinstance(case, Case), case
    if files is None:
        files = {file.path: GARBAGE for file in case.files}
    return outcome(case, files)


def ran_captured(said: dict[str, Any]) -> Outcome:
    return ran(said, {file["path"]: shared(f"evidence/{file['path']}").read_bytes() for file in said["files"]})


def expecting(id: str, **expected: Any) -> dict[str, Any]:
    """A captured case that expects something else."""
    case = captured()[id]
    return {**case, "expected": {**case["expected"], **expected}}


def test_every_captured_case_is_judged_as_its_index_expects() -> None:
    outcomes = {id: ran_captured(case) for id, case in captured().items()}
    assert {id: found.differences for id, found in outcomes.items() if not found.agrees} == {}
    assert all(found.verdict != "error" for found in outcomes.values())


@pytest.mark.parametrize(
    ("id", "expected", "named"),
    [
        ("tdx-v4-b0c06f-uptodate", {"strict_verdict": "reject"}, "verdict: found accept"),
        ("tdx-v4-b0c06f-uptodate", {"tcb_status": "OutOfDate"}, "tcb_status: found 'UpToDate'"),
        ("tdx-v4-b0c06f-uptodate", {"advisory_ids": ["INTEL-SA-00001"]}, "advisory_ids: found []"),
        ("tdx-v4-gcp-outofdate", {"advisory_ids": []}, "advisory_ids: found ['INTEL-SA-00960'"),
        ("tdx-v4-gcp-outofdate", {"strict_verdict": "accept"}, "verdict: found reject (tcb_status"),
        ("tdx-v4-gcp-outofdate", {"strict_reason": "signature"}, "reason_class: found tcb_status"),
        ("snp-milan-v3-vlek-expired", {"reason_class": "signature"}, "reason_class: found cert_expired"),
        ("nvgpu-h100-550-wrong-nonce", {"strict_verdict": "accept"}, "verdict: found reject (nonce_mismatch"),
        ("dstack-eventlog-payload-swapped", {"tcb_status": "OutOfDate"}, "tcb_status: found 'UpToDate'"),
    ],
)
def test_an_expectation_that_is_not_met_is_named(id: str, expected: dict[str, Any], named: str) -> None:
    found = ran_captured(expecting(id, **expected))
    assert len(found.differences) == 1
    assert found.differences[0].startswith(named)


@pytest.mark.parametrize("id", ["tdx-v4-b0c06f-uptodate", "tdx-v4-mut-report-data", "snp-milan-wrong-ask-genoa"])
def test_a_claim_that_is_not_as_expected_is_named_whether_it_was_verified_or_not(id: str) -> None:
    case = captured()[id]
    claims = {**case["expected_claims"], "report_data": "00" * 64, "invented": 1}
    if claims["report_data"] == case["expected_claims"]["report_data"]:
        claims["report_data"] = "01" * 64
    found = ran_captured({**case, "expected_claims": claims})
    assert [text.partition(":")[0] for text in found.differences] == ["report_data", "invented"]


def test_claims_of_maps_are_compared_one_by_one_and_more_may_be_found() -> None:
    case = captured()["nitro-2025-dstack"]
    few = {"pcrs": {"0": case["expected_claims"]["pcrs"]["0"].upper()}}
    assert ran_captured({**case, "expected_claims": few}).agrees
    found = ran_captured({**case, "expected_claims": {"pcrs": {"0": "00" * 48, "17": "00" * 48}}})
    assert [text.partition(":")[0] for text in found.differences] == ["pcrs.0", "pcrs.17"]


def test_true_is_not_the_number_one() -> None:
    case = captured()["nitro-2025-dstack"]
    assert not ran_captured({**case, "expected_claims": {"debug": 0}}).agrees


def test_a_refusal_falls_in_wider_classes_too_and_in_no_narrower_one() -> None:
    assert ran_captured(expecting("snp-milan-v3-vlek-expired", reason_class="cert_chain")).agrees
    assert ran_captured(expecting("snp-milan-v3-vlek-expired", reason_class=["signature", "cert_expired"])).agrees
    assert not ran_captured(expecting("snp-milan-wrong-ask-genoa", reason_class="cert_expired")).agrees


@pytest.mark.parametrize("id", ["tdx-v4-b0c06f-uptodate", "nitro-2025-dstack", "snp-milan-v3-vcek", "nvgpu-h100-550"])
def test_a_root_that_an_index_brings_is_trusted_only_if_it_is_pinned(id: str) -> None:
    case = captured()[id]
    other = captured()["nvrim-driver-550" if id != "nvrim-driver-550" else "nvgpu-h100-550"]
    (anchor,) = [file for file in other["files"] if file["role"] == "trust_anchor"]
    files = [file if file["role"] != "trust_anchor" else anchor for file in case["files"]]
    found = ran_captured({**case, "files": files})
    assert (found.verdict, found.reason) == ("reject", "cert_chain")


def as_pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def test_certificates_may_be_in_pem() -> None:
    case = captured()["snp-milan-v3-vcek"]
    files = {file["path"]: shared(f"evidence/{file['path']}").read_bytes() for file in case["files"]}
    coated = {path: data if path.endswith("report.bin") else as_pem(data) for path, data in files.items()}
    unhashed = [{name: file[name] for name in ("path", "role")} for file in case["files"]]
    assert ran({**case, "files": unhashed}, coated).agrees
    (ask,) = [file["path"] for file in case["files"] if file["role"] == "ask"]
    found = ran({**case, "files": unhashed}, {**coated, ask: 2 * coated[ask]})
    assert (found.verdict, found.reason) == ("reject", "cert_chain")


def test_a_case_of_dstack_needs_its_event_log() -> None:
    case = {**captured()["dstack-quote-report-eventlog"], "tee": "dstack"}
    assert ran_captured(case).agrees
    found = ran_captured({**case, "files": [file for file in case["files"] if file["role"] != "dstack_event_log"]})
    assert found.verdict == "error" and "dstack_event_log" in found.told


@pytest.mark.parametrize("id", ["snp-milan-v2-azure-hcl", "snp-milan-v3-dstack"])
def test_a_report_is_the_one_in_the_file_it_was_taken_from(id: str) -> None:
    case = captured()[id]
    other = captured()["snp-milan-v2-vcek"]["files"]
    swapped = {file["role"]: file for file in other}
    files = [swapped.get(file["role"], file) for file in case["files"]]
    found = ran_captured({**case, "files": files})
    assert found.verdict == "error" and "the report is not the one" in found.told


def test_a_root_of_manifests_has_to_be_pinned_as_well() -> None:
    case = captured()["nvgpu-h100-535-with-vbios-rim"]
    (device_root,) = [file for file in case["files"] if file["role"] == "trust_anchor"]
    files = [
        file if file["role"] != "rim_trust_anchor" else {**device_root, "role": file["role"]} for file in case["files"]
    ]
    found = ran_captured({**case, "files": files})
    assert (found.verdict, found.reason) == ("reject", "cert_chain")


def test_evidence_made_for_other_report_data_is_refused() -> None:
    case = captured()["dstack-quote-report-eventlog"]
    found = ran_captured({**case, "params": {"report_data": "00" * 64}})
    assert (found.verdict, found.reason) == ("reject", "binding")


@pytest.mark.parametrize(
    ("name", "value"),
    [("rim_active", 13), ("rim_matching", 12), ("rim_mismatch_index", [8]), ("rim_mismatch_index", [])],
)
def test_reference_measurements_are_counted_as_the_case_says(name: str, value: object) -> None:
    case = captured()["nvgpu-h100-535-rim-mismatch"]
    found = ran_captured({**case, "params": {**case["params"], name: value}})
    assert [text.partition(":")[0] for text in found.differences] == [name]


def test_a_case_without_captured_files_is_judged_too() -> None:
    found = ran(garbage())
    assert (found.verdict, found.reason, found.agrees) == ("reject", "parse_error", True)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tee": "enigma"}, "tee: found 'enigma'"),
        ({"files": [{"path": "document", "role": "vcek"}]}, "wanted one of role cose_sign1"),
        ({"files": []}, "wanted one of role cose_sign1"),
        ({"files": [{"path": "document", "role": "cose_sign1", "sha256": "00" * 32}]}, "SHA-256"),
        ({"files": 2 * [{"path": "document", "role": "cose_sign1"}]}, "twice"),
        ({"mutations": [{"file": "other", "truncate_to": 1}]}, "'other' is not one file"),
        ({"mutations": [{"truncate_to": 1000}]}, "beyond the end"),
        ({"mutations": [{"offset": len(GARBAGE), "xor": "01"}]}, "beyond the end"),
        ({"params": {"rim_active": 1}}, "rim_active means nothing"),
    ],
)
def test_a_case_that_cannot_be_run_is_an_error_and_never_agrees(changed: dict[str, Any], told: str) -> None:
    found = ran(garbage(**changed))
    assert found.verdict == "error" and not found.agrees
    assert told in found.told


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 7},
        {"tee": None},
        {"files": {}},
        {"files": [{"path": "document"}]},
        {"files": [{"path": "document", "role": "cose_sign1", "sha256": "00"}]},
        {"verification_time": "yesterday"},
        {"verification_time": "2025-07-04T10:16:31"},
        {"verification_time": -1},
        {"verification_time": None},
        {"mutations": [{"flip": 1}]},
        {"mutations": [{"offset": 1}]},
        {"mutations": [{"offset": True, "xor": "01"}]},
        {"mutations": [{"offset": -1, "xor": "01"}]},
        {"mutations": [{"append": "0"}]},
        {"mutations": [{}]},
        {"expected": {}},
        {"expected": {"strict_verdict": "maybe"}},
        {"expected": {"crypto_verdict": "accept"}},
        {"expected": None},
        {"expected_claims": []},
        {"params": 3},
    ],
)
def test_a_case_that_is_not_described_keeps_no_other_from_being_read(changed: dict[str, Any]) -> None:
    broken, whole = read(garbage(**changed), garbage(id="whole"))
    assert isinstance(broken, Unreadable) and broken.problem
    assert isinstance(whole, Case)


def test_of_two_cases_of_one_id_only_the_first_can_be_run() -> None:
    first, second, third = read(garbage(), garbage(expected={"strict_verdict": "accept"}), garbage(id="third"))
    assert isinstance(first, Case) and isinstance(third, Case)
    assert isinstance(second, Unreadable) and "same" in second.problem


def test_an_id_that_is_too_long_is_shown_as_a_number() -> None:
    (case,) = read(garbage(id="x" * 4097))
    assert isinstance(case, Unreadable) and case.id == "case 1"


@pytest.mark.parametrize(
    "schema", ["evidence-index/2", "evidence-index/1.1", "other/1", "", None, 1, ["evidence-index/1"]]
)
def test_an_index_of_another_schema_is_refused_by_name(schema: object) -> None:
    with pytest.raises(MalformedIndex, match=r"schema .*; this build reads 'evidence-index/1'"):
        index_from(json.dumps({"schema": schema, "cases": [garbage()]}).encode())


def test_an_index_may_name_its_schema_or_not() -> None:
    for said in ({}, {"schema": "evidence-index/1"}):
        assert len(index_from(json.dumps({**said, "cases": [garbage()]}).encode())) == 1


def test_what_is_not_json_at_all_is_told_from_json_of_two_meanings() -> None:
    with pytest.raises(MalformedIndex, match=r"is not JSON$"):
        index_from(b"evidence")
    with pytest.raises(MalformedIndex, match="one stands twice"):
        index_from(b'{"cases":[1],"cases":[2]}')


def test_what_an_index_adds_of_its_own_is_passed_over() -> None:
    (case,) = read(garbage(note="x", weight=1.5, validity_window=None, mutations=None, params=None))
    assert isinstance(case, Case)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"cases":{}}',
        b'{"cases":[]}',
        b'{"cases":[1],"cases":[2]}',
        b'{"cases":[NaN]}',
        b'{"cases":' + b"[" * 100_000,
        b'{"cases":[' + b"1," * 10_000 + b"1]}",
        b" " * ((16 << 20) + 1),
    ],
)
def test_what_is_no_index_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(MalformedIndex) as caught:
        index_from(data)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"offset": 1, "xor": "0103"}, b"0\x30\x31345"),
        ({"truncate_to": 2}, b"01"),
        ({"append": "ff00"}, b"012345\xff\x00"),
        ({"offset": 0, "xor": "01", "truncate_to": 1, "append": "aa"}, b"1\xaa"),
    ],
)
def test_mutations_flip_then_cut_then_add(change: dict[str, Any], changed: bytes) -> None:
    (case,) = read(garbage(mutations=[change]))
    assert isinstance(case, Case)
    assert case.mutations[0].applied(b"012345") == changed


def test_mutating_beyond_the_end_is_an_error() -> None:
    mutation = Mutation(file=None, offset=5, xor=b"\1\1", truncate_to=None, append=b"")
    with pytest.raises(UnusableCase):
        mutation.applied(b"012345")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (TIME, 1_751_624_191),
        ("2025-07-04T12:16:31+02:00", 1_751_624_191),
        ("2025-07-04T10:16:31.9Z", 1_751_624_191),
        (1_751_624_191, 1_751_624_191),
        (True, None),
        (1 << 60, None),
        ("2025-07-04", None),
    ],
)
def test_a_time_is_rfc_3339_with_its_offset_or_seconds(said: object, seconds: int | None) -> None:
    assert time_from(said) == seconds


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "tee", "files", "path", "role", "mutations", "offset", "xor", "expected", "params"]),
            inner,
            max_size=8,
        )
    ),
    max_leaves=30,
)


@given(JSON)
def test_any_json_is_read_as_cases_or_as_what_is_wrong_with_them(said: object) -> None:
    for case in read(said, garbage(id="a", files=said), garbage(id="b", mutations=said)):
        if isinstance(case, Case):
            outcome(case, {file.path: GARBAGE for file in case.files})
