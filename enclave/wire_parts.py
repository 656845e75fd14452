"""Messages within messages, put together from what is serialized already (Protocol Buffers, "Encoding").

A serialized message is its fields one after another, so messages of one type that are joined are the message that has
the fields of all. Building it as an object would copy every passage of an answer three times.
"""

from __future__ import annotations

from typing import Final

_LENGTH_DELIMITED: Final = 2
_SEVEN_BITS: Final = 0x80


def part(field: int, message: bytes) -> bytes:
    """Return a serialized message as it stands in another one, as this field of it."""
    size = len(message)
    if size < _SEVEN_BITS:
        return b"%c%c%b" % (field << 3 | _LENGTH_DELIMITED, size, message)
    if size < _SEVEN_BITS**2:
        return b"%c%c%c%b" % (field << 3 | _LENGTH_DELIMITED, size & 0x7F | _SEVEN_BITS, size >> 7, message)
    return bytes([field << 3 | _LENGTH_DELIMITED]) + _varint(size) + message


def _varint(number: int) -> bytes:
    """Return a number in groups of seven bits, the lowest first, all but the last marked."""
    groups = bytearray()
    while number >= _SEVEN_BITS:
        groups.append(number & 0x7F | _SEVEN_BITS)
        number >>= 7
    groups.append(number)
    return bytes(groups)
