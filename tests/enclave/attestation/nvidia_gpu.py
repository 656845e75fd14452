"""A GPU and manifests whose maker is not NVIDIA, for variants that no NVIDIA firmware would sign."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave.attestation.nvidia import NvidiaClaims, verified_nvidia
from enclave.attestation.rim import Rim, verified_rim
from enclave.attestation.roots import NVIDIA_DEVICE, NVIDIA_RIM
from tests.enclave.attestation.pki import CA_USAGE, Subject, p384, pin
from tests.people import NOW, seeded

NONCE = seeded("nonce", 32)
FWID = seeded("fwid", 48)
HOPPER_OID, BLACKWELL_OID = "2.23.133.5.4.1", "2.23.133.5.4.1.1"
SIGNS = ("digital_signature",)
BLOCKS = {index: seeded(f"block {index}", 48) if index % 2 else bytes(48) for index in range(1, 65)}
NVDEC0_OFF, NVDEC0_ON = b"\x55", b"\xaa"
FIELDS: Mapping[int, bytes] = {
    6: bytes.fromhex("009f009601000000"),
    11: NVDEC0_ON,
    15: b"882\0\0\0\0\0\0",
    17: b"1010\0",
    18: b"0200\0",
    3: b"550.90.07\0",
    20: FWID,
}


def der(tag: int, *parts: bytes) -> bytes:
    """Return one DER value."""
    content = b"".join(parts)
    size = len(content)
    return bytes([tag, size] if size < 128 else [tag, 0x81, size]) + content


def fwid_value(fwid: bytes) -> bytes:
    return der(0x30, der(0x06, bytes.fromhex("608648016503040202")), der(0x04, fwid))


def hopper_extension(fwid: bytes) -> tuple[str, bytes, bool]:
    spki = p384("gpu rom").public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return HOPPER_OID, der(0x30, der(0x02, b"\x01"), spki, fwid_value(fwid)), False


def blackwell_extension(fwid: bytes) -> tuple[str, bytes, bool]:
    fwids = der(0xA6, fwid_value(fwid), fwid_value(bytes(48)))
    return BLACKWELL_OID, der(0x30, der(0x80, b"NVIDIA"), der(0x83, b"\x01"), fwids, der(0x89, b"\0")), False


@cache
def device_root() -> Subject:
    return Subject(name="device root", key=p384("device root"), ca=True, usage=CA_USAGE)


def pinned() -> Mapping[str, bytes]:
    return {NVIDIA_DEVICE: pin(device_root().der()), NVIDIA_RIM: pin(rim_root().der())}


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU to be asked; `with_` breaks one fact of it, and it still signs."""

    name: str = "gpu"
    model: str = "GH100 A01 GSP BROM"
    extensions: tuple[tuple[str, bytes, bool], ...] = field(default_factory=lambda: (hopper_extension(FWID),))
    key: Any = field(default_factory=lambda: p384("gpu fmc"))
    nonce: bytes = NONCE
    request: bytes = bytes.fromhex("11e001ff")
    slot: int = 0
    response: bytes = bytes.fromhex("11600000")
    blocks: Sequence[tuple[int, int, bytes]] = tuple((index, 1, value) for index, value in BLOCKS.items())
    count: int | None = None
    fields: Sequence[tuple[int, bytes]] = tuple(FIELDS.items())
    tail: bytes = b""

    def with_(self, **facts: Any) -> Gpu:
        return replace(self, **facts)

    def with_field(self, kind: int, value: bytes | None) -> Gpu:
        rest = [(found, kept) for found, kept in self.fields if found != kind]
        return self.with_(fields=[*rest, *([] if value is None else [(kind, value)])])

    def subjects(self) -> list[Subject]:
        identity = Subject(name="identity", key=p384("identity"), issuer=device_root(), ca=True, usage=CA_USAGE)
        provisioner = Subject(name="provisioner", key=p384("provisioner"), issuer=identity, ca=True, usage=CA_USAGE)
        rom = Subject(name=self.model, key=p384(f"{self.name} rom"), issuer=provisioner, ca=True, usage=CA_USAGE)
        leaf = Subject(name=f"{self.name} FMC", key=self.key, issuer=rom, usage=SIGNS, extensions=self.extensions)
        return [leaf, rom, provisioner, identity, device_root()]

    def chain(self) -> bytes:
        return pem(self.subjects())

    def unsigned(self) -> bytes:
        record = b"".join(_block(*block) for block in self.blocks)
        opaque = b"".join(_number(kind, 2) + _number(len(value), 2) + value for kind, value in self.fields)
        count = len(self.blocks) if self.count is None else self.count
        request = self.request + self.nonce + bytes([self.slot])
        response = self.response + bytes([count]) + _number(len(record), 3) + record
        return request + response + seeded("responder", 32) + _number(len(opaque), 2) + opaque

    def report(self) -> bytes:
        return self.signed(self.unsigned()) + self.tail

    def signed(self, unsigned: bytes) -> bytes:
        return unsigned + raw_signature(self.key, unsigned)

    def claims(self, *, nonce: bytes | None = NONCE, at: int = NOW) -> NvidiaClaims:
        return verified_nvidia(self.report(), self.chain(), nonce=nonce, at=at, pinned=pinned())


def blackwell() -> Gpu:
    gpu = Gpu(model="GB100 A01 GSP BROM", extensions=(blackwell_extension(FWID),))
    return gpu.with_field(35, b"GB100\0").with_field(6, bytes.fromhex("008800970f000000"))


def pem(subjects: Sequence[Subject]) -> bytes:
    return b"".join(subject.certificate().public_bytes(Encoding.PEM) for subject in subjects)


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA384(), deterministic_signing=True)))
    return r.to_bytes(48, "big") + s.to_bytes(48, "big")


def _block(index: int, specification: int, value: bytes) -> bytes:
    return bytes([index, specification]) + _number(3 + len(value), 2) + b"\x01" + _number(len(value), 2) + value


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


@cache
def rim_root() -> Subject:
    return Subject(name="rim root", key=p384("rim root"), ca=True, usage=CA_USAGE)


@cache
def rim_signer() -> Subject:
    middle = Subject(name="rim middle", key=p384("rim middle"), issuer=rim_root(), ca=True, usage=CA_USAGE)
    return Subject(name="rim signer", key=p384("rim signer"), issuer=middle, ca=False, usage=SIGNS)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One manifest to be signed; `with_` breaks one fact of it, and it is still signed."""

    version: str = "550.90.07"
    product: str = "GH100"
    tag: str = "SoftwareIdentity"
    entries: Mapping[int, Sequence[bytes]] = field(default_factory=lambda: {10: [BLOCKS[11]], 12: [BLOCKS[13]]})
    inactive: Mapping[int, Sequence[bytes]] = field(default_factory=lambda: {0: [bytes(48)]})
    more: str = ""  # XML below Payload
    signer: Subject = field(default_factory=rim_signer)
    signature: Mapping[str, Any] = field(default_factory=dict)  # another profile

    def with_(self, **facts: Any) -> Manifest:
        return replace(self, **facts)

    def xml(self) -> str:
        entries = "".join(resource(index, values) for index, values in self.entries.items())
        entries += "".join(resource(index, values, active="False") for index, values in self.inactive.items())
        return (
            f'<{self.tag} xmlns="http://standards.iso.org/iso/19770/-2/2015/schema.xsd" '
            'xmlns:ns2="http://www.w3.org/2001/04/xmlenc#sha384" name="GPU" tagId="abc">\n'
            f'<Meta colloquialVersion="{self.version}" edition="GPU" product="{self.product}"/>\n'
            f"<Payload>{entries}{self.more}</Payload>\n</{self.tag}>"
        )

    def document(self) -> bytes:
        return self.signed(self.xml())

    def signed(self, xml: str) -> bytes:
        import signxml
        from lxml import etree

        profile: dict[str, Any] = {
            "signature_algorithm": "ecdsa-sha384",
            "digest_algorithm": "sha384",
            "c14n_algorithm": "http://www.w3.org/2006/12/xml-c14n11",
        }
        signer = signxml.XMLSigner(**(profile | dict(self.signature)))
        chain, subject = [], self.signer
        while subject not in chain:
            chain.append(subject)
            subject = subject.issuer or subject
        certificates = [subject.certificate() for subject in chain]
        root = signer.sign(etree.fromstring(xml), key=self.signer.key, cert=certificates)
        return bytes(etree.tostring(root))

    def rim(self, *, at: int = NOW) -> Rim:
        return verified_rim(self.document(), at=at, pinned=pinned())


def resource(index: int | str, values: Sequence[bytes], *, active: str = "True", **changed: str) -> str:
    """Return one measurement of a manifest in XML."""
    attributes = {"type": "Measurement", "index": str(index), "active": active, "alternatives": str(len(values))}
    attributes |= {f"ns2:Hash{place}": value.hex() for place, value in enumerate(values)}
    attributes |= {"name": f"Measurement_{index}", "size": "48"} | changed
    return "<Resource " + " ".join(f'{name}="{value}"' for name, value in attributes.items()) + "/>"


def encoded(der_bytes: bytes) -> str:
    return base64.b64encode(der_bytes).decode()
