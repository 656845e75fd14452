"""NVIDIA GPU attestation reports of Hopper and Blackwell: verified offline, then held against reference measurements.

A report is one SPDM transcript that the GPU signs with a key certified by its boot ROM, whose chain of five
certificates ends at NVIDIA's pinned device root. The formats are those of NVIDIA's published verifiers (nvtrust,
attestation-sdk).

Two things a report cannot say. Devtools mode shows only as measurements that no reference has, and as the driver's own
word to the attester. Revocation is out: NVIDIA answers it online (OCSP) alone, and nothing here asks a network.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from enclave.attestation.certificates import UNREADABLE, certificates_from_pem, verified_chain
from enclave.attestation.claims import Fact, Shown
from enclave.attestation.dice import fwid_of
from enclave.attestation.errors import (
    BindingMismatch,
    ChainInvalid,
    EvidenceMalformed,
    KindUnsupported,
    MeasurementMismatch,
    NonceMismatch,
    SignatureInvalid,
)
from enclave.attestation.rim import DRIVER, KINDS, Rim
from enclave.attestation.roots import NVIDIA_DEVICE, ROOTS
from enclave.attestation.spdm import SIGNATURE_BYTES, Frame, Transcript, fields_from, frame_from

CHAIN_LENGTH: Final = 5  # firmware, boot ROM, provisioner, identity, root
FWID_BYTES: Final = 48
TEXT_BYTES_MAX: Final = 64
ARCHITECTURES: Final[Mapping[str, str]] = MappingProxyType({"GH": "hopper", "GB": "blackwell"})

# Types of opaque fields, as NVIDIA's attestation-sdk names them.
_DRIVER_VERSION: Final = 3
_VBIOS_VERSION: Final = 6
_NVDEC0_STATUS: Final = 11
_CHIP_SKU: Final = 15
_PROJECT: Final = 17
_PROJECT_SKU: Final = 18
_FWID: Final = 20
_PROTECTED_PCIE: Final = 21
_CHIP_INFO: Final = 35
_VBIOS_BYTES: Final = 8
_SWITCH: Final[Mapping[bytes, bool]] = MappingProxyType({b"\xaa": True, b"\x55": False})

_NVDEC0_INDEX: Final = 35  # NVIDIA leaves this reference measurement out where the video decoder is off


@dataclass(frozen=True, slots=True, kw_only=True)
class NvidiaClaims:
    """What a GPU's verified report says of it."""

    kind: str = "nvidia"
    architecture: str  # hopper or blackwell
    chip: str  # GH100, GB100: the product that reference measurements name
    model: str  # the chip with its revision, as NVIDIA's provisioner certified it
    device: bytes  # SHA-256 of the signing key (SubjectPublicKeyInfo): tells GPUs of one host apart
    serial: bytes  # of the signing certificate
    nonce: bytes
    driver_version: str
    vbios_version: str
    vbios_raw: bytes
    project: str | None
    project_sku: str | None
    chip_sku: str | None
    fwid: bytes | None  # drivers before 550 report none
    is_nvdec0_on: bool | None
    is_pcie_protected: bool | None  # one GPU of a host whose links between GPUs are not encrypted
    blocks: Mapping[int, bytes]  # every measurement by SPDM block index, unused ones all zero

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge; block 2 stands as `measurement_2`."""
        return {
            "architecture": self.architecture,
            "chip": self.chip,
            "model": self.model,
            "device": self.device,
            "serial": self.serial,
            "nonce": self.nonce,
            "driver_version": self.driver_version,
            "vbios_version": self.vbios_version,
            "project": self.project,
            "project_sku": self.project_sku,
            "chip_sku": self.chip_sku,
            "fwid": self.fwid,
            "protected_pcie": self.is_pcie_protected,
            **{f"measurement_{index}": value for index, value in self.blocks.items()},
        }

    def shown(self) -> dict[str, Shown]:
        """Return the claims as JSON; measurements leave out the unused blocks."""
        return {
            "request_nonce": self.nonce.hex(),
            "driver_version": self.driver_version,
            "vbios_version": self.vbios_version,
            "vbios_version_raw": self.vbios_raw.hex(),
            "project": self.project,
            "project_sku": self.project_sku,
            "chip_sku": self.chip_sku,
            "fwid": None if self.fwid is None else self.fwid.hex(),
            "measurement_blocks": len(self.blocks),
            "measurements": {str(index): value.hex() for index, value in self.blocks.items() if any(value)},
        }


def verified_nvidia(
    report: bytes, chain: bytes, *, nonce: bytes | None, at: int, pinned: Mapping[str, bytes] = ROOTS
) -> NvidiaClaims:
    """Return what the GPU's report claims, verified at a time in Unix seconds, or raise an `EvidenceRefused`.

    Args:
        report: the SPDM request ‖ response, as the driver hands it out.
        chain: the GPU's certificates, PEM, leaf first, root last.
        nonce: the 32 bytes the GPU was asked with; None only to show a report, never to trust it.
        pinned: the hash of each root by name; another than ours only in tests.
    """
    frame = frame_from(report)
    certificates = certificates_from_pem(chain)
    if len(certificates) != CHAIN_LENGTH:
        raise ChainInvalid(f"chain of {len(certificates)} certificates, wanted a GPU's {CHAIN_LENGTH}")
    verified_chain(certificates, roots=(NVIDIA_DEVICE,), at=at, pinned=pinned)
    _require_signed(frame, certificates[0])
    transcript = frame.transcript()
    if nonce is not None and not hmac.compare_digest(transcript.nonce, nonce):
        raise NonceMismatch(f"nonce: found {transcript.nonce.hex()[:16]}, wanted {nonce.hex()[:16]}")
    claims = _claims(transcript, certificates)
    if claims.fwid is not None and claims.fwid != fwid_of(certificates[0]):
        raise BindingMismatch("fwid: the firmware that signed is not the one its certificate names")
    return claims


def require_reference(claims: NvidiaClaims, rims: Sequence[Rim], *, kinds: Set[str] = KINDS) -> int:
    """Return how many of the GPU's measurements its reference manifests bear out, or raise `MeasurementMismatch`.

    Every active reference has to be met: index *i* of a manifest is block *i + 1* of the report. One is left out, as
    NVIDIA's own verifiers leave it out: index 35 where the signed report says that video decoder 0 is off.

    Args:
        rims: verified manifests, at most one of each kind, all for this GPU's chip and versions.
        kinds: what has to be there; fewer than both says aloud that the rest goes unjudged.
    """
    found = sorted(rim.kind for rim in rims)
    if len(set(found)) != len(found) or not kinds <= set(found):
        raise MeasurementMismatch(f"rim: found {found or 'none'}, wanted one each of {sorted(kinds)}")
    wanted: dict[int, tuple[bytes, ...]] = {}
    for rim in rims:
        _require_for(claims, rim)
        if not wanted.keys().isdisjoint(rim.active):
            raise MeasurementMismatch(f"rim: both manifests set index {min(wanted.keys() & rim.active.keys())}")
        wanted.update(rim.active)
    if claims.is_nvdec0_on is False:
        wanted.pop(_NVDEC0_INDEX, None)
    if not wanted:
        raise MeasurementMismatch("rim: the manifests set no measurement")
    mismatches = [index for index in sorted(wanted) if claims.blocks.get(index + 1) not in wanted[index]]
    if mismatches:
        raise MeasurementMismatch(_told(mismatches, claims, wanted))
    return len(wanted)


def _require_for(claims: NvidiaClaims, rim: Rim) -> None:
    """Raise unless the manifest is for this GPU's chip and version, and holds nothing that would go unjudged."""
    version = claims.driver_version if rim.kind == DRIVER else claims.vbios_version
    if rim.colloquial_version.lower() != version.lower():
        raise MeasurementMismatch(f"{rim.kind} rim: found one for {rim.colloquial_version}, wanted {version}")
    if rim.product != claims.chip:
        raise MeasurementMismatch(f"{rim.kind} rim: found one for {rim.product}, wanted {claims.chip}")
    if rim.unjudged:
        raise MeasurementMismatch(f"{rim.kind} rim: this build cannot judge its entry {rim.unjudged[0]}")


def _told(mismatches: Sequence[int], claims: NvidiaClaims, wanted: Mapping[int, tuple[bytes, ...]]) -> str:
    first = mismatches[0]
    found = claims.blocks.get(first + 1)
    text = "no such block" if found is None else found.hex()[:16]
    alternatives = " or ".join(value.hex()[:16] for value in wanted[first])
    others = f"; also at {', '.join(map(str, mismatches[1:]))}" if mismatches[1:] else ""
    return f"rim index {first}: found {text}, wanted {alternatives}{others}"


def _require_signed(frame: Frame, leaf: x509.Certificate) -> None:
    """Raise `SignatureInvalid` unless the certified key signed the transcript (ECDSA P-384, SHA-384)."""
    try:
        key = leaf.public_key()
    except UNREADABLE as error:
        raise ChainInvalid("chain: the key of the GPU's certificate cannot be read") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ChainInvalid("chain: the key of the GPU's certificate is not a P-384 key")
    half = SIGNATURE_BYTES // 2
    r, s = (int.from_bytes(part, "big") for part in (frame.signature[:half], frame.signature[half:]))
    try:
        key.verify(encode_dss_signature(r, s), frame.signed, ec.ECDSA(SHA384()))
    except InvalidSignature as error:
        raise SignatureInvalid("the GPU's certified key did not sign this report") from error


def _claims(transcript: Transcript, certificates: Sequence[x509.Certificate]) -> NvidiaClaims:
    """Return the claims of a transcript whose signature and chain have been verified."""
    fields = fields_from(transcript.opaque)
    model = _model(certificates[1])
    leaf = certificates[0]
    key = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    driver, vbios = _text(fields, _DRIVER_VERSION), fields.get(_VBIOS_VERSION, b"")
    fwid = fields.get(_FWID)
    if driver is None or len(vbios) != _VBIOS_BYTES or (fwid is not None and len(fwid) != FWID_BYTES):
        raise EvidenceMalformed("the report does not say its driver version, VBIOS version and FWID as it should")
    return NvidiaClaims(
        architecture=ARCHITECTURES[model[:2]],
        chip=_text(fields, _CHIP_INFO) or model.split()[0],
        model=model,
        device=sha256(key).digest(),
        serial=leaf.serial_number.to_bytes((leaf.serial_number.bit_length() + 7) // 8, "big"),
        nonce=transcript.nonce,
        driver_version=driver,
        vbios_version=".".join(f"{byte:02x}" for byte in (*vbios[3::-1], vbios[4])),
        vbios_raw=vbios,
        project=_text(fields, _PROJECT),
        project_sku=_text(fields, _PROJECT_SKU),
        chip_sku=_text(fields, _CHIP_SKU),
        fwid=fwid,
        is_nvdec0_on=_SWITCH.get(fields.get(_NVDEC0_STATUS, b"")),
        is_pcie_protected=_SWITCH.get(fields.get(_PROTECTED_PCIE, b"")),
        blocks=transcript.blocks,
    )


def _model(boot_rom: x509.Certificate) -> str:
    """Return the chip and revision of a GPU's boot ROM, or raise `KindUnsupported`.

    NVIDIA's device root also vouches for switches, and a GPU for more than its GSP.
    """
    names = boot_rom.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = names[0].value if len(names) == 1 else ""
    if not isinstance(name, str) or name[:2] not in ARCHITECTURES or "GSP" not in name.split():
        raise KindUnsupported(f"device: found {name!r}, wanted a Hopper or Blackwell GPU")
    return name


def _text(fields: Mapping[int, bytes], kind: int) -> str | None:
    """Return a field of NUL-terminated text; None where the report has no such field."""
    if kind not in fields:
        return None
    value = fields[kind].rstrip(b"\0")
    if not 1 <= len(value) <= TEXT_BYTES_MAX or not value.isascii() or not value.decode().isprintable():
        raise EvidenceMalformed(f"opaque field {kind} is not text of 1 to {TEXT_BYTES_MAX} characters")
    return value.decode()
