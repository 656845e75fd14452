"""Quotes of versions 3 to 5: every field where Intel puts it, every size checked, nothing but zeros behind."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import EvidenceMalformed, EvidenceRefused, FormUnsupported
from enclave.attestation.quote import QUOTE_BYTES_MAX, EnclaveReport, TdReport, quote_from
from tests.enclave.attestation.captured import case
from tests.enclave.attestation.intel import ENCLAVE, MACHINES, SGX_BODY, TD, TD15, TD15_EX, TD_BODY, TD_OFFSETS, Machine

CAPTURED = ["tdx-v4-b0c06f-uptodate", "tdx-v5-td15-uptodate", "sgx-v3-icx-swhardening"]

machines = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())


@machines
def test_fields_stand_where_the_machine_put_them(machine: Machine) -> None:
    quote = quote_from(machine.quote())
    assert (quote.version, quote.tee_type) == (machine.version, machine.tee_type)
    assert quote.signed == machine.signed()
    assert quote.qe_auth == machine.qe_auth
    assert quote.pck_chain.startswith(b"-----BEGIN") and quote.pck_chain.endswith(b"-----\n")
    for name, content in (machine.td_body() if machine.is_td else SGX_BODY).items():
        place = quote.body if hasattr(quote.body, name) else getattr(quote.body, "extension", None)
        found = getattr(place, name)
        assert content == (found.to_bytes(len(content), "little") if isinstance(found, int) else found)
    assert isinstance(quote.body, TdReport if machine.is_td else EnclaveReport)


def test_only_tdx_15_has_its_two_fields() -> None:
    older, later = quote_from(TD.quote()).body, quote_from(TD15.quote()).body
    assert isinstance(older, TdReport) and isinstance(later, TdReport)
    assert (older.tee_tcb_svn2, older.mr_service_td, older.extension) == (None, None, None)
    assert (later.tee_tcb_svn2, later.mr_service_td, later.extension) == (TD_BODY["tee_tcb_svn"], bytes(48), None)


@pytest.mark.parametrize("name", [name for name, place in TD_OFFSETS.items() if place >= 584])
def test_every_field_of_the_extended_report_is_its_own(name: str) -> None:
    one, other = (quote_from(machine.quote()).body for machine in (TD15_EX, TD15_EX.with_(body={name: b"\xa5"})))
    assert isinstance(one, TdReport) and isinstance(other, TdReport) and one.extension and other.extension
    fields = [asdict(body) | asdict(body.extension) for body in (one, other)]
    changed = {field for field in fields[0] if field != "extension" and fields[0][field] != fields[1][field]}
    assert changed == {name}


@pytest.mark.parametrize(
    "machine",
    [Machine(version=4, tee_type=0), Machine(version=5, tee_type=0, body_type=1)],
    ids=["version 4", "version 5"],
)
def test_enclaves_are_parsed_in_later_versions_too(machine: Machine) -> None:
    body = quote_from(machine.quote()).body
    assert isinstance(body, EnclaveReport) and body.mr_enclave == SGX_BODY["mr_enclave"]


@machines
def test_zeros_behind_are_padding_and_anything_else_is_refused(machine: Machine) -> None:
    quote = machine.quote()
    assert quote_from(quote + bytes(8000 - len(quote))).encoded == quote
    for tail in (b"\x01", bytes(100) + b"\x01", b"\x01" + bytes(100)):
        with pytest.raises(EvidenceMalformed, match="after its end"):
            quote_from(quote + tail)


def test_size_is_bounded_padding_included() -> None:
    quote = TD.quote()
    assert quote_from(quote.ljust(QUOTE_BYTES_MAX, b"\0")).encoded == quote
    with pytest.raises(EvidenceMalformed, match="over the limit"):
        quote_from(quote.ljust(QUOTE_BYTES_MAX + 1, b"\0"))


@machines
def test_a_quote_cut_short_anywhere_is_refused(machine: Machine) -> None:
    quote = machine.quote()
    for size in range(len(quote)):
        with pytest.raises(EvidenceMalformed):
            quote_from(quote[:size])


@pytest.mark.parametrize("case_id", CAPTURED)
def test_a_captured_quote_cut_short_anywhere_is_refused(case_id: str) -> None:
    captured = case(case_id).files["quote"]
    quote = quote_from(captured).encoded
    for size in range(len(quote)):
        with pytest.raises(EvidenceMalformed):
            quote_from(quote[:size])


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        (TD.with_(version=2), EvidenceMalformed),
        (TD.with_(version=6), EvidenceMalformed),
        (TD.with_(version=3), EvidenceMalformed),
        (TD.with_(tee_type=0x82), EvidenceMalformed),
        (TD15.with_(body_type=5), EvidenceMalformed),
        (TD15_EX.with_(tee_type=0), EvidenceMalformed),
        (TD15.with_(body_type=0), EvidenceMalformed),
        (TD15.with_(body_type=1), EvidenceMalformed),
        (TD15.with_(tee_type=0), EvidenceMalformed),
        (TD.with_(key_type=3), FormUnsupported),
        (TD.with_(vendor=bytes(16)), FormUnsupported),
        (TD.with_(certification=1), FormUnsupported),
        (ENCLAVE.with_(certification=3), FormUnsupported),
        (TD.with_(qe_auth=bytes(31)), EvidenceMalformed),
        (TD.with_(qe_auth=bytes(33)), EvidenceMalformed),
        (TD.with_(qe_auth=b""), EvidenceMalformed),
    ],
)
def test_forms_that_cannot_be_verified_are_refused(changed: Machine, refusal: type[EvidenceRefused]) -> None:
    with pytest.raises(refusal):
        quote_from(changed.quote())


@pytest.mark.parametrize("machine", [TD.with_(version=5), TD15, TD15_EX], ids=["1.0", "1.5", "1.5ex"])
def test_a_body_larger_or_smaller_than_its_type_is_refused(machine: Machine) -> None:
    quote = bytearray(machine.quote())
    for size in {0, 384, 584, 647, 648, 649, 884, 885, 886, 1 << 31} - {machine.td_size}:
        quote[50:54] = size.to_bytes(4, "little")
        with pytest.raises(EvidenceMalformed):
            quote_from(bytes(quote))


@pytest.mark.parametrize("machine", [TD, TD15, TD15_EX, ENCLAVE], ids=["v4", "v5", "v5 1.5ex", "v3"])
@pytest.mark.parametrize("change", [-1, 1, 1000, 1 << 15])
@pytest.mark.parametrize("which", ["signature data", "QE certification", "QE authentication", "PCK chain"])
def test_a_size_that_lies_is_refused(machine: Machine, change: int, which: str) -> None:
    quote = bytearray(machine.quote())
    start = len(machine.signed()) + 4 + 128  # past the signature's size, the signature and the attestation key
    nested = 6 if machine.version > 3 else 0
    report_end = start + nested + 384 + 64
    places = {
        "signature data": (len(machine.signed()), 4),
        "QE certification": (start + 2, 4) if nested else (len(machine.signed()), 4),  # version 3 does not nest
        "QE authentication": (report_end, 2),
        "PCK chain": (report_end + 2 + 32 + 2, 4),
    }
    place, size = places[which]
    lie = (int.from_bytes(quote[place : place + size], "little") + change) % (1 << 8 * size)
    quote[place : place + size] = lie.to_bytes(size, "little")
    with pytest.raises(EvidenceMalformed):
        quote_from(bytes(quote))


@settings(max_examples=300)
@given(st.binary(max_size=700), st.sampled_from([b"", *(machine.quote()[:54] for machine in MACHINES.values())]))
def test_nothing_else_escapes(data: bytes, start: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        quote_from(start + data)


@settings(max_examples=200)
@given(st.sampled_from(list(MACHINES.values())), st.data())
def test_a_changed_byte_parses_to_the_same_bytes_or_is_refused(machine: Machine, data: st.DataObject) -> None:
    quote = bytearray(machine.quote())
    quote[data.draw(st.integers(0, len(quote) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = quote_from(bytes(quote))
    except EvidenceRefused:
        return
    assert parsed.encoded == bytes(quote)
