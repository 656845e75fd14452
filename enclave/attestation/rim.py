"""NVIDIA's reference integrity manifests (RIM): the measurements a driver or VBIOS ought to have, signed.

A manifest is an ISO/IEC 19770-2 SoftwareIdentity tag with the TCG RIM information model's attributes, signed as
`xmlsig` says by a chain that ends at NVIDIA's pinned manifest root. Which of the two it is shows in its version:
`550.144.03` is a driver's, `96.00.5E.00.01` a VBIOS's. Revocation is out, as it is for `nvidia`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from enclave.attestation.certificates import verified_chain
from enclave.attestation.claims import Shown
from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.roots import NVIDIA_RIM, ROOTS
from enclave.attestation.xmlsig import Element, parsed, require_signed, signers_of

DRIVER: Final = "driver"
VBIOS: Final = "vbios"
KINDS: Final = frozenset({DRIVER, VBIOS})
DOCUMENT_BYTES_MAX: Final = 256 << 10  # real ones take 21 KiB
ALTERNATIVES_MAX: Final = 64
INDEX_MAX: Final = 253  # index i is SPDM block i + 1, and 254 is the last
TEXT_MAX: Final = 128

_SWID: Final = "{http://standards.iso.org/iso/19770/-2/2015/schema.xsd}"
_HASH: Final = "{http://www.w3.org/2001/04/xmlenc#sha384}Hash"
_VERSIONS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        DRIVER: re.compile(r"\d{1,4}(\.\d{1,4}){1,3}", re.ASCII),
        VBIOS: re.compile(r"[0-9A-Fa-f]{2}(\.[0-9A-Fa-f]{2}){4}"),
    }
)
_DIGITS: Final = re.compile(r"\d{1,6}", re.ASCII)
_HASH_BYTES: Final = 48
_ACTIVE: Final[Mapping[str, bool]] = MappingProxyType({"True": True, "False": False})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What one measurement may be. One that is not active is none of this manifest's business."""

    alternatives: tuple[bytes, ...]
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rim:
    """A verified manifest."""

    kind: str  # DRIVER or VBIOS
    colloquial_version: str
    product: str  # the chip: GH100
    tag_id: str
    references: Mapping[int, Reference]  # by index
    unjudged: tuple[str, ...]  # active entries of a form this build does not know: it must not pass over them

    @property
    def active(self) -> Mapping[int, tuple[bytes, ...]]:
        """Return the alternatives of every active reference, by index."""
        return {index: found.alternatives for index, found in self.references.items() if found.is_active}

    def shown(self) -> dict[str, Shown]:
        """Return the claims under the names of the evidence index."""
        return {"colloquial_version": self.colloquial_version}


def verified_rim(document: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS) -> Rim:
    """Return what NVIDIA signed, verified at a time in Unix seconds, or raise an `EvidenceRefused`.

    `pinned` is the hash of each root by name; another than ours only in tests.
    """
    root = parsed(document, bytes_max=DOCUMENT_BYTES_MAX)
    if root.tag != _SWID + "SoftwareIdentity":
        raise EvidenceMalformed("rim: the document is no SoftwareIdentity")
    certificates = signers_of(root)
    verified_chain(certificates, roots=(NVIDIA_RIM,), at=at, pinned=pinned)
    return _rim(require_signed(root, certificates[0], at=at))


def _rim(signed: Element) -> Rim:
    """Return what a verified document says, or raise `EvidenceMalformed`."""
    meta, payload = _only(signed, "Meta"), _only(signed, "Payload")
    version = _text(meta, "colloquialVersion")
    kinds = [kind for kind, pattern in _VERSIONS.items() if pattern.fullmatch(version)]
    if signed.tag != _SWID + "SoftwareIdentity" or len(kinds) != 1:
        raise EvidenceMalformed(f"rim: {version!r} is the version of neither driver nor VBIOS")
    references: dict[int, Reference] = {}
    unjudged: list[str] = []
    for entry in payload:
        index = _number(entry, "index") if entry.tag == _SWID + "Resource" else INDEX_MAX + 1
        if entry.get("type") != "Measurement" or index > INDEX_MAX:
            if entry.get("active") != "False":
                unjudged.append(entry.get("name", "without name")[:TEXT_MAX])
            continue
        if index in references:
            raise EvidenceMalformed(f"rim: index {index} stands twice")
        references[index] = _reference(entry, index)
    if not references:
        raise EvidenceMalformed("rim: the manifest holds no measurement")
    return Rim(
        kind=kinds[0],
        colloquial_version=version,
        product=_text(meta, "product"),
        tag_id=_text(signed, "tagId"),
        references=MappingProxyType(references),
        unjudged=tuple(unjudged),
    )


def _reference(entry: Element, index: int) -> Reference:
    active = _ACTIVE.get(_text(entry, "active"))
    count = _number(entry, "alternatives")
    names = {str(name) for name in entry.attrib if str(name).startswith(_HASH)}
    if active is None or not 1 <= count <= ALTERNATIVES_MAX or names != {f"{_HASH}{place}" for place in range(count)}:
        raise EvidenceMalformed(f"rim: index {index} is not {count} alternatives, active or not")
    if _number(entry, "size") != _HASH_BYTES:
        raise EvidenceMalformed(f"rim: index {index} is not a SHA-384 digest")
    return Reference(
        alternatives=tuple(_digest(_text(entry, f"{_HASH}{place}"), index) for place in range(count)), is_active=active
    )


def _digest(text: str, index: int) -> bytes:
    if re.fullmatch(f"[0-9A-Fa-f]{{{2 * _HASH_BYTES}}}", text) is None:
        raise EvidenceMalformed(f"rim: index {index} is not a SHA-384 digest in hex")
    return bytes.fromhex(text)


def _only(parent: Element, name: str) -> Element:
    found = [child for child in parent if child.tag == _SWID + name]
    if len(found) != 1:
        raise EvidenceMalformed(f"rim: found {len(found)} of {name}, wanted one")
    return found[0]


def _text(element: Element, name: str) -> str:
    value: str = element.get(name, "")
    if not 1 <= len(value) <= TEXT_MAX or not value.isascii() or not value.isprintable():
        raise EvidenceMalformed(f"rim: {name.rpartition('}')[2]} is not text of 1 to {TEXT_MAX} characters")
    return value


def _number(element: Element, name: str) -> int:
    text = _text(element, name)
    if _DIGITS.fullmatch(text) is None:
        raise EvidenceMalformed(f"rim: {name} is not a number")
    return int(text)
