"""SGX quotes: captured ones as the index says, and made ones with one fact broken at a time."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.claims import Claims
from enclave.attestation.errors import (
    BindingMismatch,
    CollateralExpired,
    CollateralMismatch,
    DebugEnabled,
    EvidenceMalformed,
    EvidenceRefused,
    FormUnsupported,
    SignatureInvalid,
    TcbRefused,
)
from enclave.attestation.sgx import verified_sgx
from tests.enclave.attestation.captured import case, cases
from tests.enclave.attestation.intel import ENCLAVE, PINNED, SGX_BODY, TD, Machine, moment
from tests.people import NOW, seeded


@pytest.mark.parametrize("case_id", cases("sgx"))
def test_verdict_reason_and_claims_are_those_of_the_index(case_id: str) -> None:
    found = case(case_id)
    quote, collateral = found.files["quote"], found.files["dcap_collateral_v3"]
    if found.verdict == "accept":
        shown = verified_sgx(quote, collateral, at=found.at).shown()
        assert {name: shown[name] for name in found.claims} == dict(found.claims)
    else:
        with pytest.raises(EvidenceRefused) as refused:
            verified_sgx(quote, collateral, at=found.at)
        assert refused.value.reason == found.reason


@pytest.mark.parametrize(
    ("case_id", "status", "advisories", "pck_ca"),
    [
        (
            "sgx-v3-config-and-swhardening",
            "ConfigurationAndSWHardeningNeeded",
            ["INTEL-SA-00289", "INTEL-SA-00615"],
            "processor",
        ),
        ("sgx-v3-icx-swhardening", "SWHardeningNeeded", ["INTEL-SA-00615"], "platform"),
    ],
)
def test_the_platforms_standing_is_a_claim(case_id: str, status: str, advisories: list[str], pck_ca: str) -> None:
    found = case(case_id)
    claims = verified_sgx(found.files["quote"], found.files["dcap_collateral_v3"], at=found.at)
    shown = claims.shown()
    assert (shown["tcb_status"], shown["advisory_ids"], shown["pck_ca"]) == (status, advisories, pck_ca)
    assert claims.facts()["advisory_ids"] == ",".join(advisories)


def test_every_field_is_a_fact_and_is_shown() -> None:
    claims: Claims = ENCLAVE.verified_enclave()
    facts, shown = claims.facts(), claims.shown()
    for name, content in SGX_BODY.items():
        found = facts[name]
        assert content == (found.to_bytes(len(content), "little") if isinstance(found, int) else found)
        assert shown[name] == (found if isinstance(found, int) else content.hex())
    assert claims.kind == "sgx" and (shown["quote_version"], shown["tee_type"]) == (3, "0x0")
    assert (facts["debug"], facts["tcb_status"]) == (False, "UpToDate")
    assert set(facts) <= set(shown)
    json.dumps(shown)


WRONG: dict[str, tuple[Machine, type[EvidenceRefused]]] = {
    "debug": (ENCLAVE.with_(body={"attributes": b"\x07"}), DebugEnabled),
    "revoked level": (ENCLAVE.with_(status="Revoked"), TcbRefused),
    "other attestation key": (ENCLAVE.with_(qe_report_data=seeded("other key", 32)), BindingMismatch),
    "QE of another signer": (ENCLAVE.with_(qe={"mr_signer": bytes(32)}), SignatureInvalid),
    "TCB info of TDX": (ENCLAVE.with_(tcb_info={"id": "TDX"}), CollateralMismatch),
    "QE identity of TDX": (ENCLAVE.with_(qe_identity={"id": "TD_QE"}), CollateralMismatch),
    "TCB info expired": (ENCLAVE.with_(tcb_info={"nextUpdate": moment(NOW - 1)}), CollateralExpired),
    "version 4": (ENCLAVE.with_(version=4), FormUnsupported),
    "version 5": (ENCLAVE.with_(version=5, body_type=1), FormUnsupported),
}


@pytest.mark.parametrize(("machine", "refusal"), WRONG.values(), ids=WRONG.keys())
def test_one_wrong_fact_is_enough(machine: Machine, refusal: type[EvidenceRefused]) -> None:
    assert ENCLAVE.verified_enclave().platform.tcb_status == "UpToDate"
    with pytest.raises(refusal) as refused:
        machine.verified_enclave()
    assert type(refused.value) is refusal


def test_a_tds_quote_is_not_an_enclaves() -> None:
    with pytest.raises(EvidenceMalformed, match="TD"):
        verified_sgx(TD.quote(), TD.collateral(), at=NOW, pinned=PINNED)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_no_byte_of_header_body_signature_or_key_is_free(data: st.DataObject) -> None:
    quote, collateral = ENCLAVE.quote(), ENCLAVE.collateral()
    place = data.draw(st.integers(0, 48 + 384 + 4 + 128 + 384 - 1))
    changed = bytearray(quote)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(EvidenceRefused):
        verified_sgx(bytes(changed), collateral, at=NOW, pinned=PINNED)


@settings(max_examples=60)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_nothing_else_escapes(quote: bytes, collateral: bytes) -> None:
    for parts in ((quote, collateral), (ENCLAVE.quote(), collateral), (quote, ENCLAVE.collateral())):
        with pytest.raises(EvidenceRefused):
            verified_sgx(*parts, at=NOW, pinned=PINNED)
