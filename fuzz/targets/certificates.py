"""Certificates in DER and PEM, and what vendors write into their own."""

from contextlib import suppress

from cryptography import x509

from enclave.attestation.certificates import certificate_from_der, certificates_from_pem, verified_chain
from enclave.attestation.dice import fwid_of
from enclave.attestation.roots import ROOTS
from enclave.attestation.snp_chain import verified_signer
from fuzz.seeds import AT, seeds
from vault.errors import VaultError

ROLES = ("vcek", "vlek", "ask", "device_cert_chain", "trust_anchor")
_SIGNER = seeds("vcek")[0]


def fuzz(data: bytes) -> None:
    """Parse certificates, walk them as a chain, and read what only vendors write."""
    with suppress(VaultError):
        verified_signer(data, _SIGNER, _SIGNER, at=AT)
    chain = certificates_from_pem(data) if data.startswith(b"-----") else (certificate_from_der(data),)
    for certificate in chain:
        try:
            _ = certificate.extensions  # a verified chain's can be read
        except (ValueError, x509.DuplicateExtension):
            continue
        try:
            fwid_of(certificate)
        except VaultError:
            continue
    verified_chain(chain, roots=tuple(ROOTS), at=AT)
