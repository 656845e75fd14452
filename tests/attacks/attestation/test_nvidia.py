"""A host that lies about its GPUs: others' reports, others' certificates, manifests that say what suits it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from enclave.attestation.errors import (
    BindingMismatch,
    ChainInvalid,
    EvidenceMalformed,
    MeasurementMismatch,
    NonceMismatch,
    SignatureInvalid,
)
from enclave.attestation.nvidia import require_reference, verified_nvidia
from enclave.attestation.rim import DRIVER, verified_rim
from tests.enclave.attestation.nvidia_gpu import (
    BLOCKS,
    FIELDS,
    FWID,
    NONCE,
    SIGNS,
    Gpu,
    Manifest,
    device_root,
    hopper_extension,
    pem,
    pinned,
    raw_signature,
    resource,
    rim_root,
    rim_signer,
)
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384
from tests.people import NOW, seeded
from tests.shared_data import shared

CAPTURED_AT = 1772323200  # 2026-03-01
SIGNED = Manifest().document().decode()
WANTED = seeded("what the host runs", 48)


def refused(report: bytes, chain: bytes, nonce: bytes = NONCE) -> None:
    verified_nvidia(report, chain, nonce=nonce, at=NOW, pinned=pinned())


def captured(name: str, file: str) -> bytes:
    return shared(f"evidence/nvgpu/nvgpu-h100-590-multi-{name}/{file}").read_bytes()


def test_a_report_of_yesterday_answers_no_challenge_of_today() -> None:
    yesterday = Gpu(nonce=seeded("yesterday", 32))
    with pytest.raises(NonceMismatch):
        refused(yesterday.report(), yesterday.chain())


def test_the_nonce_of_a_report_cannot_be_exchanged() -> None:
    report = Gpu(nonce=seeded("yesterday", 32)).report()
    with pytest.raises(SignatureInvalid):
        refused(report[:4] + NONCE + report[36:], Gpu().chain())


SIGNED_PLACES: Mapping[str, int] = {
    "version of the request": 0,
    "message of the request": 1,
    "signature not asked for": 2,
    "one block asked for": 3,
    "certificate slot": 36,
    "version of the response": 37,
    "an error instead of a response": 38,
    "slot of the response": 40,
    "count of the blocks": 41,
    "index of a block": 45,
    "specification of a block": 46,
    "size of a block": 47,
    "type of a measurement": 49,
    "size of a measurement": 50,
    "a measurement": 52,
    "nonce of the response": 45 + 64 * 55,
    "type of a field": 45 + 64 * 55 + 34,
    "size of a field": 45 + 64 * 55 + 36,
    "a field": 45 + 64 * 55 + 38,
}


@pytest.mark.parametrize("place", SIGNED_PLACES.values(), ids=SIGNED_PLACES)
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_what_is_changed_after_signing_is_not_signed(place: int, flip: int) -> None:
    report = bytearray(Gpu().report())
    report[place] ^= flip
    with pytest.raises(SignatureInvalid):
        refused(bytes(report), Gpu().chain())


def test_one_gpu_does_not_answer_with_another_s_certificates() -> None:
    other = Gpu(name="other", key=p384("other fmc"))
    with pytest.raises(SignatureInvalid):
        refused(Gpu().report(), other.chain())


def test_a_captured_gpu_does_not_answer_with_its_neighbor_s_certificates() -> None:
    with pytest.raises(SignatureInvalid):
        verified_nvidia(captured("0", "report.bin"), captured("1", "cert_chain.pem"), nonce=None, at=CAPTURED_AT)


def test_a_leaf_does_not_move_to_a_neighbor_s_chain() -> None:
    mark = b"-----END CERTIFICATE-----\n"
    one, other = captured("0", "cert_chain.pem").split(mark), captured("1", "cert_chain.pem").split(mark)
    with pytest.raises(ChainInvalid):
        verified_nvidia(captured("0", "report.bin"), mark.join([one[0], *other[1:]]), nonce=None, at=CAPTURED_AT)


def test_a_gpu_of_one_s_own_making_has_another_root() -> None:
    with pytest.raises(ChainInvalid):
        verified_nvidia(Gpu().report(), Gpu().chain(), nonce=NONCE, at=NOW)


def test_a_root_of_the_same_name_is_another_root() -> None:
    subjects = Gpu().subjects()
    forged = device_root().with_(key=p384("forged root"))
    subjects[3:] = [subjects[3].with_(issuer=forged), forged]
    with pytest.raises(ChainInvalid):
        refused(Gpu().report(), pem(subjects))


def test_a_gpu_s_own_key_certifies_no_other_key() -> None:
    leaf, rom, provisioner, *_ = Gpu().subjects()
    forged = Subject(name="forged", key=p384("forged"), issuer=leaf, usage=SIGNS, extensions=(hopper_extension(FWID),))
    unsigned = Gpu().unsigned()
    with pytest.raises(ChainInvalid):
        refused(
            unsigned + raw_signature(p384("forged"), unsigned), pem([forged, leaf, rom, provisioner, device_root()])
        )


def test_who_signs_manifests_signs_no_reports() -> None:
    unsigned = Gpu().unsigned()
    middle = rim_signer().issuer
    assert middle is not None
    with pytest.raises(ChainInvalid):
        refused(unsigned + raw_signature(rim_signer().key, unsigned), pem([rim_signer(), middle, rim_root()]))


def test_firmware_does_not_sign_under_the_certificate_of_other_firmware() -> None:
    with pytest.raises(BindingMismatch):
        Gpu().with_field(20, seeded("patched", 48)).claims()


def test_a_firmware_id_cannot_be_left_out_afterwards() -> None:
    without = [(kind, value) for kind, value in FIELDS.items() if kind != 20]
    with pytest.raises(SignatureInvalid):
        refused(Gpu(fields=without).unsigned() + Gpu().report()[-96:], Gpu().chain())


def test_a_gpu_signs_no_manifests() -> None:
    signer = Subject(name="gpu", key=p384("gpu"), issuer=device_root(), usage=SIGNS)
    with pytest.raises(ChainInvalid, match="NVIDIA CoRIM signing Root CA"):
        Manifest(signer=signer).rim()


def test_a_host_signs_no_manifests() -> None:
    root = Subject(name="rim root", key=p384("host"), ca=True, usage=CA_USAGE)
    with pytest.raises(ChainInvalid):
        Manifest(entries={10: [WANTED]}, signer=Subject(name="s", key=p384("s"), issuer=root, usage=SIGNS)).rim()


@pytest.mark.parametrize("version", ["550.90.7", "550.90.070", "535.86.09", "96.00.9F.00.01"])
def test_a_genuine_manifest_of_other_firmware_does_not_serve(version: str) -> None:
    manifest = Manifest(version=version, entries={10: [BLOCKS[11]]})
    with pytest.raises(MeasurementMismatch):
        require_reference(Gpu().claims(), [manifest.rim()], kinds={DRIVER})


def test_leaving_a_manifest_out_leaves_nothing_unjudged() -> None:
    with pytest.raises(MeasurementMismatch):
        require_reference(Gpu().claims(), [Manifest().rim()])
    with pytest.raises(MeasurementMismatch):
        require_reference(Gpu().claims(), [], kinds=frozenset())


def _forged() -> str:
    """Return a manifest that wants what the host runs, without signature."""
    return Manifest(entries={10: [WANTED]}).xml()


def _signature() -> str:
    begins = SIGNED.index("<ds:Signature ")
    return SIGNED[begins : SIGNED.index("</ds:Signature>") + len("</ds:Signature>")]


def _within(element: str, content: str) -> str:
    """Return the forged manifest with the genuine signature, the content put before the end of one of its elements."""
    signature = _signature().replace(f"</ds:{element}>", content + f"</ds:{element}>", 1)
    return _forged().replace("</SoftwareIdentity>", signature + "</SoftwareIdentity>")


WRAPPED: Mapping[str, Callable[[], str]] = {
    "forged manifest, genuine signature": lambda: _within("KeyInfo", ""),
    "genuine manifest below the forged one": lambda: _forged().replace("</Payload>", "</Payload>" + SIGNED),
    "genuine manifest within the payload": lambda: _forged().replace("<Payload>", "<Payload>" + SIGNED),
    "genuine manifest as an object of its signature": lambda: _within("Signature", f"<ds:Object>{SIGNED}</ds:Object>"),
    "genuine manifest within the key info": lambda: _within("KeyInfo", SIGNED),
    "genuine manifest within a certificate": lambda: _within("X509Certificate", SIGNED),
    "genuine manifest within the value": lambda: _within("SignatureValue", SIGNED),
    "genuine manifest within the signed info": lambda: _within("SignedInfo", SIGNED),
    "forged payload behind the genuine one": lambda: SIGNED.replace(
        "</Payload>", f"</Payload><Payload>{resource(10, [WANTED])}</Payload>"
    ),
    "forged payload within the signature": lambda: SIGNED.replace(
        "<ds:SignatureValue>", f"<Payload>{resource(10, [WANTED])}</Payload><ds:SignatureValue>"
    ),
    "forged payload within the key info": lambda: SIGNED.replace(
        "<ds:KeyInfo>", f"<ds:KeyInfo><Payload>{resource(10, [WANTED])}</Payload>"
    ),
    "two signatures": lambda: SIGNED.replace("</SoftwareIdentity>", _signature() + "</SoftwareIdentity>"),
    "a signature before the genuine one": lambda: SIGNED.replace("<Meta", _signature() + "<Meta"),
    "reference to the genuine part": lambda: (
        _forged()
        .replace("<Payload>", "<Payload>" + SIGNED.replace("<SoftwareIdentity", '<SoftwareIdentity Id="signed"'))
        .replace('URI=""', 'URI="#signed"')
    ),
    "XPath that leaves the forgery out": lambda: SIGNED.replace(
        "<ds:Transforms>",
        '<ds:Transforms><ds:Transform Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116">'
        "<ds:XPath>not(ancestor-or-self::Payload)</ds:XPath></ds:Transform>",
    ),
    "HMAC with a key the host knows": lambda: SIGNED.replace("#ecdsa-sha384", "#hmac-sha384"),
    "digest of nothing": lambda: SIGNED.replace("#sha384", "#md5"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_a_genuine_signature_covers_nothing_but_its_own_manifest(name: str) -> None:
    document = WRAPPED[name]()
    assert document != SIGNED
    with pytest.raises((SignatureInvalid, EvidenceMalformed)):
        verified_rim(document.encode(), at=NOW, pinned=pinned())


@pytest.mark.parametrize("inside", ["550.90.07", 'active="True"', BLOCKS[11].hex()])
def test_a_comment_cuts_no_value_in_two(inside: str) -> None:
    with pytest.raises(EvidenceMalformed):
        verified_rim(SIGNED.replace(inside, inside[:3] + "<!-- -->" + inside[3:]).encode(), at=NOW, pinned=pinned())


def test_an_entity_bomb_does_not_go_off() -> None:
    entities = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 10))
    bomb = f'<!DOCTYPE b [<!ENTITY e0 "boom">{entities}]>' + SIGNED.replace('name="GPU"', 'name="&e9;"')
    began = time.process_time()
    with pytest.raises(EvidenceMalformed):
        verified_rim(bomb.encode(), at=NOW, pinned=pinned())
    assert time.process_time() - began < 1


def test_no_file_of_the_verifier_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("550.90.07")
    document = f'<!DOCTYPE b [<!ENTITY e SYSTEM "{secret.as_uri()}">]>' + SIGNED.replace("550.90.07", "&e;")
    with pytest.raises(EvidenceMalformed):
        verified_rim(document.encode(), at=NOW, pinned=pinned())


def test_attributes_come_from_no_dtd() -> None:
    document = f'<!DOCTYPE b [<!ATTLIST Resource size CDATA "48">]>{SIGNED}'
    with pytest.raises(EvidenceMalformed):
        verified_rim(document.encode(), at=NOW, pinned=pinned())
