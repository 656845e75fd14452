"""Content identifiers: CIDv1 with SHA-256, by hand because a general library takes 70 times as long.

Sources: the CID specification (multiformats/cid), multibase, multihash (0x12 is SHA-256, 0x20 its length).
"""

import hashlib
from base64 import b32decode, b32encode
from dataclasses import dataclass
from typing import Final

from storage.errors import InvalidCid

RAW: Final = 0x55
DAG_PB: Final = 0x70
DAG_CBOR: Final = 0x71
CODECS: Final = frozenset({RAW, DAG_PB, DAG_CBOR})

CID_BYTES: Final = 36  # version, codec, hash function, hash length, digest
V0_BYTES: Final = 34  # hash function, hash length, digest: a bare multihash
CID_TEXT_CHARS_MAX: Final = 59  # base32 is the longest form that we read

_SHA256 = b"\x12\x20"
_BASE32_CHARS = 58
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PREFIXES = {codec: bytes((1, codec)) + _SHA256 for codec in CODECS}
_ACCEPTED_PREFIXES = frozenset(_PREFIXES.values())


@dataclass(frozen=True, slots=True, order=True)
class Cid:
    """The name of a block: what its bytes hash to, and how they are to be read.

    Attributes:
        binary: exactly 36 bytes: 01, the codec, 12 20, the SHA-256 digest.

    Raises: InvalidCid: `binary` is anything else; identity hashes are refused along with all others.
    """

    binary: bytes

    def __post_init__(self) -> None:
        if type(self.binary) is not bytes or len(self.binary) != CID_BYTES:
            raise InvalidCid(f"a CID is {CID_BYTES} bytes: version 1, a codec and a SHA-256 digest")
        if self.binary[:4] not in _ACCEPTED_PREFIXES:
            raise InvalidCid(f"CID begins with {self.binary[:4].hex(' ')}; use SHA-256 with raw, dag-pb or dag-cbor")

    @classmethod
    def of(cls, codec: int, block: bytes | bytearray | memoryview) -> "Cid":
        """Return the CID of `block`, read as `codec`."""
        return cls.from_digest(codec, hashlib.sha256(block).digest())

    @classmethod
    def from_digest(cls, codec: int, digest: bytes) -> "Cid":
        """Return the CID of a block whose SHA-256 is `digest`. Raises: InvalidCid: unknown codec, wrong length."""
        if codec not in CODECS:
            raise InvalidCid(f"codec {codec:#x} is not raw, dag-pb or dag-cbor")
        return cls(_PREFIXES[codec] + digest)

    @classmethod
    def from_binary(cls, binary: bytes) -> "Cid":
        """Return the CID in `binary`: 36 bytes, or the 34 of a version 0 CID (always dag-pb). Raises: InvalidCid."""
        if len(binary) == V0_BYTES and binary[:2] == _SHA256:
            return cls(_PREFIXES[DAG_PB] + binary[2:])
        return cls(binary)

    @classmethod
    def parse(cls, text: str) -> "Cid":
        """Return the CID written as `text`.

        Args:
            text: version 1 in lower-case base32 (`b`), base36 (`k`) or base58 (`z`), or version 0 (`Qm`);
                only the one canonical spelling of each.
        Raises: InvalidCid.
        """
        if not text or len(text) > CID_TEXT_CHARS_MAX or not text.isascii():
            raise InvalidCid(f"a CID is 1 to {CID_TEXT_CHARS_MAX} ASCII characters")
        if text.startswith("Qm"):
            return cls.from_binary(_bytes_from(text, _BASE58, length=V0_BYTES))
        match text[0]:
            case "b":
                return cls(_bytes_from_base32(text[1:]))
            case "k":
                return cls(_bytes_from(text[1:], _BASE36, length=CID_BYTES))
            case "z":
                return cls(_bytes_from(text[1:], _BASE58, length=CID_BYTES))
        raise InvalidCid("a CID begins with b, k, z or Qm: base32, base36, base58 or version 0")

    @property
    def codec(self) -> int:
        """How the block is read: `RAW`, `DAG_PB` or `DAG_CBOR`."""
        return self.binary[1]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the block, 32 bytes."""
        return self.binary[4:]

    def matches(self, block: bytes | bytearray | memoryview) -> bool:
        """Say whether `block` is the one that this CID names."""
        return hashlib.sha256(block).digest() == self.binary[4:]

    def v0(self) -> str:
        """Return the version 0 text, `Qm...`. Raises: InvalidCid: only dag-pb has one."""
        if self.codec != DAG_PB:
            raise InvalidCid("only a dag-pb CID has a version 0 form; print the version 1 text instead")
        return _text_from(self.binary[2:], _BASE58)

    def __str__(self) -> str:
        return "b" + b32encode(self.binary).decode("ascii").rstrip("=").lower()

    def __repr__(self) -> str:
        return f"Cid({str(self)!r})"


def _bytes_from_base32(text: str) -> bytes:
    """Decode RFC 4648 base32, lower case, unpadded, with the unused last bits zero."""
    if len(text) != _BASE32_CHARS or text != text.lower():
        raise InvalidCid(f"a base32 CID has {_BASE32_CHARS} lower-case characters after the b")
    try:
        binary = b32decode(text.upper() + "======")
    except ValueError as error:
        raise InvalidCid("a CID that begins with b is in base32: a to z and 2 to 7") from error
    if b32encode(binary).decode("ascii").rstrip("=").lower() != text:
        raise InvalidCid("the last base32 character sets bits that no byte holds")
    return binary


def _bytes_from(text: str, alphabet: str, *, length: int) -> bytes:
    """Decode a big-endian number whose first byte is not zero: one spelling for each value."""
    number = 0
    for character in text:
        digit = alphabet.find(character)
        if digit < 0:
            raise InvalidCid(f"a character of the CID is not in base{len(alphabet)}")
        number = number * len(alphabet) + digit
    if (number.bit_length() + 7) // 8 != length or text[0] == alphabet[0]:
        raise InvalidCid(f"the CID does not decode to {length} bytes")
    return number.to_bytes(length, "big")


def _text_from(binary: bytes, alphabet: str) -> str:
    number = int.from_bytes(binary, "big")
    digits = []
    while number:
        number, digit = divmod(number, len(alphabet))
        digits.append(alphabet[digit])
    return "".join(reversed(digits))
