"""Two COSE libraries' view of messages; run by an interpreter that has them, JSON in and out.

In: {"public": hex, "aad": hex, "messages": {name: hex}}. Out: for each library, {name: payload in hex, or null}.
"""

import json
import sys
from typing import Any

import cbor2
import cwt
from cwt.cose_key import COSEKey
from pycose.headers import KID
from pycose.keys import OKPKey
from pycose.keys.curves import Ed25519
from pycose.messages import CoseMessage


def by_pycose(message: bytes, public: bytes, aad: bytes) -> bytes:
    """Return the payload that pycose verifies."""
    found = CoseMessage.decode(message)
    found.key = OKPKey(crv=Ed25519, x=public)
    found.external_aad = aad
    if not found.verify_signature():
        raise ValueError("not verified")
    payload: bytes = found.payload
    return payload


def by_cwt(message: bytes, public: bytes, aad: bytes) -> bytes:
    """Return the payload that cwt verifies."""
    kid = cbor2.loads(cbor2.loads(message).value[0])[4]
    key = COSEKey.new({1: 1, -1: 6, -2: public, 3: -8, 2: kid})
    payload: bytes = cwt.COSE.new().decode(message, key, external_aad=aad)
    return payload


def said(library: Any, message: bytes, public: bytes, aad: bytes) -> str | None:
    """Return the payload in hex, or None where the library refuses, however it does."""
    try:
        payload = library(message, public, aad)
    except Exception:  # noqa: BLE001  # whatever it raises, it has refused
        return None
    return payload.hex() if isinstance(payload, bytes) else None


asked = json.load(sys.stdin)
assert KID  # registers header parameters
public, aad = bytes.fromhex(asked["public"]), bytes.fromhex(asked["aad"])
answer = {
    name: {key: said(library, bytes.fromhex(data), public, aad) for key, data in asked["messages"].items()}
    for name, library in (("pycose", by_pycose), ("cwt", by_cwt))
}
json.dump(answer, sys.stdout)
