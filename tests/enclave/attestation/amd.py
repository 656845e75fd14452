"""A SEV-SNP guest on a platform whose maker is not AMD, for variants that no AMD firmware would sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from enclave.attestation.roots import AMD_GENOA, AMD_MILAN, AMD_TURIN
from enclave.attestation.snp import SnpClaims, verified_snp
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384, pin, rsa_key
from tests.people import NOW, seeded

OID = "1.3.6.1.4.1.3704.1."
PRODUCTS = {"Milan": AMD_MILAN, "Genoa": AMD_GENOA, "Turin": AMD_TURIN}
LEGACY_TCB = {"3.1": 0, "3.2": 1, "3.4": 2, "3.5": 3, "3.6": 4, "3.7": 5, "3.3": 6, "3.8": 7}
TURIN_TCB = {"3.9": 0, "3.1": 1, "3.2": 2, "3.3": 3, "3.5": 4, "3.6": 5, "3.7": 6, "3.8": 7}


@cache
def root_subject(product: str) -> Subject:
    return Subject(name=f"ARK-{product}", key=rsa_key(f"ark {product}"), ca=True, usage=CA_USAGE)


@cache
def intermediate(product: str, kind: str) -> Subject:
    name = f"SEV-{product}" if kind == "VCEK" else f"SEV-VLEK-{product}"
    return Subject(
        name=name, key=rsa_key(name), issuer=root_subject(product), ca=True, path_length=0, usage=("key_cert_sign",)
    )


@cache  # signing with RSA-PSS, it comes out different every time
def root(product: str) -> bytes:
    return root_subject(product).der()


@cache
def issuers(product: str, kind: str) -> tuple[bytes, bytes]:
    return intermediate(product, kind).der(), root(product)


@cache
def pinned() -> Mapping[str, bytes]:
    return {name: pin(root(product)) for product, name in PRODUCTS.items()}


def integer(value: int) -> bytes:
    content = value.to_bytes(2, "big") if value >= 0x80 else value.to_bytes(1, "big")
    return bytes((2, len(content))) + content


def ia5(text: str) -> bytes:
    return bytes((0x16, len(text))) + text.encode()


@dataclass(frozen=True, kw_only=True)
class Guest:
    """Evidence that verifies; `with_` breaks one fact of it, and firmware signs what results."""

    product: str = "Genoa"
    kind: str = "VCEK"
    product_name: str = "Genoa-B1"
    version: int = 5
    policy: int = 0x3001F
    vmpl: int = 1
    sig_algo: int = 1
    flags: int = 0
    cpuid: bytes = bytes((0x19, 0x11, 1))
    tcb: bytes = bytes((7, 0, 0, 0, 0, 0, 24, 219))
    reported_tcb: bytes | None = None  # the certified one
    chip_id: bytes = seeded("chip", 64)
    extensions: Mapping[str, bytes | None] = field(default_factory=dict)  # over those that fit; None: left out
    patches: Mapping[int, bytes] = field(default_factory=dict)  # over what firmware would write, before it signs
    forgeries: Mapping[int, bytes] = field(default_factory=dict)  # after it signed
    leaf: Mapping[str, Any] = field(default_factory=dict)  # of the signer's certificate
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: p384("vcek"))

    def with_(self, **facts: Any) -> Guest:
        return replace(self, **facts)

    def certified(self) -> dict[str, bytes]:
        layout = TURIN_TCB if self.product == "Turin" else LEGACY_TCB
        fitting: dict[str, bytes | None] = {oid: integer(self.tcb[place]) for oid, place in layout.items()}
        fitting |= {"1": integer(0), "2": ia5(self.product_name)}
        if self.kind == "VCEK":
            fitting["4"] = self.chip_id[:8] if self.product == "Turin" else self.chip_id
        else:
            fitting["5"] = ia5("CN=cloud.example")
        return {oid: value for oid, value in (fitting | dict(self.extensions)).items() if value is not None}

    def signer(self) -> bytes:
        subject = Subject(
            name=f"SEV-{self.kind}",
            key=self.key,
            issuer=intermediate(self.product, self.kind),
            extensions=tuple((OID + oid, value, False) for oid, value in self.certified().items()),
        )
        return subject.with_(**self.leaf).der()

    def report(self) -> bytes:
        report = bytearray(1184)
        fields = {
            0x000: self.version.to_bytes(4, "little"),
            0x004: (3).to_bytes(4, "little"),
            0x008: self.policy.to_bytes(8, "little"),
            0x030: self.vmpl.to_bytes(4, "little"),
            0x034: self.sig_algo.to_bytes(4, "little"),
            0x038: self.tcb,
            0x048: self.flags.to_bytes(4, "little"),
            0x050: seeded("report data", 64),
            0x090: seeded("measurement", 48),
            0x0C0: seeded("host data", 32),
            0x180: self.reported_tcb or self.tcb,
            0x188: self.cpuid,
            0x1A0: self.chip_id,
            0x1E0: self.tcb,
            0x1F0: self.tcb,
        }
        for offset, content in (fields | dict(self.patches)).items():
            report[offset : offset + len(content)] = content
        signed = self.key.sign(bytes(report[:0x2A0]), ec.ECDSA(SHA384()))
        for offset, scalar in zip((0x2A0, 0x2E8), decode_dss_signature(signed), strict=True):
            report[offset : offset + 72] = scalar.to_bytes(72, "little")
        for offset, content in self.forgeries.items():
            report[offset : offset + len(content)] = content
        return bytes(report)

    def verified(self, **others: Any) -> SnpClaims:
        ask, ark = issuers(self.product, self.kind)
        parts: dict[str, Any] = {"signer": self.signer(), "intermediate": ask, "root": ark, "at": NOW}
        return verified_snp(self.report(), **(parts | {"pinned": pinned()} | others))


VCEK_GUEST = Guest()
VLEK_GUEST = Guest(kind="VLEK", product="Milan", product_name="Milan", flags=1 << 2, cpuid=bytes((0x19, 1, 1)))
TURIN_GUEST = Guest(
    product="Turin",
    product_name="Turin",
    cpuid=bytes((0x1A, 2, 1)),
    tcb=bytes((1, 2, 3, 4, 0, 0, 0, 81)),
    chip_id=seeded("chip", 8).ljust(64, b"\0"),
)
