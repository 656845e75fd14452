"""Intel's quotes, versions 3, 4 and 5, parsed within bounds. Parsing proves nothing: `intel` verifies.

Layouts: Intel SGX ECDSA QuoteLibReference, appendix A.4 (version 3), and Intel TDX DCAP Quoting Library API,
appendix 3 (versions 4 and 5), with `sgx_report2_body_v1_5_ex_t` of sgx_quote_5.h (body type 4). All numbers are
little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from enclave.attestation.errors import EvidenceMalformed, FormUnsupported

QUOTE_BYTES_MAX: Final = 16 << 10  # real ones take 5 KiB, padded ones 8000 bytes
SGX: Final = 0x00
TDX: Final = 0x81
INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")

_HEADER_BYTES: Final = 48
_BODY_HEADER_BYTES: Final = 6  # version 5: u16 type, u32 size
_ENCLAVE_BYTES: Final = 384
_TD10_BYTES: Final = 584
_TD15_BYTES: Final = 648
_TD15_EX_BYTES: Final = 885
_SIGNATURE_BYTES: Final = 64  # r ‖ s of P-256
_ECDSA_P256: Final = 2
_PCK_CHAIN_PEM: Final = 5
_QE_REPORT: Final = 6
_QE_AUTH_BYTES: Final = 32
_V5_BODIES: Final = {1: (SGX, _ENCLAVE_BYTES)} | {
    number: (TDX, size) for number, size in enumerate((_TD10_BYTES, _TD15_BYTES, _TD15_EX_BYTES), 2)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnclaveReport:
    """REPORT_BODY of an SGX enclave (Intel SDM, volume 3D, section 38.15)."""

    cpu_svn: bytes
    misc_select: int
    isv_ext_prod_id: bytes
    attributes: bytes
    mr_enclave: bytes
    mr_signer: bytes
    config_id: bytes
    isv_prod_id: int
    isv_svn: int
    config_svn: int
    isv_family_id: bytes
    report_data: bytes

    @property
    def debug(self) -> bool:
        """Say whether the enclave is a debug one: ATTRIBUTES, bit 1."""
        return bool(self.attributes[0] & 0x02)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdExtension:
    """What TD report 1.5ex adds: which TD this is, where it was created, and the service TDs bound to it then and now.

    The service TDs' fields mean something only where TDATTRIBUTES has SERVTD_EXT, and are zero where none is bound.
    """

    vmid: int
    td_id: bytes
    dev_info: bytes
    init_service_td_hash: bytes
    init_service_td_attributes: bytes
    init_cpu_svn: bytes
    init_tee_tcb_svn: bytes
    init_tee_fmspc: bytes
    cur_service_td_hash: bytes
    cur_service_td_attributes: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """Body of a TD quote. The last three are of TDX 1.5 and of its extended report, None elsewhere."""

    tee_tcb_svn: bytes
    mr_seam: bytes
    mr_signer_seam: bytes
    seam_attributes: bytes
    td_attributes: bytes
    xfam: bytes
    mr_td: bytes
    mr_config_id: bytes
    mr_owner: bytes
    mr_owner_config: bytes
    rt_mr0: bytes
    rt_mr1: bytes
    rt_mr2: bytes
    rt_mr3: bytes
    report_data: bytes
    tee_tcb_svn2: bytes | None = None
    mr_service_td: bytes | None = None
    extension: TdExtension | None = None

    @property
    def debug(self) -> bool:
        """Say whether the TD is a debug one: TDATTRIBUTES, bit 0."""
        return bool(self.td_attributes[0] & 0x01)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A quote's parts. `encoded` is all of it without padding; `signed` is what the attestation key signed."""

    version: int
    tee_type: int
    body: EnclaveReport | TdReport
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: bytes
    qe_report_signature: bytes
    qe_auth: bytes
    pck_chain: bytes  # PEM, without NUL at its end
    encoded: bytes


class _Reader:
    """Takes fields off the front of some bytes, and never more than there are."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        end = self.place + size
        if end > len(self._data):
            raise EvidenceMalformed(f"quote: ends at byte {len(self._data)}, inside a field that ends at {end}")
        taken = self._data[self.place : end]
        self.place = end
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        return self.take(len(self._data) - self.place)

    def require_end(self, what: str) -> None:
        if self.place != len(self._data):
            raise EvidenceMalformed(f"quote: {len(self._data) - self.place} bytes after the {what}")


def quote_from(data: bytes) -> Quote:
    """Return the quote that `data` encodes, zeros after it removed.

    Raises: EvidenceMalformed: not a quote, or followed by anything but zeros.
        FormUnsupported: a key type, vendor or certification data that this build cannot verify.
    """
    if len(data) > QUOTE_BYTES_MAX:
        raise EvidenceMalformed(f"quote: {len(data)} bytes are over the limit of {QUOTE_BYTES_MAX}")
    reader = _Reader(data)
    version, tee_type = _header(reader)
    body = _body(reader, version, tee_type)
    signed = data[: reader.place]
    signature_data = reader.take(reader.number(4))
    encoded = data[: reader.place]
    if any(reader.rest()):
        raise EvidenceMalformed(f"quote: found bytes other than zero after its end at byte {len(encoded)}")
    parts = _Reader(signature_data)
    signature, attestation_key = parts.take(_SIGNATURE_BYTES), parts.take(_SIGNATURE_BYTES)
    if version > 3:
        parts = _certification(parts, _QE_REPORT)
    qe_report, qe_report_signature = parts.take(_ENCLAVE_BYTES), parts.take(_SIGNATURE_BYTES)
    qe_auth = parts.take(parts.number(2))
    if len(qe_auth) != _QE_AUTH_BYTES:
        raise EvidenceMalformed(f"quote: {len(qe_auth)} bytes of QE authentication data, wanted {_QE_AUTH_BYTES}")
    return Quote(
        version=version,
        tee_type=tee_type,
        body=body,
        signed=signed,
        signature=signature,
        attestation_key=attestation_key,
        qe_report=qe_report,
        qe_report_signature=qe_report_signature,
        qe_auth=qe_auth,
        pck_chain=_certification(parts, _PCK_CHAIN_PEM).rest().rstrip(b"\0"),
        encoded=encoded,
    )


def enclave_report_from(data: bytes) -> EnclaveReport:
    """Return the report that 384 bytes encode. Raises `EvidenceMalformed`."""
    reader = _Reader(data)
    cpu_svn, misc_select = reader.take(16), reader.number(4)
    reader.take(12)
    isv_ext_prod_id, attributes, mr_enclave = reader.take(16), reader.take(16), reader.take(32)
    reader.take(32)
    mr_signer = reader.take(32)
    reader.take(32)
    config_id, isv_prod_id, isv_svn, config_svn = reader.take(64), reader.number(2), reader.number(2), reader.number(2)
    reader.take(42)
    isv_family_id, report_data = reader.take(16), reader.take(64)
    reader.require_end("enclave report")
    return EnclaveReport(
        cpu_svn=cpu_svn,
        misc_select=misc_select,
        isv_ext_prod_id=isv_ext_prod_id,
        attributes=attributes,
        mr_enclave=mr_enclave,
        mr_signer=mr_signer,
        config_id=config_id,
        isv_prod_id=isv_prod_id,
        isv_svn=isv_svn,
        config_svn=config_svn,
        isv_family_id=isv_family_id,
        report_data=report_data,
    )


def _td_report_from(data: bytes) -> TdReport:
    reader = _Reader(data)
    report = TdReport(
        tee_tcb_svn=reader.take(16),
        mr_seam=reader.take(48),
        mr_signer_seam=reader.take(48),
        seam_attributes=reader.take(8),
        td_attributes=reader.take(8),
        xfam=reader.take(8),
        mr_td=reader.take(48),
        mr_config_id=reader.take(48),
        mr_owner=reader.take(48),
        mr_owner_config=reader.take(48),
        rt_mr0=reader.take(48),
        rt_mr1=reader.take(48),
        rt_mr2=reader.take(48),
        rt_mr3=reader.take(48),
        report_data=reader.take(64),
        tee_tcb_svn2=reader.take(16) if len(data) >= _TD15_BYTES else None,
        mr_service_td=reader.take(48) if len(data) >= _TD15_BYTES else None,
        extension=_td_extension(reader) if len(data) == _TD15_EX_BYTES else None,
    )
    reader.require_end("TD report")
    return report


def _td_extension(reader: _Reader) -> TdExtension:
    return TdExtension(
        vmid=reader.number(1),
        td_id=reader.take(32),
        dev_info=reader.take(48),
        init_service_td_hash=reader.take(48),
        init_service_td_attributes=reader.take(8),
        init_cpu_svn=reader.take(16),
        init_tee_tcb_svn=reader.take(16),
        init_tee_fmspc=reader.take(12),
        cur_service_td_hash=reader.take(48),
        cur_service_td_attributes=reader.take(8),
    )


def _header(reader: _Reader) -> tuple[int, int]:
    header = _Reader(reader.take(_HEADER_BYTES))
    version, key_type, tee_type = header.number(2), header.number(2), header.number(4)
    header.take(4)  # SVNs of QE and PCE in version 3; reserved since
    vendor = header.take(16)
    if version not in (3, 4, 5):
        raise EvidenceMalformed(f"quote: found version {version}, wanted 3, 4 or 5")
    if tee_type not in (SGX, TDX) or (version == 3 and tee_type != SGX):
        raise EvidenceMalformed(f"quote: found TEE type {tee_type:#x} in version {version}")
    if key_type != _ECDSA_P256:
        raise FormUnsupported(f"quote: found attestation key type {key_type}, wanted {_ECDSA_P256} (ECDSA P-256)")
    if vendor != INTEL_QE_VENDOR:
        raise FormUnsupported(f"quote: found quoting enclave of vendor {vendor.hex()}, wanted Intel's")
    return version, tee_type


def _body(reader: _Reader, version: int, tee_type: int) -> EnclaveReport | TdReport:
    size = _ENCLAVE_BYTES if tee_type == SGX else _TD10_BYTES
    if version == 5:
        size = _v5_body_bytes(_Reader(reader.take(_BODY_HEADER_BYTES)), tee_type)
    body = reader.take(size)
    return enclave_report_from(body) if tee_type == SGX else _td_report_from(body)


def _v5_body_bytes(header: _Reader, tee_type: int) -> int:
    body_type, found = header.number(2), header.number(4)
    if body_type not in _V5_BODIES:
        raise EvidenceMalformed(f"quote: found body type {body_type}, wanted {', '.join(map(str, _V5_BODIES))}")
    body_tee, size = _V5_BODIES[body_type]
    if (body_tee, size) != (tee_type, found):
        raise EvidenceMalformed(f"quote: found body type {body_type} of {found} bytes under TEE type {tee_type:#x}")
    return size


def _certification(reader: _Reader, wanted: int) -> _Reader:
    """Return a reader of the certification data that the rest of `reader` must be, of the wanted type."""
    found, data = reader.number(2), reader.take(reader.number(4))
    reader.require_end("certification data")
    if found != wanted:
        raise FormUnsupported(f"quote: found certification data of type {found}, wanted {wanted}")
    return _Reader(data)
