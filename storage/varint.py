"""Unsigned LEB128 integers, the one shortest form of each: the varints of multiformats and of protobuf."""

from typing import Final

VARINT_BYTES_MAX: Final = 9  # multiformats unsigned-varint: at most 63 bits
VARINT_MAX: Final = 2**63 - 1


def encoded(number: int) -> bytes:
    """Return `number`, 0 to `VARINT_MAX`, in as few bytes as it takes."""
    if not 0 <= number <= VARINT_MAX:
        raise ValueError(f"a varint holds 0 to 2^63 - 1, not {number}")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decoded(data: bytes, at: int) -> tuple[int, int]:
    """Return the number at offset `at`, and the offset after it.

    Raises: ValueError: cut short, longer than `VARINT_BYTES_MAX`, or not the shortest form.
    """
    number = 0
    for index in range(VARINT_BYTES_MAX):
        if at + index >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise ValueError("a number is not in its shortest form")
            return number, at + index + 1
    raise ValueError(f"a number is longer than {VARINT_BYTES_MAX} bytes")
