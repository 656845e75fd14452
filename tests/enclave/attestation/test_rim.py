"""Reference manifests: captured ones as the index says, and each rule of the signature and of the form, one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import (
    CertificateExpired,
    CertificateNotYetValid,
    ChainInvalid,
    EvidenceMalformed,
    EvidenceRefused,
    SignatureInvalid,
)
from enclave.attestation.rim import DRIVER, VBIOS, Rim, verified_rim
from tests.enclave.attestation.nvidia_gpu import BLOCKS, Manifest, pinned, resource
from tests.people import DAY_S, NOW
from tests.shared_data import shared

CASES = ("nvrim-driver-550", "nvrim-driver-550-bad-signature", "nvrim-vbios-96005E0001")


DOCUMENT = Manifest().document()


def cases() -> Mapping[str, Any]:
    index = json.loads(shared("evidence/index.json").read_bytes())
    return {case["id"]: case for case in index["cases"] if case["tee"] == "nvrim"}


def captured(name: str) -> tuple[bytes, int]:
    """Return a captured manifest and the time at which it is to be judged."""
    case = cases()[name]
    (file,) = [file for file in case["files"] if file["role"] == "rim"]
    at = int(datetime.fromisoformat(case["verification_time"]).timestamp())
    return shared(f"evidence/{file['path']}").read_bytes(), at


def verified(document: bytes, *, at: int = NOW) -> Rim:
    return verified_rim(document, at=at, pinned=pinned())


def test_every_captured_manifest_is_tried() -> None:
    assert sorted(cases()) == sorted(CASES)


@pytest.mark.parametrize("name", CASES)
def test_captured_manifests_come_out_as_the_index_says(name: str) -> None:
    case = cases()[name]
    document, at = captured(name)
    if case["expected"]["strict_verdict"] == "accept":
        assert verified_rim(document, at=at).shown() == case["expected_claims"]
        return
    with pytest.raises(EvidenceRefused) as refused:
        verified_rim(document, at=at)
    assert refused.value.reason == case["expected"]["reason_class"]


def test_what_a_captured_driver_manifest_says() -> None:
    document, at = captured("nvrim-driver-550")
    rim = verified_rim(document, at=at)
    assert (rim.kind, rim.product, len(rim.references), len(rim.active), rim.unjudged) == (DRIVER, "GH100", 64, 21, ())
    assert rim.tag_id.startswith("8aa5c875798aecff")
    assert [len(rim.active[index]) for index in (7, 23, 35)] == [1, 2, 4]
    assert rim.active[7][0].hex().startswith("4a5e4b3d501fe31f")


def test_what_a_captured_vbios_manifest_says() -> None:
    document, at = captured("nvrim-vbios-96005E0001")
    rim = verified_rim(document, at=at)
    assert (rim.kind, sorted(rim.active)) == (VBIOS, [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12])


EDITS = {
    "active": (b'index="0" active="False"', b'index="0" active="True"'),
    "inactive": (b'index="7" active="True"', b'index="7" active="False"'),
    "version": (b"550.144.03", b"550.144.30"),
    "product": (b'product="GH100"', b'product="GB100"'),
    "digest": (b"4a5e4b3d", b"4a5e4b3e"),
    "alternatives": (b'index="23" active="True" alternatives="2"', b'index="23" active="True" alternatives="1"'),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_changed_captured_manifest_is_not_signed(name: str) -> None:
    document, at = captured("nvrim-driver-550")
    changed = document.replace(*EDITS[name], 1)
    assert changed != document
    with pytest.raises(SignatureInvalid):
        verified_rim(changed, at=at)


def test_a_captured_manifest_lives_as_long_as_its_chain() -> None:
    document, _ = captured("nvrim-driver-550")
    with pytest.raises(CertificateExpired):
        verified_rim(document, at=int(datetime.fromisoformat("2026-12-31T00:00:00Z").timestamp()))
    with pytest.raises(CertificateNotYetValid):
        verified_rim(document, at=int(datetime.fromisoformat("2024-12-01T00:00:00Z").timestamp()))


def test_a_signed_manifest_is_read() -> None:
    rim = Manifest().rim()
    assert (rim.kind, rim.colloquial_version, rim.product, rim.tag_id) == (DRIVER, "550.90.07", "GH100", "abc")
    assert rim.active == {10: (BLOCKS[11],), 12: (BLOCKS[13],)}
    assert not rim.references[0].is_active


def test_an_xml_declaration_may_stand_before_it() -> None:
    assert verified(b'<?xml version="1.0" encoding="UTF-8"?>\n' + DOCUMENT) == Manifest().rim()


def test_white_space_may_stand_around_it() -> None:
    assert verified(b"\n" + DOCUMENT + b"\n\n") == Manifest().rim()


def test_the_root_is_nvidia_s() -> None:
    with pytest.raises(ChainInvalid, match="NVIDIA CoRIM signing Root CA"):
        verified_rim(DOCUMENT, at=NOW)


def test_a_certificate_is_valid_for_its_time() -> None:
    with pytest.raises(CertificateExpired):
        Manifest().rim(at=NOW + 31 * DAY_S)
    with pytest.raises(CertificateNotYetValid):
        Manifest().rim(at=NOW - 31 * DAY_S)


HASH = BLOCKS[11].hex()


MALFORMED: Mapping[str, Manifest] = {
    "version of nothing": Manifest(version="latest"),
    "version of four hex pairs": Manifest(version="96.00.5E.00"),
    "no version": Manifest(version=""),
    "no product": Manifest(product=""),
    "product of other characters": Manifest(product="GH100&#233;"),
    "no measurements": Manifest(entries={}, inactive={}),
    "index twice": Manifest(more=resource(10, [BLOCKS[11]])),
    "index twice, once inactive": Manifest(more=resource(10, [BLOCKS[11]], active="False")),
    "index of another script": Manifest(more=resource("&#1633;", [BLOCKS[11]])),
    "negative index": Manifest(more=resource(-1, [BLOCKS[11]])),
    "no index": Manifest(more=resource("", [BLOCKS[11]])),
    "active or not?": Manifest(more=resource(20, [BLOCKS[11]], active="true")),
    "no alternative": Manifest(more=resource(20, [])),
    "fewer alternatives than said": Manifest(more=resource(20, [BLOCKS[11]], alternatives="2")),
    "more alternatives than said": Manifest(more=resource(20, [BLOCKS[11], BLOCKS[13]], alternatives="1")),
    "an alternative left out": Manifest(more=resource(20, [BLOCKS[11]]).replace("Hash0", "Hash1")),
    "digest of no namespace": Manifest(more=resource(20, [BLOCKS[11]]).replace("ns2:Hash0", "Hash0")),
    "digest cut short": Manifest(more=resource(20, [BLOCKS[11][:47]])),
    "digest not in hex": Manifest(more=resource(20, [BLOCKS[11]]).replace(HASH, "0x" + HASH[2:])),
    "digest with white space": Manifest(more=resource(20, [BLOCKS[11]]).replace(HASH, " " + HASH[1:])),
    "other size": Manifest(more=resource(20, [BLOCKS[11]], size="32")),
    "no size": Manifest(more=resource(20, [BLOCKS[11]], size="")),
    "second payload": Manifest(more="</Payload><Payload>"),
    "second meta": Manifest(more='</Payload><Meta colloquialVersion="1.0" product="GH100"/><Payload>'),
    "another document": Manifest(tag="Software"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_manifest_out_of_form_is_refused_however_well_signed(name: str) -> None:
    with pytest.raises(EvidenceMalformed):
        MALFORMED[name].rim()


def test_index_253_is_the_last() -> None:
    rim = Manifest(more=resource(253, [BLOCKS[11]]) + resource(254, [BLOCKS[11]])).rim()
    assert 253 in rim.active
    assert rim.unjudged == ("Measurement_254",)


def test_64_alternatives_are_not_too_many() -> None:
    values = [BLOCKS[11]] * 65
    assert len(Manifest(entries={10: values[:64]}).rim().active[10]) == 64
    with pytest.raises(EvidenceMalformed):
        Manifest(entries={10: values}).rim()


def test_text_of_128_characters_is_not_too_long() -> None:
    assert Manifest(product="G" * 128).rim().product == "G" * 128
    with pytest.raises(EvidenceMalformed):
        Manifest(product="G" * 129).rim()


def test_entries_of_a_later_form_are_kept_as_unjudged() -> None:
    later = resource(300, [], name="minimum") + resource(301, [], active="False", name="not asked")
    assert Manifest(more=later + '<Directory active="True"/>').rim().unjudged == ("minimum", "without name")


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(EvidenceRefused):
        verified(data)


@given(data=st.text(alphabet='<>/ax!?[]&;"= \n', max_size=60))
def test_arbitrary_markup_is_refused(data: str) -> None:
    with pytest.raises(EvidenceRefused):
        verified(data.encode())


@settings(max_examples=150)
@given(place=st.integers(0, 10_000), value=st.binary(max_size=4), kept=st.integers(0, 4))
def test_a_changed_manifest_is_refused_or_says_the_same(place: int, value: bytes, kept: int) -> None:
    place %= len(DOCUMENT)
    try:
        rim = verified(DOCUMENT[:place] + value + DOCUMENT[place + kept :])
    except EvidenceRefused:
        return
    assert rim == Manifest().rim()  # a change that canonical XML knows nothing of
