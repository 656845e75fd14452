"""XML signatures of one profile and no other (W3C XML Signature 1.1): the one NVIDIA signs its manifests with.

One enveloped signature over the whole document, C14N 1.1, SHA-384, ECDSA. The cryptography is `signxml`'s; what is
allowed to reach it is decided here, element by element, and what is returned is parsed from the very bytes that were
digested (docs/decisions/004-xml-signatures-of-rims.md). C14N 1.1 and 1.0 differ in `xml:` attributes alone, which are
refused, because the library underneath knows only 1.0.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from enclave.attestation.certificates import CHAIN_LENGTH_MAX, UNREADABLE, certificate_from_der
from enclave.attestation.errors import ChainInvalid, EvidenceMalformed, KindUnsupported, SignatureInvalid

Element: TypeAlias = Any  # of lxml, which ships no types

ELEMENTS_MAX: Final = 1024  # a manifest of 64 measurements has 85

_DS: Final = "{http://www.w3.org/2000/09/xmldsig#}"
_XML: Final = "{http://www.w3.org/XML/1998/namespace}"
_C14N11: Final = {"Algorithm": "http://www.w3.org/2006/12/xml-c14n11"}
_ENVELOPED: Final = {"Algorithm": "http://www.w3.org/2000/09/xmldsig#enveloped-signature"}
_ECDSA_SHA384: Final = {"Algorithm": "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384"}
_SHA384: Final = {"Algorithm": "http://www.w3.org/2001/04/xmldsig-more#sha384"}

_Shape: TypeAlias = tuple[str, dict[str, str], list["_Shape"]]


def _ds(name: str, attributes: dict[str, str] | None = None, *children: _Shape) -> _Shape:
    return _DS + name, attributes or {}, list(children)


_TRANSFORMS: Final = _ds("Transforms", None, _ds("Transform", _ENVELOPED), _ds("Transform", _C14N11))
_REFERENCE: Final = _ds("Reference", {"URI": ""}, _TRANSFORMS, _ds("DigestMethod", _SHA384), _ds("DigestValue"))
_SIGNED_INFO: Final = _ds(
    "SignedInfo", None, _ds("CanonicalizationMethod", _C14N11), _ds("SignatureMethod", _ECDSA_SHA384), _REFERENCE
)

_PARTS: Final = [_DS + "SignedInfo", _DS + "SignatureValue", _DS + "KeyInfo"]


def parsed(document: bytes, *, bytes_max: int) -> Element:
    """Return the root element of an XML document without DTD, comments, CDATA or instructions.

    Nothing outside the document is ever read. Raise `EvidenceMalformed` for any other document.
    """
    etree = _etree()
    if len(document) > bytes_max:
        raise EvidenceMalformed(f"XML of {len(document)} bytes is over the limit of {bytes_max}")
    body = document[document.find(b"?>") + 2 :] if document.startswith(b"<?xml ") else document
    if b"<!" in document or b"<?" in body:
        raise EvidenceMalformed("XML with a DTD, comment, CDATA or instruction")
    parser = etree.XMLParser(encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root: Element = etree.fromstring(document, parser)
    except (etree.LxmlError, ValueError) as error:
        raise EvidenceMalformed(f"{len(document)} bytes are not XML") from error
    elements = list(root.iter())
    if len(elements) > ELEMENTS_MAX:
        raise EvidenceMalformed(f"XML of {len(elements)} elements is over the limit of {ELEMENTS_MAX}")
    if any(str(name).startswith(_XML) for element in elements for name in element.attrib):
        raise EvidenceMalformed("XML with an attribute of the xml namespace")
    return root


def signers_of(root: Element) -> tuple[x509.Certificate, ...]:
    """Return the certificates, signer first, of a document whose signature is of our profile.

    Raise `SignatureInvalid` where it is of another: another algorithm, a second signature, or one that covers less
    than the whole document. Nothing has been verified yet.
    """
    signatures = list(root.iter(_DS + "Signature"))
    if len(signatures) != 1 or signatures[0].getparent() is not root:
        raise SignatureInvalid(f"signature: found {len(signatures)}, wanted exactly one, right below the root")
    parts = list(signatures[0])
    if [str(part.tag) for part in parts] != _PARTS or signatures[0].attrib or parts[2].attrib:
        raise SignatureInvalid("signature: wanted SignedInfo, SignatureValue and KeyInfo")
    if _shape(parts[0]) != _SIGNED_INFO or _shape(parts[1]) != _ds("SignatureValue"):
        raise SignatureInvalid("signature: wanted ECDSA-SHA384 over the whole document, enveloped, C14N 1.1")
    data = list(parts[2])
    if [part.tag for part in data] != [_DS + "X509Data"] or data[0].attrib or len(data[0]) > CHAIN_LENGTH_MAX:
        raise SignatureInvalid(f"signature: wanted one X509Data with at most {CHAIN_LENGTH_MAX} certificates")
    if any(_shape(part) != _ds("X509Certificate") for part in data[0]):
        raise SignatureInvalid("signature: something among the certificates is none")
    return tuple(certificate_from_der(_decoded(part.text or "")) for part in data[0])


def require_signed(root: Element, signer: x509.Certificate, *, at: int) -> Element:
    """Return the document without its signature as the signer signed it, or raise `SignatureInvalid`.

    Args:
        root: of our profile, as `signers_of` has found.
        signer: the certificate to verify with, whose chain the caller has verified at `at`.
    """
    signxml = _signxml()
    try:
        key = signer.public_key()
    except UNREADABLE as error:
        raise ChainInvalid("chain: the key of the signer's certificate cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainInvalid("chain: the key of the signer's certificate is not a P-384 key")
    expected = signxml.SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset({signxml.SignatureMethod.ECDSA_SHA384}),
        digest_algorithms=frozenset({signxml.DigestAlgorithm.SHA384}),
        verification_time=datetime.fromtimestamp(at, UTC),
    )
    try:
        result = signxml.XMLVerifier().verify(root, x509_cert=signer, expect_config=expected)
    except (signxml.exceptions.SignXMLException, _etree().LxmlError, ValueError, TypeError, AssertionError) as error:
        raise SignatureInvalid("the certified signer did not sign this document") from error
    if result.signed_xml is None:
        raise SignatureInvalid("the signed bytes are no document")
    signed: Element = result.signed_xml
    return signed


def _shape(element: Element) -> _Shape:
    attributes = {str(name): str(value) for name, value in element.attrib.items()}
    return str(element.tag), attributes, [_shape(child) for child in element]


def _decoded(text: str) -> bytes:
    """Return what base64 broken into lines encodes."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EvidenceMalformed("a certificate is not in base64") from error


def _etree() -> Any:
    return _imported("lxml.etree")


def _signxml() -> Any:
    return _imported("signxml")


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except (ImportError, AttributeError) as error:  # signxml before 4.5 asks cryptography for curves it no longer has
        raise KindUnsupported(
            "rim: what verifies XML signatures is not installed; install with: pip install 'coffer[attestation]'"
        ) from error
