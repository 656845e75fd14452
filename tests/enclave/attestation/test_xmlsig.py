"""XML signatures: one profile, and every other one refused."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from enclave.attestation import xmlsig
from enclave.attestation.errors import ChainInvalid, EvidenceMalformed, KindUnsupported, SignatureInvalid
from enclave.attestation.rim import DOCUMENT_BYTES_MAX, Rim, verified_rim
from enclave.attestation.xmlsig import ELEMENTS_MAX, parsed
from tests.enclave.attestation.nvidia_gpu import SIGNS, Manifest, encoded, pinned, rim_signer
from tests.enclave.attestation.pki import Key, Subject, p384, rsa_key
from tests.people import NOW

DOCUMENT = Manifest().document()


def verified(document: bytes, *, at: int = NOW) -> Rim:
    return verified_rim(document, at=at, pinned=pinned())


@pytest.mark.parametrize(
    "profile",
    [
        {"signature_algorithm": "ecdsa-sha256"},
        {"signature_algorithm": "ecdsa-sha512"},
        {"digest_algorithm": "sha256"},
        {"digest_algorithm": "sha512"},
        {"c14n_algorithm": "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"},
        {"c14n_algorithm": "http://www.w3.org/2001/10/xml-exc-c14n#"},
        {"c14n_algorithm": "http://www.w3.org/2006/12/xml-c14n11#WithComments"},
    ],
    ids=lambda profile: "-".join(profile.values()),
)
def test_one_profile_is_accepted_and_no_other(profile: Mapping[str, str]) -> None:
    with pytest.raises(SignatureInvalid, match="wanted ECDSA-SHA384"):
        Manifest(signature=profile).rim()


def test_the_chain_s_first_certificate_is_the_signer_s() -> None:
    other = Subject(name="other", key=p384("other"), issuer=rim_signer().issuer, ca=False, usage=SIGNS)
    theirs, ours = encoded(other.der()).encode(), encoded(rim_signer().der()).encode()
    packed = b"".join(DOCUMENT.split(b"\n"))
    assert ours in packed
    with pytest.raises(SignatureInvalid):
        verified(packed.replace(ours, theirs))


@pytest.mark.parametrize("key", [rsa_key("rim"), ec.derive_private_key(7, ec.SECP256R1())], ids=["RSA", "P-256"])
def test_the_signing_key_is_a_p384_key(key: Key) -> None:
    signer = rim_signer().with_(key=key, signer=p384("rim middle"))
    theirs, ours = encoded(signer.der()).encode(), encoded(rim_signer().der()).encode()
    with pytest.raises(ChainInvalid, match="P-384"):
        verified(b"".join(DOCUMENT.split(b"\n")).replace(ours, theirs))


CERTIFICATE = b"<ds:X509Certificate>"


CHANGES: Mapping[str, tuple[bytes, bytes]] = {
    "reference to a part": (b'URI=""', b'URI="#part"'),
    "reference to elsewhere": (b'URI=""', b'URI="http://example.org/"'),
    "reference without URI": (b'URI=""', b""),
    "typed reference": (b'URI=""', b'URI="" Type="x"'),
    "signature with an id": (b"<ds:Signature ", b'<ds:Signature Id="x" '),
    "value with an id": (b"<ds:SignatureValue>", b'<ds:SignatureValue Id="x">'),
    "something within the value": (b"</ds:SignatureValue>", b"<Payload/></ds:SignatureValue>"),
    "key info with an id": (b"<ds:KeyInfo>", b'<ds:KeyInfo Id="x">'),
    "certificates with an id": (b"<ds:X509Data>", b'<ds:X509Data Id="x">'),
    "something within a certificate": (b"</ds:X509Certificate>", b"<Payload/></ds:X509Certificate>"),
    "second set of certificates": (b"</ds:X509Data>", b"</ds:X509Data><ds:X509Data/>"),
    "key value": (b"<ds:KeyInfo>", b"<ds:KeyInfo><ds:KeyValue/>"),
    "key name": (b"</ds:X509Data>", b"</ds:X509Data><ds:KeyName>k</ds:KeyName>"),
    "object": (b"</ds:KeyInfo>", b"</ds:KeyInfo><ds:Object/>"),
    "certificate with an id": (CERTIFICATE, b'<ds:X509Certificate Id="x">'),
    "subject name": (CERTIFICATE, b"<ds:X509SubjectName/>" + CERTIFICATE),
    "no digest": (b"<ds:DigestValue>", b"<ds:DigestValue/><ds:Digest>"),
    "transform with a parameter": (b"<ds:Transforms>", b"<ds:Transforms><ds:Transform/>"),
    "one certificate over": (b"</ds:X509Data>", 9 * (CERTIFICATE + b"</ds:X509Certificate>") + b"</ds:X509Data>"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_signature_of_another_shape_is_refused(name: str) -> None:
    old, new = CHANGES[name]
    document = DOCUMENT.replace(old, new, 1).replace(b"</ds:DigestValue>", b"</ds:Digest>", name == "no digest")
    assert document != DOCUMENT
    with pytest.raises(SignatureInvalid):
        verified(document)


@pytest.mark.parametrize("text", [b"", b"!", b"AAAA", b"A" * 20_000, "é".encode()])
def test_a_certificate_that_is_none_is_malformed(text: bytes) -> None:
    begins = DOCUMENT.index(CERTIFICATE) + len(CERTIFICATE)
    ends = DOCUMENT.index(b"</ds:X509Certificate>")
    with pytest.raises(EvidenceMalformed):
        verified(DOCUMENT[:begins] + text + DOCUMENT[ends:])


def test_a_signature_stands_right_below_the_root() -> None:
    begins, ends = DOCUMENT.index(b"<ds:Signature "), DOCUMENT.index(b"</ds:Signature>") + len(b"</ds:Signature>")
    unsigned, signature = DOCUMENT[:begins] + DOCUMENT[ends:], DOCUMENT[begins:ends]
    with pytest.raises(SignatureInvalid, match="right below the root"):
        verified(unsigned.replace(b"</Payload>", signature + b"</Payload>"))


def test_a_manifest_without_signature_is_not_signed() -> None:
    with pytest.raises(SignatureInvalid, match="found 0"):
        verified(Manifest().xml().encode())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<",
        b"<a",
        b"<a/><b/>",
        b"<a/>trailing",
        b"<a><!-- comment --></a>",
        b"<a><![CDATA[x]]></a>",
        b"<a><?target?></a>",
        b"<?xml-stylesheet href='x'?><a/>",
        b"<a/><?target?>",
        b'<!DOCTYPE a SYSTEM "http://example.org/a.dtd"><a/>',
        b'<?xml version="1.0"?><!DOCTYPE a><a/>',
        b"<a>&undefined;</a>",
        b"<a>\0</a>",
        b"<a/>\0<b/>",
        b"<a>\xff</a>",
        b'<a xml:base="http://example.org/"/>',
        b'<a><b xml:id="x"/></a>',
        "<a/>".encode("utf-16"),
        b"<a>" * 300 + b"</a>" * 300,
        b"<r>" + b"<a/>" * ELEMENTS_MAX + b"</r>",
    ],
    ids=range(21),
)
def test_xml_we_have_no_use_for_is_malformed(document: bytes) -> None:
    with pytest.raises(EvidenceMalformed):
        parsed(document, bytes_max=DOCUMENT_BYTES_MAX)


def test_xml_is_bounded_before_it_is_parsed() -> None:
    document = b"<a/>" + b" " * 96
    assert parsed(document, bytes_max=100).tag == "a"
    with pytest.raises(EvidenceMalformed, match="100 bytes is over the limit of 99"):
        parsed(document, bytes_max=99)


def test_xml_has_a_bounded_number_of_elements() -> None:
    document = b"<r>" + b"<a/>" * (ELEMENTS_MAX - 1) + b"</r>"
    assert len(parsed(document, bytes_max=DOCUMENT_BYTES_MAX)) == ELEMENTS_MAX - 1


def test_an_encoding_said_to_be_another_is_still_read_as_utf8() -> None:
    assert parsed(b'<?xml version="1.0" encoding="UTF-7"?><a>+ADw-</a>', bytes_max=99).text == "+ADw-"


@pytest.mark.parametrize("broken", [ModuleNotFoundError, AttributeError])
def test_without_its_library_a_manifest_is_of_no_kind_we_know(
    monkeypatch: pytest.MonkeyPatch, broken: type[Exception]
) -> None:
    def not_there(name: str) -> None:
        raise broken(name)

    monkeypatch.setattr(xmlsig, "import_module", not_there)
    with pytest.raises(KindUnsupported, match=r"pip install 'coffer\[attestation\]'"):
        verified(DOCUMENT)
