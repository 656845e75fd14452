"""Certificates of vendors that do not exist, for variants of evidence that no vendor would sign for a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.people import DAY_S, NOW, seeded

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CA_USAGE = ("key_cert_sign", "crl_sign")
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def p384(label: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(seeded(label, 40), "big"), ec.SECP384R1())


@cache
def rsa_key(label: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One certificate to be; `replace` breaks one fact of it."""

    name: str
    key: Key
    issuer: Subject | None = None  # itself
    signer: Key | None = None  # the issuer's
    issuer_name: str | None = None  # the issuer's
    ca: bool | None = None  # no basic constraints
    path_length: int | None = None
    usage: Sequence[str] | None = None  # no key usage
    begins: int = NOW - 30 * DAY_S
    ends: int = NOW + 30 * DAY_S
    extensions: tuple[tuple[str, bytes, bool], ...] = ()

    def with_(self, **facts: Any) -> Subject:
        return replace(self, **facts)

    def certificate(self) -> x509.Certificate:
        issuer = self.issuer or self
        builder = (
            x509.CertificateBuilder()
            .subject_name(common_name(self.name))
            .issuer_name(common_name(self.issuer_name or issuer.name))
            .public_key(self.key.public_key())
            .serial_number(1 + int.from_bytes(sha256(self.name.encode()).digest()[:8], "big"))
            .not_valid_before(datetime.fromtimestamp(self.begins, UTC))
            .not_valid_after(datetime.fromtimestamp(self.ends, UTC))
        )
        if self.ca is not None:
            builder = builder.add_extension(
                x509.BasicConstraints(ca=self.ca, path_length=self.path_length), critical=True
            )
        if self.usage is not None:
            builder = builder.add_extension(key_usage(self.usage), critical=True)
        for oid, value, critical in self.extensions:
            extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)
            builder = builder.add_extension(extension, critical=critical)
        key = self.signer or issuer.key
        if isinstance(key, rsa.RSAPrivateKey):  # as AMD signs
            pss = padding.PSS(mgf=padding.MGF1(SHA384()), salt_length=48)
            return builder.sign(key, SHA384(), rsa_padding=pss)
        return builder.sign(key, SHA384(), ecdsa_deterministic=True)

    def der(self) -> bytes:
        return self.certificate().public_bytes(Encoding.DER)


def pin(der: bytes) -> bytes:
    return sha256(der).digest()


def key_usage(usages: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in usages for name in _USAGES})


def common_name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
