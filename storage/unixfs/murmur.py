"""MurmurHash3, the x64 variant of 128 bits, of which sharded directories use the first 64.

Source: MurmurHash3_x64_128 (public domain, A. Appleby), seed 0; multihash 0x22, murmur3-x64-64.
It spreads names and protects nothing: whoever chooses names can make them collide.
"""

from typing import Final

HASH_BITS: Final = 64

_BLOCK_BYTES = 16
_MASK = 2**64 - 1
_C1 = 0x87C37B91114253D5
_C2 = 0x4CF5AD432745937F


def murmur3_x64_64(data: bytes) -> int:
    """Return the first 64 bits of the hash as a number, the bits in the order that sharding takes them from."""
    first = second = 0
    whole = len(data) - len(data) % _BLOCK_BYTES
    for at in range(0, whole, _BLOCK_BYTES):
        first ^= _mixed_first(int.from_bytes(data[at : at + 8], "little"))
        first = ((_rotated(first, 27) + second) * 5 + 0x52DCE729) & _MASK
        second ^= _mixed_second(int.from_bytes(data[at + 8 : at + 16], "little"))
        second = ((_rotated(second, 31) + first) * 5 + 0x38495AB5) & _MASK
    first ^= _mixed_first(int.from_bytes(data[whole : whole + 8], "little")) ^ len(data)
    second ^= _mixed_second(int.from_bytes(data[whole + 8 :], "little")) ^ len(data)
    first = (first + second) & _MASK
    second = (second + first) & _MASK
    return (_avalanched(first) + _avalanched(second)) & _MASK


def _mixed_first(word: int) -> int:
    return _rotated(word * _C1 & _MASK, 31) * _C2 & _MASK


def _mixed_second(word: int) -> int:
    return _rotated(word * _C2 & _MASK, 33) * _C1 & _MASK


def _rotated(word: int, count: int) -> int:
    return (word << count | word >> (64 - count)) & _MASK


def _avalanched(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & _MASK
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return word ^ word >> 33
