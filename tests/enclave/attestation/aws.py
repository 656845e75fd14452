"""A Nitro enclave on a hypervisor that is not AWS's, for variants that no security module would sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclave.attestation.nitro import NitroClaims, verified_nitro
from enclave.attestation.roots import AWS_NITRO
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384, pin
from tests.people import DAY_S, NOW, seeded

PROTECTED = bytes.fromhex("a1013822")
ROOT = Subject(name="aws.nitro-enclaves", key=p384("nitro root"), ca=True, usage=CA_USAGE)
REGION = Subject(name="region", key=p384("region"), issuer=ROOT, ca=True, path_length=2, usage=CA_USAGE)
ZONE = Subject(name="zone", key=p384("zone"), issuer=REGION, ca=True, path_length=1, usage=CA_USAGE)
HOST = Subject(
    name="host", key=p384("host"), issuer=ZONE, ca=True, path_length=0, usage=("key_cert_sign",), ends=NOW + DAY_S
)
LEAF = Subject(
    name="enclave",
    key=p384("enclave"),
    issuer=HOST,
    ca=False,
    usage=("digital_signature", "content_commitment"),
    begins=NOW - 60,
    ends=NOW + 3 * 3600,
)
BUNDLE = tuple(subject.der() for subject in (ROOT, REGION, ZONE, HOST))
PINNED = {AWS_NITRO: pin(BUNDLE[0])}
PCRS = {index: seeded(f"pcr {index}", 48) if index in (0, 1, 2, 4) else bytes(48) for index in range(16)}
LEFT_OUT = object()


@dataclass(frozen=True, kw_only=True)
class Enclave:
    """A document that verifies; `with_` breaks one fact of it, and the security module signs what results."""

    fields: Mapping[str, Any] = field(default_factory=dict)  # over those that fit
    leaf: Mapping[str, Any] = field(default_factory=dict)  # of the signer's certificate
    protected: bytes = PROTECTED
    payload: bytes | None = None  # instead of the encoded fields
    structure: list[Any] | None = None  # instead of the Sig_structure that a signature covers
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: p384("enclave"))

    def with_(self, **facts: Any) -> Enclave:
        return replace(self, **facts)

    def encoded(self) -> bytes:
        fitting = {
            "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
            "digest": "SHA384",
            "timestamp": NOW * 1000 + 250,
            "pcrs": PCRS,
            "certificate": LEAF.with_(key=self.key).with_(**self.leaf).der(),
            "cabundle": list(BUNDLE),
            "public_key": None,
            "user_data": seeded("report data", 64),
            "nonce": None,
        }
        fields = {name: value for name, value in (fitting | dict(self.fields)).items() if value is not LEFT_OUT}
        return cbor2.dumps(fields)

    def parts(self) -> list[Any]:
        payload = self.encoded() if self.payload is None else self.payload
        signed = cbor2.dumps(self.structure or ["Signature1", self.protected, b"", payload])
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(SHA384())))
        return [self.protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")]

    def document(self) -> bytes:
        return cbor2.dumps(self.parts())

    def verified(self, *, at: int = NOW) -> NitroClaims:
        return verified(self.document(), at=at)


def verified(document: bytes, *, at: int = NOW) -> NitroClaims:
    return verified_nitro(document, at=at, pinned=PINNED)


ENCLAVE = Enclave()
