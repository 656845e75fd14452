"""X.509 certificates of TEE vendors: parsed within bounds, walked to a pinned root, at a given time (RFC 5280).

Chains are short and fixed, so there is no path building: every certificate given must issue the one before it, and
the last must be a pinned root. Nothing is fetched; revocation is the business of whoever holds the vendor's list.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtensionOID

from enclave.attestation.errors import (
    CertificateExpired,
    CertificateForged,
    CertificateMalformed,
    CertificateNotYetValid,
    ChainInvalid,
)
from enclave.attestation.roots import ROOTS, require_root

CERTIFICATE_BYTES_MAX: Final = 8 << 10  # the largest real one, AMD's with RSA-4096, takes 1.7 KiB
CHAIN_LENGTH_MAX: Final = 8  # NVIDIA's and AWS's take 5
PEM_BYTES_MAX: Final = 2 * CHAIN_LENGTH_MAX * CERTIFICATE_BYTES_MAX

_UNDERSTOOD: Final = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
)
UNREADABLE: Final = (  # what cryptography raises for bytes it cannot make sense of, at once or when a field is read
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_SERIAL_ZERO: Final = "Parsed a serial number which wasn't positive"  # AMD's; cryptography warns of it
_warnings_lock: Final = threading.Lock()  # warning filters belong to the process, not to the thread


def certificate_from_der(der: bytes) -> x509.Certificate:
    """Return the certificate that all of `der` encodes, or raise `CertificateMalformed`."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise CertificateMalformed(f"certificate of {len(der)} bytes is over the limit of {CERTIFICATE_BYTES_MAX}")
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_SERIAL_ZERO, category=CryptographyDeprecationWarning)
            return x509.load_der_x509_certificate(der)
    except UNREADABLE as error:
        raise CertificateMalformed(f"{len(der)} bytes are not a certificate in DER") from error


def certificates_from_pem(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM file in its order, 1 to `CHAIN_LENGTH_MAX`, or raise `CertificateMalformed`."""
    if len(pem) > PEM_BYTES_MAX:
        raise CertificateMalformed(f"certificates of {len(pem)} bytes are over the limit of {PEM_BYTES_MAX}")
    try:
        with _warnings_lock, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=_SERIAL_ZERO, category=CryptographyDeprecationWarning)
            certificates = x509.load_pem_x509_certificates(pem)
    except UNREADABLE as error:
        raise CertificateMalformed(f"{len(pem)} bytes are not certificates in PEM") from error
    if not 1 <= len(certificates) <= CHAIN_LENGTH_MAX:
        raise CertificateMalformed(f"{len(certificates)} certificates, wanted 1 to {CHAIN_LENGTH_MAX}")
    return tuple(certificates)


def verified_chain(
    leaf_first: Sequence[x509.Certificate], *, roots: Sequence[str], at: int, pinned: Mapping[str, bytes] = ROOTS
) -> str:
    """Return the name of the root that the whole chain leads to, at a time in Unix seconds.

    Args:
        leaf_first: the signer of the evidence, then each issuer, the root last; no others, none twice.
        roots: names of the roots that will do.
        pinned: the hash of each root by name; another than ours only in tests.
    Raises: ChainInvalid: a link, the root or a certificate's constraints do not hold.
        CertificateForged: names hold, but an issuer did not sign.
        CertificateExpired, CertificateNotYetValid: the chain holds, but not at this time.
    """
    if not 2 <= len(leaf_first) <= CHAIN_LENGTH_MAX:
        raise ChainInvalid(f"chain of {len(leaf_first)} certificates, wanted 2 to {CHAIN_LENGTH_MAX}")
    encoded = [_der(certificate) for certificate in leaf_first]
    if len({sha256(der).digest() for der in encoded}) != len(encoded):
        raise ChainInvalid("chain: a certificate stands in it twice")
    root = require_root(encoded[-1], *roots, pinned=pinned)
    for place in range(len(leaf_first) - 1, 0, -1):  # from the root down, so that no unproven key is ever used
        _require_issued(leaf_first[place - 1], leaf_first[place], place=place)
    _require_leaf(leaf_first[0])
    for place, certificate in enumerate(leaf_first):
        _require_valid(certificate, place=place, at=at)
    return root


def _der(certificate: x509.Certificate) -> bytes:
    """Return the certificate's bytes, in the one form its signer could have given them."""
    try:
        der, signature = certificate.public_bytes(Encoding.DER), certificate.signature
    except UNREADABLE as error:
        raise ChainInvalid("chain: a certificate cannot be read") from error
    if der[: -len(signature)][-1:] != b"\0":  # X.690, section 8.6.2.2: bits of the last octet that do not count
        raise ChainInvalid("chain: a certificate's signature is not of whole bytes")
    return der


def _require_issued(certificate: x509.Certificate, issuer: x509.Certificate, *, place: int) -> None:
    """Raise unless the issuer at `place` may issue and issued the certificate before it."""
    try:
        certificate.verify_directly_issued_by(issuer)
        constraints, usage = _constraints(issuer, place=place)
    except InvalidSignature as error:
        raise CertificateForged(f"chain: certificate {place - 1} is not signed by certificate {place}") from error
    except UNREADABLE as error:
        raise ChainInvalid(f"chain: certificate {place - 1} is not issued by certificate {place}") from error
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise ChainInvalid(f"chain: certificate {place} may not issue certificates")
    below = place - 1  # intermediates between this issuer and the leaf (RFC 5280, section 4.2.1.9)
    if constraints.path_length is not None and constraints.path_length < below:
        raise ChainInvalid(f"chain: certificate {place} allows {constraints.path_length} below it, found {below}")


def _require_leaf(leaf: x509.Certificate) -> None:
    """Raise unless the certificate may sign evidence, and no certificates."""
    try:
        constraints, usage = _constraints(leaf, place=0)
    except UNREADABLE as error:
        raise ChainInvalid("chain: the signer's certificate cannot be read") from error
    if constraints is not None and constraints.ca:
        raise ChainInvalid("chain: the signer's certificate is a certificate authority's")
    if usage is not None and (usage.key_cert_sign or not usage.digital_signature):
        raise ChainInvalid("chain: the signer's certificate is not for signatures over data")


def _constraints(
    certificate: x509.Certificate, *, place: int
) -> tuple[x509.BasicConstraints | None, x509.KeyUsage | None]:
    """Return what the certificate may be used for; raise `ChainInvalid` for a critical extension not understood."""
    constraints: x509.BasicConstraints | None = None
    usage: x509.KeyUsage | None = None
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise ChainInvalid(f"chain: certificate {place} has critical extension {extension.oid.dotted_string}")
        if isinstance(extension.value, x509.BasicConstraints):
            constraints = extension.value
        elif isinstance(extension.value, x509.KeyUsage):
            usage = extension.value
    return constraints, usage


def _require_valid(certificate: x509.Certificate, *, place: int, at: int) -> None:
    """Raise unless the certificate is valid at `at`, both ends included (RFC 5280, section 4.1.2.5)."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if at < int(begins.timestamp()):
        raise CertificateNotYetValid(f"certificate {place} is valid from {begins.isoformat()}, it is {time_text(at)}")
    if at > int(ends.timestamp()):
        raise CertificateExpired(f"certificate {place} was valid until {ends.isoformat()}, it is {time_text(at)}")


def time_text(at: int) -> str:
    """Return a time in Unix seconds for people."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat()
    except (ValueError, OverflowError, OSError):  # beyond what a calendar holds
        return f"{at} s"
