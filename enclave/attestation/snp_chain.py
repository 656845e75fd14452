"""Who signs SEV-SNP reports: a chip (VCEK) or a cloud provider's fleet (VLEK), certified by AMD for one TCB.

Source: AMD, Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification (57230).
Chain: ARK, self-signed and pinned, then ASK for VCEKs or ASVK for VLEKs, then the signer; RSA-PSS with SHA-384.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from enclave.attestation.certificates import UNREADABLE, certificate_from_der, verified_chain
from enclave.attestation.errors import CertificateForged, ChainInvalid, SignatureInvalid
from enclave.attestation.roots import AMD_GENOA, AMD_MILAN, AMD_TURIN, ROOTS
from enclave.attestation.snp_report import VCEK, VLEK

MILAN: Final = "Milan"
GENOA: Final = "Genoa"
TURIN: Final = "Turin"

_PRODUCTS: Final = {AMD_MILAN: MILAN, AMD_GENOA: GENOA, AMD_TURIN: TURIN}
_NAMED: Final = {MILAN: MILAN, GENOA: GENOA, "Bergamo": GENOA, "Siena": GENOA, TURIN: TURIN}  # without the stepping
_COMMON_NAMES: Final = {VCEK: "SEV-{}", VLEK: "SEV-VLEK-{}"}  # of the ASK and of the ASVK
_HWID_BYTES: Final = {MILAN: 64, GENOA: 64, TURIN: 8}

_OID: Final = "1.3.6.1.4.1.3704.1."
_PRODUCT_OID: Final = _OID + "2"
_HWID_OID: Final = _OID + "4"
_CSP_OID: Final = _OID + "5"
_UNTIL_GENOA: Final = ("3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8")  # OID of each byte of TCB_VERSION
_SINCE_TURIN: Final = ("3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8")
_TCB_OIDS: Final = {MILAN: _UNTIL_GENOA, GENOA: _UNTIL_GENOA, TURIN: _SINCE_TURIN}
_PARTS: Final = {"3.9": "fmc", "3.1": "bl", "3.2": "tee", "3.3": "snp", "3.8": "ucode"}  # the others are reserved

_INTEGER: Final = 0x02  # DER tags, X.690 section 8
_IA5_STRING: Final = 0x16


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpSigner:
    """What AMD certifies of the key that signs reports."""

    kind: str  # VCEK or VLEK
    product: str  # whose root certified it: Milan, Genoa or Turin
    product_in_certificate: bytes  # DER
    tcb: bytes  # TCB_VERSION
    hwid: bytes | None  # of a VCEK: the chip
    csp_id: str | None  # of a VLEK: the cloud provider
    key: ec.EllipticCurvePublicKey = field(repr=False, compare=False)


def verified_signer(
    signer: bytes, intermediate: bytes, root: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS
) -> SnpSigner:
    """Return who signs, if the three certificates (DER) lead to AMD's root of the signer's own product at a time.

    Raises: EvidenceMalformed: bytes are not certificates. SignatureInvalid: a certificate is altered.
        ChainInvalid: they do not lead there, or are not of the kinds they must be.
        CertificateExpired, CertificateNotYetValid: not at this time.
    """
    chain = [certificate_from_der(der) for der in (signer, intermediate, root)]
    try:
        product = _PRODUCTS[verified_chain(chain, roots=tuple(_PRODUCTS), at=at, pinned=pinned)]
    except CertificateForged as error:
        raise SignatureInvalid("the signer is not the one that AMD certified") from error
    leaf, issuer, _ = chain
    kind = _kind(leaf)
    wanted = _COMMON_NAMES[kind].format(product)
    if _common_name(issuer) != wanted:
        raise ChainInvalid(f"chain: a {kind} of {product} is issued by {wanted}, found {_common_name(issuer)!r}")
    return _read(leaf, kind, product)


def tcb_parts(tcb: bytes, product: str) -> dict[str, int]:
    """Return the security patch levels in a TCB_VERSION of the product, by their short names."""
    return {_PARTS[oid]: level for oid, level in zip(_TCB_OIDS[product], tcb, strict=True) if oid in _PARTS}


def product_of_cpu(family: int, model: int) -> str | None:
    """Return the product line of a CPU, or nothing where AMD's root for it is not pinned."""
    match family, model >> 4:
        case 0x19, 0x0:
            return MILAN
        case 0x19, 0x1 | 0xA:  # Genoa; Bergamo and Siena
            return GENOA
        case 0x1A, 0x0 | 0x1:
            return TURIN
    return None


def _kind(leaf: x509.Certificate) -> str:
    name = _common_name(leaf)
    if name not in ("SEV-VCEK", "SEV-VLEK"):
        raise ChainInvalid(f"chain: the signer is named {name!r}, wanted SEV-VCEK or SEV-VLEK")
    return name.removeprefix("SEV-")


def _common_name(certificate: x509.Certificate) -> str:
    try:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except UNREADABLE as error:
        raise ChainInvalid("chain: a certificate's subject cannot be read") from error
    return str(names[0].value) if len(names) == 1 else ""


def _read(leaf: x509.Certificate, kind: str, product: str) -> SnpSigner:
    extensions = {
        extension.oid.dotted_string: extension.value.value
        for extension in leaf.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    named = _der(extensions.get(_PRODUCT_OID), _IA5_STRING, "product name")
    line = _text(named).partition("-")[0]
    if _NAMED.get(line) != product:
        raise ChainInvalid(f"chain: the signer is certified for product {line!r} under the root of {product}")
    hwid, csp_id = extensions.get(_HWID_OID), extensions.get(_CSP_OID)
    if kind == VCEK and (hwid is None or len(hwid) != _HWID_BYTES[product] or csp_id is not None):
        raise ChainInvalid(
            f"chain: a VCEK of {product} names its chip in {_HWID_BYTES[product]} bytes, and no provider"
        )
    if kind == VLEK and (csp_id is None or hwid is not None):
        raise ChainInvalid("chain: a VLEK names its cloud provider, and no chip")
    return SnpSigner(
        kind=kind,
        product=product,
        product_in_certificate=extensions[_PRODUCT_OID],
        tcb=bytes(_level(extensions, oid) for oid in _TCB_OIDS[product]),
        hwid=hwid,
        csp_id=None if csp_id is None else _text(_der(csp_id, _IA5_STRING, "provider")),
        key=_p384(leaf),
    )


def _p384(leaf: x509.Certificate) -> ec.EllipticCurvePublicKey:
    try:
        key = leaf.public_key()
    except UNREADABLE as error:
        raise ChainInvalid("chain: the signer's key cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainInvalid("chain: the signer's key is not on P-384")
    return key


def _level(extensions: Mapping[str, bytes], oid: str) -> int:
    """Return one byte of the certified TCB; a reserved one may be missing, and is then zero."""
    if _OID + oid not in extensions and oid not in _PARTS:
        return 0
    value = _der(extensions.get(_OID + oid), _INTEGER, "patch level")
    minimal = len(value) == 1 or (len(value) == 2 and value[1] >= 0x80)  # two where the sign bit needs room
    level = int.from_bytes(value, "big", signed=True)
    if not minimal or not 0 <= level <= 0xFF:
        raise ChainInvalid(f"chain: patch level {oid} is not an integer of one byte")
    return level


def _der(encoded: bytes | None, tag: int, what: str) -> bytes:
    """Return the content of a short DER value that must be there and of this tag."""
    if encoded is None or not 3 <= len(encoded) < 0x80 or encoded[:2] != bytes((tag, len(encoded) - 2)):
        raise ChainInvalid(f"chain: the signer's certificate does not tell its {what}")
    return encoded[2:]


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise ChainInvalid("chain: text in the signer's certificate is not ASCII") from error
