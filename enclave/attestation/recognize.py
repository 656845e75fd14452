"""What a file of evidence is, told from what it holds: never from its name, and proving nothing."""

from __future__ import annotations

import base64
import binascii
import json
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

from enclave.attestation.bundle import DstackBundle, GpuBundle, IntelBundle, SnpBundle
from enclave.attestation.quote import INTEL_QE_VENDOR, TDX
from enclave.attestation.simulated import SimulatedReport
from enclave.attestation.snp_report import REPORT_BYTES, VERSIONS
from vault.codec import decode
from vault.errors import MalformedObject
from vault.evidence import Binding, Evidence
from vault.receipt import FILE_BYTES_MAX, ReceiptFile

_NITRO: Final = (b"\xd2\x84\x44\xa1\x01\x38\x22", b"\x84\x44\xa1\x01\x38\x22")  # COSE_Sign1 with ES384, tagged or not
_SPDM: Final = b"\x11\xe0"  # GET_MEASUREMENTS of SPDM 1.1
_JSON_BYTES_MAX: Final = 1 << 20
_TEXT_CHARS: Final = frozenset(f"{string.ascii_letters}{string.digits}+/= \r\n\t".encode())


class Unrecognized(MalformedObject):
    """Bytes of no kind that this build knows."""


class Form(Enum):
    """What a file is."""

    TDX = "Intel TDX quote"
    SGX = "Intel SGX quote"
    SNP = "AMD SEV-SNP attestation report"
    NITRO = "AWS Nitro attestation document"
    NVIDIA = "NVIDIA GPU attestation report"
    RIM = "NVIDIA reference manifest (RIM)"
    DSTACK = "dstack's answer to GetQuote"
    SIMULATED = "simulated report"
    EVIDENCE = "Coffer evidence"
    RECEIPT = "Coffer receipt, and in it the evidence it rests on"
    BUNDLE = "Coffer evidence bundle"
    COLLATERAL = "Intel's collateral for a quote"
    EVENT_LOG = "dstack event log"
    CERTIFICATES = "certificates"
    BINDING = "Coffer binding: what a piece of evidence vouches for"
    INDEX = "index of evidence cases; run it with: coffer attest check"

    @property
    def is_evidence(self) -> bool:
        """Say whether a machine, or NVIDIA for its firmware, claims something with it."""
        return self not in (Form.COLLATERAL, Form.EVENT_LOG, Form.CERTIFICATES, Form.BINDING, Form.INDEX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file: what it is, its bytes without a text coating, and the record or JSON in it where it is one."""

    form: Form
    data: bytes = field(repr=False)
    value: Any = field(default=None, repr=False)


def recognized(data: bytes, *, name: str) -> Found:
    """Return what the bytes of a file called `name` are, in hex or base64 as well; raise `Unrecognized`."""
    for candidate in (data, _uncoated(data)):
        found = None if not candidate else _json(candidate) or _record(candidate) or _binary(candidate)
        if found is not None:
            return found
    raise Unrecognized(f"{name}: {len(data)} bytes of no evidence that this build knows")


def _binary(data: bytes) -> Found | None:
    form: Form | None = None
    if data[:2] in (b"\x03\0", b"\x04\0", b"\x05\0") and data[12:28] == INTEL_QE_VENDOR:
        form = Form.TDX if int.from_bytes(data[4:8], "little") == TDX else Form.SGX
    elif len(data) == REPORT_BYTES and int.from_bytes(data[:4], "little") in VERSIONS:
        form = Form.SNP
    elif data.startswith(_NITRO):
        form = Form.NITRO
    elif data.startswith(_SPDM):
        form = Form.NVIDIA
    elif data.lstrip()[:1] == b"<" and b"SoftwareIdentity" in data[:4096]:
        form = Form.RIM
    elif (data.isascii() and b"-----BEGIN CERTIFICATE-----" in data) or _is_der(data):
        form = Form.CERTIFICATES
    return None if form is None else Found(form=form, data=data)


def _is_der(data: bytes) -> bool:
    """Say whether the bytes are one DER sequence of at least 256 bytes, as every certificate is."""
    return data[:2] == b"\x30\x82" and int.from_bytes(data[2:4], "big") == len(data) - 4


def _json(data: bytes) -> Found | None:
    if len(data) > _JSON_BYTES_MAX or data.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    match value:
        case {"quote": str() as quote, "event_log": str() | list() as log}:
            return _get_quote(quote, log, data)
        case {"tcb_info": str(), "qe_identity": str()}:
            return Found(form=Form.COLLATERAL, data=data)
        case {"cases": list()}:
            return Found(form=Form.INDEX, data=data)
        case [{"imr": int()}, *_]:
            return Found(form=Form.EVENT_LOG, data=data)
    return None


def _get_quote(quote: str, log: str | list[Any], data: bytes) -> Found | None:
    try:
        found = _binary(bytes.fromhex(quote.removeprefix("0x")))
        events = (log if isinstance(log, str) else json.dumps(log)).encode()
    except ValueError:
        return None
    if found is None or found.form is not Form.TDX:
        return None
    return Found(form=Form.DSTACK, data=data, value=(found.data, events))


def _record(data: bytes) -> Found | None:
    """Return the record of ours that the bytes encode."""
    try:
        value = decode(data, bytes_max=FILE_BYTES_MAX)
        said = value.get("type") if isinstance(value, dict) else None
        if not isinstance(said, str) or said not in _RECORDS:
            return None
        form, read = _RECORDS[said]
        return Found(form=form, data=data, value=read(value))
    except MalformedObject:
        return None


_RECORDS: Final[Mapping[str, tuple[Form, Callable[[Any], Any]]]] = MappingProxyType(
    {
        Evidence.TYPE: (Form.EVIDENCE, Evidence.from_value),
        ReceiptFile.TYPE: (Form.RECEIPT, ReceiptFile.from_value),
        Binding.TYPE: (Form.BINDING, Binding.from_value),
        SimulatedReport.TYPE: (Form.SIMULATED, SimulatedReport.from_value),
        IntelBundle.TYPE: (Form.BUNDLE, IntelBundle.from_value),
        DstackBundle.TYPE: (Form.BUNDLE, DstackBundle.from_value),
        SnpBundle.TYPE: (Form.BUNDLE, SnpBundle.from_value),
        GpuBundle.TYPE: (Form.BUNDLE, GpuBundle.from_value),
    }
)


def _uncoated(data: bytes) -> bytes:
    """Return what hex or base64 text holds; nothing where the bytes are no such text."""
    if len(data) > 2 * _JSON_BYTES_MAX or not _TEXT_CHARS.issuperset(data):
        return b""
    text = b"".join(data.split()).decode("ascii").removeprefix("0x")
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
