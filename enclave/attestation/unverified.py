"""What evidence says of itself, by parsing alone: nobody vouches for any of it. For display, never for a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from enclave.attestation.claims import Shown
from enclave.attestation.errors import EvidenceMalformed, EvidenceRefused, KindUnsupported

_PLATFORM: Final = ("tcb_status", "advisory_ids", "tcb_evaluation_data_number", "tcb_date")  # Intel's to say
_VBIOS_BYTES: Final = 8
_OPAQUE_TEXT: Final = {"driver_version": 3, "chip_sku": 15, "project": 17, "project_sku": 18}
_OPAQUE_VBIOS: Final = 6
_OPAQUE_FWID: Final = 20


def claimed(kind: str, document: bytes) -> dict[str, Shown]:
    """Return the claims that verified evidence of a kind would show, as far as the bytes alone tell them.

    Raises: EvidenceMalformed: not such evidence. KindUnsupported: of a form or kind this build does not know.
    """
    if kind not in _READERS:
        raise KindUnsupported(f"kind: found {kind!r}, wanted one of {', '.join(sorted(_READERS))}")
    return _READERS[kind](document)


def _quote(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.intel import Platform
    from enclave.attestation.quote import TdReport, quote_from
    from enclave.attestation.sgx import SgxClaims
    from enclave.attestation.tdx import TdxClaims

    quote = quote_from(document)
    fmspc, pck_ca = _pck(quote.pck_chain)
    platform = Platform(
        fmspc=fmspc, pck_ca=pck_ca, tcb_status="", advisory_ids=(), tcb_evaluation_data_number=0, tcb_date=0
    )
    claims: TdxClaims | SgxClaims
    if isinstance(quote.body, TdReport):
        claims = TdxClaims(quote_version=quote.version, report=quote.body, platform=platform)
    else:
        claims = SgxClaims(quote_version=quote.version, report=quote.body, platform=platform)
    return {name: value for name, value in claims.shown().items() if name not in _PLATFORM}


def _pck(pem: bytes) -> tuple[bytes, str]:
    """Return the FMSPC that a PCK certificate names, and which of Intel's authorities is said to have issued it."""
    import dcap_qvl
    from cryptography.hazmat.primitives.serialization import Encoding

    from enclave.attestation.certificates import UNREADABLE, certificates_from_pem

    leaf = certificates_from_pem(pem)[0]
    try:
        fmspc = bytes(dcap_qvl.parse_pck_extension_from_pem(leaf.public_bytes(Encoding.PEM)).fmspc)
        issuer = leaf.issuer.rfc4514_string()
    except UNREADABLE as error:
        raise EvidenceMalformed("PCK certificates: the first is not one of a platform") from error
    named = [name for name in ("platform", "processor") if f"Intel SGX PCK {name.capitalize()} CA" in issuer]
    return fmspc, named[0] if named else "unknown"


def _snp(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.snp_report import SnpReport

    return SnpReport(document).shown()


def _nitro(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.nitro_document import NitroDocument

    return NitroDocument.from_bytes(document).shown()


def _nvidia(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.spdm import fields_from, transcript_from

    transcript = transcript_from(document)
    fields = fields_from(transcript.opaque)
    vbios, fwid = fields.get(_OPAQUE_VBIOS, b""), fields.get(_OPAQUE_FWID)
    if len(vbios) != _VBIOS_BYTES:
        raise EvidenceMalformed("the report does not say its VBIOS version as it should")
    return {
        "request_nonce": transcript.nonce.hex(),
        **{name: _text(fields.get(field)) for name, field in _OPAQUE_TEXT.items()},
        "vbios_version": ".".join(f"{byte:02x}" for byte in (*vbios[3::-1], vbios[4])),
        "vbios_version_raw": vbios.hex(),
        "fwid": None if fwid is None else fwid.hex(),
        "measurement_blocks": len(transcript.blocks),
        "measurements": {str(index): value.hex() for index, value in transcript.blocks.items() if any(value)},
    }


def _text(field: bytes | None) -> str | None:
    return None if field is None else field.rstrip(b"\0").decode("ascii", "replace")


def _rim(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.rim import DOCUMENT_BYTES_MAX
    from enclave.attestation.xmlsig import parsed

    for element in parsed(document, bytes_max=DOCUMENT_BYTES_MAX).iter():
        version = element.get("colloquialVersion")
        if version is not None:
            return {"colloquial_version": str(version)}
    raise EvidenceMalformed("rim: the document names no version")


def _simulated(document: bytes) -> dict[str, Shown]:
    from enclave.attestation.simulated import SimulatedReport
    from vault.errors import MalformedObject

    try:
        return SimulatedReport.from_bytes(document).shown()
    except MalformedObject as error:
        raise EvidenceMalformed("the simulated evidence is malformed") from error


_READERS: Final[Mapping[str, Callable[[bytes], dict[str, Shown]]]] = MappingProxyType(
    {
        "tdx": _quote,
        "sgx": _quote,
        "dstack": _quote,
        "snp": _snp,
        "nitro": _nitro,
        "nvidia": _nvidia,
        "rim": _rim,
        "simulated": _simulated,
    }
)


def claimed_or_nothing(kind: str, document: bytes) -> dict[str, Shown]:
    """Return what the bytes claim, or nothing where they cannot be read."""
    try:
        return claimed(kind, document)
    except EvidenceRefused:
        return {}
