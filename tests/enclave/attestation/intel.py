"""SGX and TDX platforms whose maker is not Intel, for variants that no quoting enclave of Intel's would sign."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.attestation.quote import INTEL_QE_VENDOR
from enclave.attestation.roots import INTEL_SGX
from enclave.attestation.sgx import SgxClaims, verified_sgx
from enclave.attestation.tdx import TdxClaims, verified_tdx
from tests.enclave.attestation.intel_pki import Revocations, Subject, p256, pem, raw_signature, sgx_extension
from tests.people import DAY_S, NOW, seeded

FMSPC = bytes.fromhex("a0c0ffee0001")
CPU_SVN = bytes((5, 5, 2, 2, 3, 1, 0, 5)).ljust(16, b"\0")
PCE_SVN = 13
ISSUED = NOW - 4 * DAY_S
NEXT_UPDATE = NOW + 4 * DAY_S
TCB_DATE = NOW - 400 * DAY_S
EVALUATION = 18
QE_SIGNER = seeded("qe signer", 32)

ROOT = Subject(name="Intel SGX Root CA", ca=True)
PCK_CA = Subject(name="Intel SGX PCK Platform CA", issuer=ROOT, ca=True)
PCK = Subject(
    name="Intel SGX PCK Certificate",
    issuer=PCK_CA,
    sgx_extension=sgx_extension(fmspc=FMSPC, cpu_svn=CPU_SVN, pce_svn=PCE_SVN),
)
TCB_SIGNER = Subject(name="Intel SGX TCB Signing", issuer=ROOT)
ROOT_CRL = Revocations(issuer=ROOT)
PCK_CRL = Revocations(issuer=PCK_CA)
PINNED = {INTEL_SGX: sha256(ROOT.der()).digest()}

TD_OFFSETS = {
    "tee_tcb_svn": 0,
    "mr_seam": 16,
    "mr_signer_seam": 64,
    "seam_attributes": 112,
    "td_attributes": 120,
    "xfam": 128,
    "mr_td": 136,
    "mr_config_id": 184,
    "mr_owner": 232,
    "mr_owner_config": 280,
    "rt_mr0": 328,
    "rt_mr1": 376,
    "rt_mr2": 424,
    "rt_mr3": 472,
    "report_data": 520,
    "tee_tcb_svn2": 584,
    "mr_service_td": 600,
    "vmid": 648,
    "td_id": 649,
    "dev_info": 681,
    "init_service_td_hash": 729,
    "init_service_td_attributes": 777,
    "init_cpu_svn": 785,
    "init_tee_tcb_svn": 801,
    "init_tee_fmspc": 817,
    "cur_service_td_hash": 829,
    "cur_service_td_attributes": 877,
}
TD_SIZES = {2: 584, 3: 648, 4: 885}  # by body type of version 5
SGX_OFFSETS = {
    "cpu_svn": 0,
    "misc_select": 16,
    "isv_ext_prod_id": 32,
    "attributes": 48,
    "mr_enclave": 64,
    "mr_signer": 128,
    "config_id": 192,
    "isv_prod_id": 256,
    "isv_svn": 258,
    "config_svn": 260,
    "isv_family_id": 304,
    "report_data": 320,
}
TD_BODY = {
    **{name: seeded(name, 48) for name in ("mr_seam", "mr_td", "mr_config_id", "mr_owner", "mr_owner_config")},
    **{name: seeded(name, 48) for name in ("rt_mr0", "rt_mr1", "rt_mr2", "rt_mr3")},
    "tee_tcb_svn": bytes((3, 1, 2)).ljust(16, b"\0"),
    "td_attributes": (1 << 28).to_bytes(8, "little"),
    "xfam": bytes.fromhex("e702060000000000"),
    "report_data": seeded("report data", 64),
}
TD15_BODY = {"tee_tcb_svn2": TD_BODY["tee_tcb_svn"]}
TD15_EX_BODY = {
    "vmid": b"\x02",
    "td_id": seeded("td id", 32),
    "dev_info": seeded("device information", 48),
    "init_service_td_attributes": seeded("initial attributes", 8),
    "init_cpu_svn": seeded("initial cpu svn", 16),
    "init_tee_tcb_svn": seeded("initial tee tcb svn", 16),
    "init_tee_fmspc": seeded("initial fmspc", 12),
    "cur_service_td_attributes": seeded("current attributes", 8),
}
SGX_BODY = {
    "cpu_svn": seeded("cpu svn", 16),
    "misc_select": (3).to_bytes(4, "little"),
    "attributes": bytes.fromhex("0500000000000000e700000000000000"),
    "mr_enclave": seeded("mr_enclave", 32),
    "mr_signer": seeded("mr_signer", 32),
    "config_id": seeded("config_id", 64),
    "isv_ext_prod_id": seeded("extended product", 16),
    "isv_family_id": seeded("family", 16),
    "isv_prod_id": (7).to_bytes(2, "little"),
    "isv_svn": (9).to_bytes(2, "little"),
    "config_svn": (11).to_bytes(2, "little"),
    "report_data": seeded("report data", 64),
}
QE_BODY = {
    "attributes": bytes.fromhex("1500000000000000e700000000000000"),
    "mr_enclave": seeded("qe", 32),
    "mr_signer": QE_SIGNER,
    "isv_prod_id": (2).to_bytes(2, "little"),
    "isv_svn": (6).to_bytes(2, "little"),
}


def placed(offsets: Mapping[str, int], fields: Mapping[str, bytes], size: int) -> bytes:
    body = bytearray(size)
    for name, content in fields.items():
        body[offsets[name] : offsets[name] + len(content)] = content
    return bytes(body)


def moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sized(content: bytes, size: int) -> bytes:
    return len(content).to_bytes(size, "little") + content


def level(tcb: Mapping[str, Any], status: str, date: int = TCB_DATE, advisories: Sequence[str] = ()) -> dict[str, Any]:
    found = {"tcb": dict(tcb), "tcbDate": moment(date), "tcbStatus": status}
    return found | ({"advisoryIDs": list(advisories)} if advisories else {})


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Evidence that verifies; `with_` breaks one fact of it, and the machine signs what results."""

    version: int = 4
    tee_type: int = 0x81
    body_type: int = 2  # of version 5
    key_type: int = 2
    vendor: bytes = INTEL_QE_VENDOR
    body: Mapping[str, bytes] = field(default_factory=dict)
    qe: Mapping[str, bytes] = field(default_factory=dict)
    qe_auth: bytes = bytes(range(32))
    qe_report_data: bytes | None = None  # that of the attestation key
    certification: int = 5
    pck_chain: Sequence[Subject] = (PCK, PCK_CA, ROOT)
    pck_pem: bytes | None = None  # that of the chain
    padding: bytes = b"\0"
    signers: Sequence[Subject] = (TCB_SIGNER, ROOT)
    tcb_info: Mapping[str, Any] = field(default_factory=dict)
    qe_identity: Mapping[str, Any] = field(default_factory=dict)
    status: str = "UpToDate"
    module_status: str = "UpToDate"
    qe_status: str = "UpToDate"
    qe_date: int = TCB_DATE
    advisories: Sequence[str] = ()
    root_crl: Revocations = ROOT_CRL
    pck_crl: Revocations = PCK_CRL

    def with_(self, **facts: Any) -> Machine:
        return replace(self, **facts)

    @property
    def is_td(self) -> bool:
        return self.tee_type == 0x81

    def encoded_body(self) -> bytes:
        if not self.is_td:
            return placed(SGX_OFFSETS, SGX_BODY | dict(self.body), 384)
        return placed(TD_OFFSETS, self.td_body() | dict(self.body), self.td_size)

    @property
    def td_size(self) -> int:
        return TD_SIZES.get(self.body_type, 648) if self.version == 5 else 584

    def td_body(self) -> dict[str, bytes]:
        """Return the fields of a TD that are not zero."""
        return TD_BODY | (TD15_BODY if self.td_size >= 648 else {}) | (TD15_EX_BODY if self.td_size == 885 else {})

    def signed(self) -> bytes:
        numbers = ((self.version, 2), (self.key_type, 2), (self.tee_type, 4), (0, 4))
        header = b"".join(number.to_bytes(size, "little") for number, size in numbers) + self.vendor + bytes(20)
        body = self.encoded_body()
        return header + (self.body_type.to_bytes(2, "little") + sized(body, 4) if self.version == 5 else body)

    def quote(self) -> bytes:
        key = p256("attestation key")
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
        bound = self.qe_report_data
        if bound is None:
            bound = sha256(point + self.qe_auth).digest()
        qe_report = placed(SGX_OFFSETS, QE_BODY | {"report_data": bound} | dict(self.qe), 384)
        chain = pem(*self.pck_chain).encode() if self.pck_pem is None else self.pck_pem
        qe = qe_report + raw_signature(self.pck_chain[0].key, qe_report) + sized(self.qe_auth, 2)
        qe += self.certification.to_bytes(2, "little") + sized(chain + self.padding, 4)
        if self.version > 3:
            qe = (6).to_bytes(2, "little") + sized(qe, 4)
        return self.signed() + sized(raw_signature(key, self.signed()) + point + qe, 4)

    def described(self) -> tuple[str, str]:
        """Return TCB info and QE identity."""
        dates = {"issueDate": moment(ISSUED), "nextUpdate": moment(NEXT_UPDATE), "tcbEvaluationDataNumber": EVALUATION}
        components = [{"svn": svn} for svn in CPU_SVN]
        tcb: dict[str, Any] = {"sgxtcbcomponents": components, "pcesvn": PCE_SVN}
        if self.is_td:
            tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in bytes((0, 0, 2)).ljust(16, b"\0")]
        module = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        modules = {
            "tdxModule": module,
            "tdxModuleIdentities": [
                {"id": "TDX_01", **module, "tcbLevels": [level({"isvsvn": 3}, self.module_status)]}
            ],
        }
        info = {
            "id": "TDX" if self.is_td else "SGX",
            "version": 3,
            **dates,
            "fmspc": FMSPC.hex().upper(),
            "pceId": "0000",
            "tcbType": 0,
            **(modules if self.is_td else {}),
            "tcbLevels": [level(tcb, self.status, advisories=self.advisories)],
            **self.tcb_info,
        }
        identity = {
            "id": "TD_QE" if self.is_td else "QE",
            "version": 2,
            **dates,
            "miscselect": "00000000",
            "miscselectMask": "FFFFFFFF",
            "attributes": "11000000000000000000000000000000",
            "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
            "mrsigner": QE_SIGNER.hex().upper(),
            "isvprodid": 2,
            "tcbLevels": [level({"isvsvn": 4}, self.qe_status, self.qe_date)],
            **self.qe_identity,
        }
        return json.dumps(info), json.dumps(identity)

    def collateral(self, **members: Any) -> bytes:
        info, identity = self.described()
        key = self.signers[0].key
        parts = {
            "pck_crl_issuer_chain": pem(PCK_CA, ROOT),
            "root_ca_crl": self.root_crl.der().hex(),
            "pck_crl": self.pck_crl.der().hex(),
            "tcb_info_issuer_chain": pem(*self.signers),
            "tcb_info": info,
            "tcb_info_signature": raw_signature(key, info.encode()).hex(),
            "qe_identity_issuer_chain": pem(*self.signers),
            "qe_identity": identity,
            "qe_identity_signature": raw_signature(key, identity.encode()).hex(),
        }
        return json.dumps(parts | members).encode()

    def verified_td(self, *, at: int = NOW) -> TdxClaims:
        return verified_tdx(self.quote(), self.collateral(), at=at, pinned=PINNED)

    def verified_enclave(self, *, at: int = NOW) -> SgxClaims:
        return verified_sgx(self.quote(), self.collateral(), at=at, pinned=PINNED)

    def verified(self, *, at: int = NOW) -> TdxClaims | SgxClaims:
        return self.verified_td(at=at) if self.is_td else self.verified_enclave(at=at)


TD = Machine()
TD15 = Machine(version=5, body_type=3)
TD15_EX = Machine(version=5, body_type=4)
ENCLAVE = Machine(version=3, tee_type=0)
TDS = {"tdx v4": TD, "tdx v5": TD.with_(version=5), "tdx v5, 1.5": TD15, "tdx v5, 1.5ex": TD15_EX}
MACHINES = {**TDS, "sgx v3": ENCLAVE}
