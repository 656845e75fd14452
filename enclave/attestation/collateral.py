"""Intel's collateral for a quote: TCB info, QE identity and revocation lists, each as Intel signed it.

Form: the QuoteCollateralV3 JSON that DCAP tools exchange. Contents: Intel PCS API version 4. The issuer chain of the
PCK revocation list is not used: that list must be signed by the certificate authority in the quote's own chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from enclave.attestation.certificates import UNREADABLE, certificates_from_pem, time_text, verified_chain
from enclave.attestation.errors import (
    CertificateMalformed,
    CertificateRevoked,
    ChainInvalid,
    CollateralExpired,
    CollateralForged,
    CollateralMismatch,
    CollateralNotYetValid,
    EvidenceMalformed,
)
from enclave.attestation.quote import SGX, TDX
from enclave.attestation.roots import INTEL_SGX
from enclave.attestation.strict_json import Json, hex_of, object_from, text_of

COLLATERAL_BYTES_MAX: Final = 64 << 10  # real ones take 14 to 21 KiB

_TCB_SIGNER: Final = "Intel SGX TCB Signing"
_IDS: Final = {SGX: ("SGX", "QE"), TDX: ("TDX", "TD_QE")}  # of TCB info and QE identity
_DATE: Final = "%Y-%m-%dT%H:%M:%SZ"
_PEM: Final = re.compile(
    rb"(?:-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----[\r\n]*){1,8}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One of the two documents that Intel's TCB signing key signs. Dates are UTC seconds."""

    what: str
    text: str
    signature: bytes
    issuer_chain: str
    signers: tuple[x509.Certificate, ...]
    id: str
    issued: int
    next_update: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """A CRL (RFC 5280, section 5). Dates are UTC seconds; a newer list is out at `next_update`."""

    what: str
    der: bytes
    parsed: x509.CertificateRevocationList
    issued: int
    next_update: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Collateral:
    """All that Intel publishes about one family of platforms and their quoting enclave."""

    pck_crl_issuer_chain: str
    root_ca_crl: RevocationList
    pck_crl: RevocationList
    tcb_info: Document
    qe_identity: Document


def collateral_from(data: bytes) -> Collateral:
    """Return the collateral that JSON text holds; members of other names are ignored. Raises `EvidenceMalformed`."""
    what = "collateral"
    members = object_from(data, what=what, bytes_max=COLLATERAL_BYTES_MAX)
    return Collateral(
        pck_crl_issuer_chain=text_of(members, "pck_crl_issuer_chain", what=what),
        root_ca_crl=_crl(hex_of(members, "root_ca_crl", what=what), what="root CA CRL"),
        pck_crl=_crl(hex_of(members, "pck_crl", what=what), what="PCK CRL"),
        tcb_info=_document(members, "tcb_info", what="TCB info"),
        qe_identity=_document(members, "qe_identity", what="QE identity"),
    )


def require_current(collateral: Collateral, *, at: int) -> None:
    """Raise `CollateralExpired` or `CollateralNotYetValid` unless every part is in force at `at`."""
    for document in (collateral.tcb_info, collateral.qe_identity):
        _require_within(document.what, document.issued, document.next_update, at)
    for crl in (collateral.root_ca_crl, collateral.pck_crl):
        _require_within(crl.what, crl.issued, crl.next_update - 1, at)


def verify_collateral(
    collateral: Collateral,
    pck_chain: Sequence[x509.Certificate],
    *,
    fmspc: bytes,
    tee_type: int,
    at: int,
    pinned: Mapping[str, bytes],
) -> None:
    """Raise unless Intel signed every part, for this kind of platform, and none of it revokes a certificate in use.

    Args:
        pck_chain: the quote's, leaf first, verified already.
        fmspc: the family of platforms that the PCK certificate names.
    """
    pck, pck_ca, root = pck_chain
    for document in (collateral.tcb_info, collateral.qe_identity):
        _require_signed(document, at=at, pinned=pinned)
    _require_issued(collateral.root_ca_crl, root)
    _require_issued(collateral.pck_crl, pck_ca)
    signers = [collateral.tcb_info.signers[0], collateral.qe_identity.signers[0]]
    _require_unrevoked(collateral.root_ca_crl, [root, pck_ca, *signers])
    _require_unrevoked(collateral.pck_crl, [pck])
    found, wanted = (collateral.tcb_info.id, collateral.qe_identity.id), _IDS[tee_type]
    if found != wanted:
        raise CollateralMismatch(f"collateral: found {' and '.join(found)[:40]!r}, wanted {' and '.join(wanted)!r}")
    members = object_from(collateral.tcb_info.text.encode(), what="TCB info", bytes_max=COLLATERAL_BYTES_MAX)
    described = hex_of(members, "fmspc", what="TCB info")
    if described != fmspc:
        raise CollateralMismatch(f"collateral: found TCB info of FMSPC {described.hex()[:20]}, wanted {fmspc.hex()}")


def chain_from(pem: bytes, *, what: str) -> tuple[x509.Certificate, ...]:
    """Return the certificates of PEM text that holds nothing else, or raise `CertificateMalformed`."""
    if not _PEM.fullmatch(pem):
        raise CertificateMalformed(f"{what}: wanted certificates in PEM and nothing else")
    return certificates_from_pem(pem)


def is_signed(certificate: x509.Certificate, signature: bytes, data: bytes) -> bool:
    """Say whether a certificate's P-256 key made this signature, r ‖ s, over `data`. Raises `ChainInvalid`."""
    key = certificate.public_key()
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise ChainInvalid("chain: the signer's key is not of P-256")
    return is_signed_by(key, signature, data)


def is_signed_by(key: EllipticCurvePublicKey, signature: bytes, data: bytes) -> bool:
    """Say whether a P-256 key made this signature, r ‖ s, over the SHA-256 of `data`."""
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), data, ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return len(signature) == 64


def common_name(name: x509.Name) -> str:
    """Return the one common name in a distinguished name, or empty text."""
    values = [attribute.value for attribute in name.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else ""


def _document(members: dict[str, Json], name: str, *, what: str) -> Document:
    text = text_of(members, name, what="collateral")
    issuer_chain = text_of(members, f"{name}_issuer_chain", what="collateral")
    inner = object_from(text.encode(), what=what, bytes_max=COLLATERAL_BYTES_MAX)
    return Document(
        what=what,
        text=text,
        signature=hex_of(members, f"{name}_signature", what="collateral"),
        issuer_chain=issuer_chain,
        signers=chain_from(issuer_chain.encode(), what=f"issuer chain of {what}"),
        id=text_of(inner, "id", what=what),
        issued=_date(text_of(inner, "issueDate", what=what), what),
        next_update=_date(text_of(inner, "nextUpdate", what=what), what),
    )


def _date(text: str, what: str) -> int:
    try:
        return int(datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise EvidenceMalformed(f"{what}: a date is not of the form {_DATE}") from None


def _crl(der: bytes, *, what: str) -> RevocationList:
    try:
        parsed = x509.load_der_x509_crl(der)
        issued, next_update = parsed.last_update_utc, parsed.next_update_utc
    except UNREADABLE as error:
        raise EvidenceMalformed(f"{what}: {len(der)} bytes are not a revocation list in DER") from error
    if next_update is None:
        raise EvidenceMalformed(f"{what}: names no next update")
    return RevocationList(
        what=what, der=der, parsed=parsed, issued=int(issued.timestamp()), next_update=int(next_update.timestamp())
    )


def _require_within(what: str, begins: int, ends: int, at: int) -> None:
    if at < begins:
        raise CollateralNotYetValid(
            f"{what}: issued {time_text(begins)}, after the time of verification, {time_text(at)}"
        )
    if at > ends:
        raise CollateralExpired(
            f"{what}: to be replaced by {time_text(ends)}, and it is {time_text(at)}; fetch it anew"
        )


def _require_signed(document: Document, *, at: int, pinned: Mapping[str, bytes]) -> None:
    """Raise unless the TCB signing key, which the root itself vouches for, signed the document."""
    if len(document.signers) != 2:
        raise ChainInvalid(f"issuer chain of {document.what}: {len(document.signers)} certificates, wanted 2")
    verified_chain(document.signers, roots=[INTEL_SGX], at=at, pinned=pinned)
    signer = document.signers[0]
    if common_name(signer.subject) != _TCB_SIGNER:  # a PCK certificate's key must not speak for Intel
        raise ChainInvalid(f"issuer chain of {document.what}: the signer is not named {_TCB_SIGNER}")
    if not is_signed(signer, document.signature, document.text.encode()):
        raise CollateralForged(f"{document.what}: not signed by Intel's TCB signing key")


def _require_issued(crl: RevocationList, issuer: x509.Certificate) -> None:
    key = issuer.public_key()
    if not isinstance(key, EllipticCurvePublicKey):
        raise ChainInvalid("chain: the key of a certificate authority is not of an elliptic curve")
    try:
        issued = crl.parsed.issuer == issuer.subject and crl.parsed.is_signature_valid(key)
    except UNREADABLE as error:
        raise CollateralForged(f"{crl.what}: its signature cannot be read") from error
    if not issued:
        raise CollateralForged(f"{crl.what}: not signed by {common_name(issuer.subject)}")


def _require_unrevoked(crl: RevocationList, certificates: Sequence[x509.Certificate]) -> None:
    for certificate in certificates:
        if crl.parsed.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise CertificateRevoked(f"chain: {common_name(certificate.subject)} is revoked by its issuer")
