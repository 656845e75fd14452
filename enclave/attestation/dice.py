"""The firmware id in a GPU's certificate: TCG DICE attestation architecture, in the two forms NVIDIA uses.

Hopper: CompositeDeviceID, `SEQUENCE { INTEGER, SubjectPublicKeyInfo, FWID }`. Blackwell: DiceTcbInfo, whose field 6 is
`SEQUENCE OF FWID`, the first of them the firmware's. FWID is `SEQUENCE { OBJECT IDENTIFIER, OCTET STRING }`.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509

from enclave.attestation.certificates import UNREADABLE
from enclave.attestation.errors import BindingMismatch

_COMPOSITE_DEVICE_ID: Final = "2.23.133.5.4.1"
_TCB_INFO: Final = "2.23.133.5.4.1.1"
_SHA384: Final = bytes.fromhex("608648016503040202")  # 2.16.840.1.101.3.4.2.2
_DIGEST_BYTES: Final = 48
_OCTETS, _OBJECT, _SEQUENCE, _FWIDS = 0x04, 0x06, 0x30, 0xA6


def fwid_of(certificate: x509.Certificate) -> bytes:
    """Return the SHA-384 firmware id that the certificate binds to its key, or raise `BindingMismatch`."""
    try:
        found = [
            (extension.oid.dotted_string, extension.value.public_bytes())
            for extension in certificate.extensions
            if extension.oid.dotted_string in (_COMPOSITE_DEVICE_ID, _TCB_INFO)
        ]
    except UNREADABLE as error:
        raise BindingMismatch("fwid: the certificate's extensions cannot be read") from error
    if len(found) != 1:
        raise BindingMismatch(f"fwid: found {len(found)} in the certificate, wanted one")
    oid, encoded = found[0]
    try:
        return _composite(encoded) if oid == _COMPOSITE_DEVICE_ID else _tcb_info(encoded)
    except (ValueError, IndexError) as error:
        raise BindingMismatch("fwid: the certificate's cannot be read") from error


def _composite(encoded: bytes) -> bytes:
    _, _, fwid = _inside(encoded)
    return _digest(fwid)


def _tcb_info(encoded: bytes) -> bytes:
    (fwids,) = [value for tag, value in _inside(encoded) if tag == _FWIDS]
    return _digest(_values(fwids)[0])


def _digest(fwid: tuple[int, bytes]) -> bytes:
    tag, value = fwid
    algorithm, digest = _values(value)
    if tag != _SEQUENCE or algorithm != (_OBJECT, _SHA384) or (digest[0], len(digest[1])) != (_OCTETS, _DIGEST_BYTES):
        raise ValueError("not a SHA-384 firmware id")
    return digest[1]


def _inside(encoded: bytes) -> list[tuple[int, bytes]]:
    ((tag, value),) = _values(encoded)
    if tag != _SEQUENCE:
        raise ValueError("not a sequence")
    return _values(value)


def _values(encoded: bytes) -> list[tuple[int, bytes]]:
    """Return the tags and contents of DER values that fill `encoded` (X.690, low tags, lengths below 2^16)."""
    values, place = [], 0
    while place < len(encoded):
        tag, length, place = encoded[place], encoded[place + 1], place + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 2:
                raise ValueError("length of DER value")
            length, place = int.from_bytes(encoded[place : place + size], "big"), place + size
        if place + length > len(encoded):
            raise ValueError("DER value is cut short")
        values.append((tag, encoded[place : place + length]))
        place += length
    return values
