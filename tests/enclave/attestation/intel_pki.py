"""Certificates and revocation lists of a maker of processors that does not exist, in the forms Intel uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.enclave.attestation.pki import common_name, key_usage
from tests.people import DAY_S, NOW, seeded

SGX_EXTENSION = "1.2.840.113741.1.13.1"


@cache
def p256(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(seeded(label, 31), "big"), ec.SECP256R1())


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256(), deterministic_signing=True)))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One certificate to be; `with_` breaks one fact of it."""

    name: str
    issuer: Subject | None = None  # itself
    ca: bool = False
    begins: int = NOW - 300 * DAY_S
    ends: int = NOW + 300 * DAY_S
    sgx_extension: bytes | None = None
    key_label: str = ""  # the name
    signer_label: str = ""  # the issuer's key

    def with_(self, **facts: Any) -> Subject:
        return replace(self, **facts)

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        return p256(self.key_label or self.name)

    @property
    def serial(self) -> int:
        return 1 + int.from_bytes(sha256(self.name.encode()).digest()[:8], "big")

    def certificate(self) -> x509.Certificate:
        issuer = self.issuer or self
        usages = ("key_cert_sign", "crl_sign") if self.ca else ("digital_signature", "content_commitment")
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(self.name))
            .issuer_name(common_name(issuer.name))
            .public_key(self.key.public_key())
            .serial_number(self.serial)
            .not_valid_before(datetime.fromtimestamp(self.begins, UTC))
            .not_valid_after(datetime.fromtimestamp(self.ends, UTC))
            .add_extension(x509.BasicConstraints(ca=self.ca, path_length=None), critical=True)
            .add_extension(key_usage(usages), critical=True)
        )
        if self.sgx_extension is not None:
            unrecognized = x509.UnrecognizedExtension(x509.ObjectIdentifier(SGX_EXTENSION), self.sgx_extension)
            builder = builder.add_extension(unrecognized, critical=False)
        key = p256(self.signer_label) if self.signer_label else issuer.key
        return builder.sign(key, SHA256(), ecdsa_deterministic=True)

    def der(self) -> bytes:
        return self.certificate().public_bytes(Encoding.DER)


def pem(*subjects: Subject) -> str:
    return "".join(subject.certificate().public_bytes(Encoding.PEM).decode() for subject in subjects)


@dataclass(frozen=True, kw_only=True)
class Revocations:
    """One revocation list to be."""

    issuer: Subject
    revoked: Sequence[int] = ()
    begins: int = NOW - 5 * DAY_S
    ends: int = NOW + 5 * DAY_S
    signer_label: str = ""  # the issuer's key

    def with_(self, **facts: Any) -> Revocations:
        return replace(self, **facts)

    def der(self) -> bytes:
        begins = datetime.fromtimestamp(self.begins, UTC)
        key = p256(self.signer_label) if self.signer_label else self.issuer.key
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(common_name(self.issuer.name))
            .last_update(begins)
            .next_update(datetime.fromtimestamp(self.ends, UTC))
            .add_extension(x509.CRLNumber(1), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        for serial in self.revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(begins).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(key, SHA256(), ecdsa_deterministic=True).public_bytes(Encoding.DER)


def sgx_extension(*, fmspc: bytes, cpu_svn: bytes, pce_svn: int) -> bytes:
    """Return the content of a PCK certificate's SGX extension (Intel's PCK Certificate Profile, section 1.3.5)."""
    components = [
        _entry(f"{SGX_EXTENSION}.2.{place + 1}", _der(0x02, b"\0" + bytes((svn,)) if svn > 0x7F else bytes((svn,))))
        for place, svn in enumerate(cpu_svn)
    ]
    tcb = [
        *components,
        _entry(f"{SGX_EXTENSION}.2.17", _der(0x02, bytes((pce_svn,)))),
        _entry(f"{SGX_EXTENSION}.2.18", _der(0x04, cpu_svn)),
    ]
    return _der(
        0x30,
        _entry(f"{SGX_EXTENSION}.1", _der(0x04, seeded("ppid", 16)))
        + _entry(f"{SGX_EXTENSION}.2", _der(0x30, b"".join(tcb)))
        + _entry(f"{SGX_EXTENSION}.3", _der(0x04, bytes(2)))
        + _entry(f"{SGX_EXTENSION}.4", _der(0x04, fmspc))
        + _entry(f"{SGX_EXTENSION}.5", _der(0x0A, bytes(1))),
    )


def _entry(dotted: str, value: bytes) -> bytes:
    return _der(0x30, _oid(dotted) + value)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    return bytes((tag, size) if size < 0x80 else (tag, 0x82, size >> 8, size & 0xFF)) + content


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes((40 * first + second,))
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return _der(0x06, content)
