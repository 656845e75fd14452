"""What fuzzing starts from: captured evidence where it lies beside the checkout, made-up bytes elsewhere."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

EVIDENCE = Path(__file__).resolve().parents[2] / "shared" / "evidence"
AT = 1_751_624_191  # the first case's time of verification

_HEADER = bytes.fromhex("04000200810000000000000000000000939a7233f79c4ca9940a0db3957f0607") + bytes(16)
_CERTIFICATE = bytes.fromhex("3003020100")
_MADE_UP = {
    "quote": (_HEADER + bytes(584) + bytes(4),),
    "dcap_collateral_v3": (json.dumps({"pck_crl_issuer_chain": "", "root_ca_crl": "30", "pck_crl": "30"}).encode(),),
    "dstack_event_log": (b'[{"imr":3,"event_type":134217729,"digest":"","event":"app-id","event_payload":"00"}]',),
    "snp_report": (bytes([2]) + bytes(1183),),
    "vcek": (_CERTIFICATE,),
    "ask": (_CERTIFICATE,),
    "cose_sign1": (bytes.fromhex("8444a1013822a041a05860") + bytes(96),),
    "spdm_measurements_request_and_response": (bytes.fromhex("11e001ff") + bytes(33) + bytes.fromhex("11600000"),),
    "device_cert_chain": (b"-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n",),
    "rim": (b'<SoftwareIdentity xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd"/>',),
}


@cache
def cases() -> list[dict[str, object]]:
    """Return the cases of the shared index, or none."""
    index = EVIDENCE / "index.json"
    return json.loads(index.read_text())["cases"] if index.is_file() else []


@cache
def seeds(role: str) -> tuple[bytes, ...]:
    """Return every different file of a role, or those made up."""
    paths = [
        EVIDENCE / file["path"]
        for case in cases()
        for file in case["files"]  # type: ignore[attr-defined]  # as the index is known to be
        if file["role"] == role
    ]
    return tuple(dict.fromkeys(path.read_bytes() for path in paths)) or _MADE_UP.get(role, ())
