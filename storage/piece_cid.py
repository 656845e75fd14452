"""Names of Filecoin pieces: the root of a binary tree over padded data, and in version 2 how much data there was.

Sources: FRC-0069 for version 2, multicodec for the codes. A piece is not a block: its name is no `Cid`, since nothing
that checks blocks could check it.
"""

from base64 import b32decode, b32encode
from dataclasses import dataclass
from typing import Final

from storage import varint
from storage.errors import InvalidCid

ROOT_BYTES: Final = 32
HEIGHT_MIN: Final = 2  # four leaves of 32 bytes: 127 bytes of data, the least that a piece is padded to
HEIGHT_MAX: Final = 58  # so that every size fits in 63 bits
TEXT_CHARS_MAX: Final = 80

_V1_PREFIX = b"\x01\x81\xe2\x03\x92\x20\x20"  # version 1, fil-commitment-unsealed, sha2-256-trunc254-padded, 32 bytes
_V2_PREFIX = b"\x01\x55\x91\x20"  # version 1, raw, fr32-sha2-256-trunc254-padded-binary-tree


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceCid:
    """A piece of Filecoin: `raw_bytes` of data, padded to a tree of `height` above its leaves.

    Attributes:
        root: of the tree, 32 bytes, the two highest bits of the last zero.

    Raises: InvalidCid: sizes that do not fit together, or a root that no such tree has.
    """

    root: bytes
    raw_bytes: int
    height: int

    def __post_init__(self) -> None:
        if type(self.root) is not bytes or len(self.root) != ROOT_BYTES or self.root[-1] > 0x3F:
            raise InvalidCid("the root of a piece is 32 bytes, the last below 64")
        if not HEIGHT_MIN <= self.height <= HEIGHT_MAX:
            raise InvalidCid(f"the tree of a piece is {HEIGHT_MIN} to {HEIGHT_MAX} high, not {self.height}")
        if not 0 <= self.raw_bytes <= capacity(self.height):
            raise InvalidCid(f"a tree {self.height} high holds up to {capacity(self.height)} bytes")

    @classmethod
    def parse(cls, text: str) -> "PieceCid":
        """Return the piece written as version 2. Raises: InvalidCid: anything else, version 1 among it."""
        binary = _binary_from(text)
        if not binary.startswith(_V2_PREFIX):
            raise InvalidCid("a piece CID of version 2 begins with bafkzcib; version 1 does not say how long data is")
        try:
            length, at = varint.decoded(binary, len(_V2_PREFIX))
            padding, after = varint.decoded(binary, at)
        except ValueError as error:
            raise InvalidCid(f"a piece CID does not hold what it should: {error}") from error
        if length != len(binary) - at or len(binary) != after + 1 + ROOT_BYTES:
            raise InvalidCid("a piece CID is shorter or longer than it says")
        height = binary[after]
        if not HEIGHT_MIN <= height <= HEIGHT_MAX:
            raise InvalidCid(f"the tree of a piece is {HEIGHT_MIN} to {HEIGHT_MAX} high, not {height}")
        return cls(root=binary[after + 1 :], raw_bytes=capacity(height) - padding, height=height)

    @property
    def padded_bytes(self) -> int:
        """Bytes of all leaves together, a power of two."""
        return ROOT_BYTES << self.height

    @property
    def v1(self) -> str:
        """The text of version 1, `baga...`, which the padded size has to go with."""
        return _text_from(_V1_PREFIX + self.root)

    @property
    def binary(self) -> bytes:
        """Bytes of version 2, which are what data sets sign."""
        padding = varint.encoded(capacity(self.height) - self.raw_bytes)
        digest = padding + bytes((self.height,)) + self.root
        return _V2_PREFIX + varint.encoded(len(digest)) + digest

    def __str__(self) -> str:
        return _text_from(self.binary)


def capacity(height: int) -> int:
    """Return how many bytes of data a tree of this height holds: 127 for every 128 of its leaves."""
    return 127 << (height - HEIGHT_MIN)


def height_for(raw_bytes: int) -> int:
    """Return the height of the smallest tree that holds `raw_bytes`."""
    return HEIGHT_MIN + max(0, -(-raw_bytes // 127) - 1).bit_length()


def root_from_v1(text: str) -> bytes:
    """Return the root that a piece CID of version 1 names. Raises: InvalidCid."""
    binary = _binary_from(text)
    if len(binary) != len(_V1_PREFIX) + ROOT_BYTES or not binary.startswith(_V1_PREFIX) or binary[-1] > 0x3F:
        raise InvalidCid("a piece CID of version 1 is a truncated SHA-256 root; it begins with baga")
    return binary[len(_V1_PREFIX) :]


def _binary_from(text: str) -> bytes:
    """Decode multibase `b`: lower-case base32 without padding, the one spelling of each value."""
    if len(text) > TEXT_CHARS_MAX or not text.isascii() or text[:1] != "b":
        raise InvalidCid(f"a piece CID begins with b and has at most {TEXT_CHARS_MAX} ASCII characters")
    try:
        binary = b32decode(text[1:].upper() + "=" * (-(len(text) - 1) % 8))
    except ValueError as error:
        raise InvalidCid("a piece CID is in base32: a to z and 2 to 7") from error
    if _text_from(binary) != text:
        raise InvalidCid("a piece CID is in lower case, and its last character sets no bit that no byte holds")
    return binary


def _text_from(binary: bytes) -> str:
    return "b" + b32encode(binary).decode("ascii").rstrip("=").lower()
