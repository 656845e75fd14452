"""SPDM 1.1 measurements: a GET_MEASUREMENTS request and its MEASUREMENTS response (DMTF DSP0274 1.1, section 10.11).

A parser and nothing else: every length is exact, every reserved byte as the specification wants it, and what it
returns is as untrusted as what it was given until the signature over `Frame.signed` has been verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from enclave.attestation.errors import EvidenceMalformed

NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 96  # ECDSA P-384: r ‖ s
TRANSCRIPT_BYTES_MAX: Final = 0x2000  # NVML_CC_GPU_ATTESTATION_REPORT_SIZE, nvml.h
OPAQUE_BYTES_MAX: Final = 1024  # DSP0274 1.1, table 39

_VERSION: Final = 0x11
_GET_MEASUREMENTS: Final = 0xE0
_MEASUREMENTS: Final = 0x60
_SIGNED: Final = 0x01  # Param1 of the request: the response is to be signed
_ALL_BLOCKS: Final = 0xFF  # Param2 of the request
_SLOT_MAX: Final = 7
_HEADER_BYTES: Final = 4
_REQUEST_BYTES: Final = _HEADER_BYTES + NONCE_BYTES + 1
_DMTF: Final = 0x01  # the measurement specification of every block


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """One request and its response, taken apart.

    `nonce` is the requester's; the responder's own is part of what is signed and means nothing to a verifier.
    """

    nonce: bytes
    slot: int
    blocks: Mapping[int, bytes]  # measurement values by block index, 1 to 254
    opaque: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A request ‖ response cut where its lengths say, and nothing judged, so that its signature is verified first."""

    request: bytes
    response: bytes  # its header alone
    count: int
    record: bytes
    opaque: bytes
    signed: bytes  # the request ‖ the response without its signature
    signature: bytes

    def transcript(self) -> Transcript:
        """Return what is signed, or raise `EvidenceMalformed` where it is not as the specification wants it."""
        nonce, slot = _request(Reader(self.request))
        _require_header(self.response, bytes([_VERSION, _MEASUREMENTS, 0, slot]), "response")
        return Transcript(nonce=nonce, slot=slot, blocks=_blocks(self.record, self.count), opaque=self.opaque)


def frame_from(data: bytes) -> Frame:
    """Return the parts of a request ‖ response, or raise `EvidenceMalformed`.

    After the signature nothing may follow but one NUL, which some collectors leave there.
    """
    if len(data) > TRANSCRIPT_BYTES_MAX:
        raise EvidenceMalformed(f"SPDM: {len(data)} bytes are over the limit of {TRANSCRIPT_BYTES_MAX}")
    reader = Reader(data)
    request, response, count = reader.take(_REQUEST_BYTES), reader.take(_HEADER_BYTES), reader.number(1)
    record = reader.take(reader.number(3))
    reader.take(NONCE_BYTES)
    opaque_bytes = reader.number(2)
    if opaque_bytes > OPAQUE_BYTES_MAX:
        raise EvidenceMalformed(f"SPDM: {opaque_bytes} bytes of opaque data, wanted at most {OPAQUE_BYTES_MAX}")
    opaque = reader.take(opaque_bytes)
    signed = data[: reader.place]
    signature = reader.take(SIGNATURE_BYTES)
    if reader.rest() not in (b"", b"\0"):
        raise EvidenceMalformed(f"SPDM: {len(reader.rest())} bytes after the signature")
    return Frame(
        request=request,
        response=response,
        count=count,
        record=record,
        opaque=opaque,
        signed=signed,
        signature=signature,
    )


def transcript_from(data: bytes) -> Transcript:
    """Return what a request ‖ response says, which nobody vouches for yet, or raise `EvidenceMalformed`."""
    return frame_from(data).transcript()


def fields_from(opaque: bytes) -> Mapping[int, bytes]:
    """Return the fields of NVIDIA's opaque data by type: type u16, size u16, value, each type at most once."""
    reader = Reader(opaque)
    fields: dict[int, bytes] = {}
    while reader.rest():
        kind = reader.number(2)
        if kind in fields:
            raise EvidenceMalformed(f"SPDM: opaque field {kind} stands twice")
        fields[kind] = reader.take(reader.number(2))
    return MappingProxyType(fields)


def _request(reader: Reader) -> tuple[bytes, int]:
    """Return the request's nonce and certificate slot."""
    _require_header(reader.take(_HEADER_BYTES), bytes([_VERSION, _GET_MEASUREMENTS, _SIGNED, _ALL_BLOCKS]), "request")
    nonce = reader.take(NONCE_BYTES)
    slot = reader.number(1)
    if slot > _SLOT_MAX:
        raise EvidenceMalformed(f"SPDM: certificate slot {slot}, wanted 0 to {_SLOT_MAX}")
    return nonce, slot


def _require_header(found: bytes, wanted: bytes, name: str) -> None:
    if found != wanted:
        raise EvidenceMalformed(f"SPDM: the {name} begins with {found.hex()}, wanted {wanted.hex()}")


def _blocks(record: bytes, count: int) -> Mapping[int, bytes]:
    """Return the values of exactly `count` measurement blocks that fill the record, by ascending index."""
    reader = Reader(record)
    blocks: dict[int, bytes] = {}
    last = 0
    for _ in range(count):
        index, specification, size = reader.number(1), reader.number(1), reader.number(2)
        if not last < index < 0xFF:  # 0 and 255 are reserved
            raise EvidenceMalformed(f"SPDM: block index {index} after {last}")
        block = Reader(reader.take(size))
        block.number(1)  # the type of value, which the reference measurements do not tell apart
        value = block.take(block.number(2))
        if specification != _DMTF or block.rest() or not value:
            raise EvidenceMalformed(f"SPDM: block {index} is not one DMTF measurement")
        blocks[index] = value
        last = index
    if not blocks or reader.rest():
        raise EvidenceMalformed(f"SPDM: {count} blocks do not fill the measurement record")
    return MappingProxyType(blocks)


class Reader:
    """Reads bytes front to back; asking for more than there is raises `EvidenceMalformed`."""

    __slots__ = ("_data", "place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.place = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        taken = self._data[self.place : self.place + size]
        if len(taken) != size:
            raise EvidenceMalformed(f"SPDM: {size} bytes wanted at {self.place}, found {len(taken)}")
        self.place += size
        return taken

    def number(self, size: int) -> int:
        """Return the next `size` bytes as a little-endian number."""
        return int.from_bytes(self.take(size), "little")

    def rest(self) -> bytes:
        """Return what has not been read yet."""
        return self._data[self.place :]
