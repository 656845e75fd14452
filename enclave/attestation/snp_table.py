"""The certificate table that a SEV-SNP host hands to its guests along with a report (`auxblob`).

Source: AMD, SEV-ES Guest-Hypervisor Communication Block Standardization (56421), section 4.1.8.1: entries of GUID,
offset and length, little-endian, up to one of zeros; then the certificates. A host may leave out any of them, and it
is not to be trusted: verifying comes after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from enclave.attestation.certificates import CERTIFICATE_BYTES_MAX
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.snp_report import SIGNING_KEYS, VCEK, VLEK, SnpReport

TABLE_BYTES_MAX: Final = 32 << 10
ENTRIES_MAX: Final = 16

_ENTRY_BYTES: Final = 24
_SIGNERS: Final = {
    VCEK: UUID("63da758d-e664-4564-adc5-f4b93be8accd").bytes,
    VLEK: UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1").bytes,
}
_INTERMEDIATE: Final = UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782").bytes  # the ASK, and the ASVK as well
_ROOT: Final = UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae").bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SnpCertificates:
    """The certificates (DER) that verify a report."""

    signer: bytes
    intermediate: bytes
    root: bytes


def certificates_for(report: bytes, auxblob: bytes) -> SnpCertificates:
    """Return the report's certificates from the table, or raise `EvidenceMalformed`; entries of others are left."""
    if len(auxblob) > TABLE_BYTES_MAX:
        raise EvidenceMalformed(f"certificate table of {len(auxblob)} bytes is over {TABLE_BYTES_MAX}")
    kind = SIGNING_KEYS.get(SnpReport(report).signing_key)
    if kind is None:
        raise EvidenceMalformed("SNP report: neither a VCEK nor a VLEK signed it")
    found = _entries(auxblob) if auxblob else {}
    try:
        return SnpCertificates(signer=found[_SIGNERS[kind]], intermediate=found[_INTERMEDIATE], root=found[_ROOT])
    except KeyError as error:
        raise EvidenceMalformed(f"certificate table: it lacks the {kind} or one of its issuers") from error


def _entries(table: bytes) -> dict[bytes, bytes]:
    headers: dict[bytes, tuple[int, int]] = {}
    for place in range(ENTRIES_MAX + 1):
        entry = table[place * _ENTRY_BYTES : (place + 1) * _ENTRY_BYTES]
        if len(entry) < _ENTRY_BYTES:
            raise EvidenceMalformed("certificate table: it has no end")
        if not any(entry):
            break
        guid = entry[:16]
        if guid in headers:
            raise EvidenceMalformed("certificate table: an entry stands in it twice")
        headers[guid] = (int.from_bytes(entry[16:20], "little"), int.from_bytes(entry[20:24], "little"))
    else:
        raise EvidenceMalformed(f"certificate table: over {ENTRIES_MAX} entries")
    first = (len(headers) + 1) * _ENTRY_BYTES
    for offset, length in headers.values():
        if offset < first or offset + length > len(table) or not 1 <= length <= CERTIFICATE_BYTES_MAX:
            raise EvidenceMalformed("certificate table: an entry lies outside of it")
    return {guid: table[offset : offset + length] for guid, (offset, length) in headers.items()}
