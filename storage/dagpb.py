"""DAG-PB nodes: links, then data, in protobuf's one canonical spelling.

Source: the DAG-PB specification (ipld/specs): `PBLink {1 Hash, 2 Name, 3 Tsize}`, `PBNode {2 Links, 1 Data}`, links
before data. A node is read by decoding it, encoding what was understood, and comparing: anything odd changes a byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from storage import varint
from storage.cid import CID_BYTES, DAG_PB, V0_BYTES, Cid
from storage.errors import InvalidCid, MalformedDag

LINKS_MAX: Final = 16_384  # twice what the largest directory that is not sharded can have

VARINT: Final = 0  # protobuf wire types
BYTES: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A child: its CID, its name in a directory, and how many bytes its whole tree takes.

    Attributes:
        tree_bytes: `Tsize`, the maker's claim; nothing here relies on it.
        is_v0: the CID is written as version 0, a bare multihash.
    """

    cid: Cid
    name: str | None = ""
    tree_bytes: int | None = None
    is_v0: bool = False

    @property
    def cid_bytes(self) -> int:
        """Length of the CID as it is written."""
        return V0_BYTES if self.is_v0 else CID_BYTES

    def encoded(self) -> bytes:
        """Return the link's bytes. Raises: ValueError: a version 0 link to what is not dag-pb."""
        if self.is_v0 and self.cid.codec != DAG_PB:
            raise ValueError("only a dag-pb CID has a version 0 form")
        out = field(1, self.cid.binary[2:] if self.is_v0 else self.cid.binary)
        if self.name is not None:
            out += field(2, self.name.encode("utf-8"))
        if self.tree_bytes is not None:
            out += field(3, self.tree_bytes)
        return out


@dataclass(frozen=True, slots=True)
class Node:
    """Links, in the order that they stand, and data."""

    links: tuple[Link, ...]
    data: bytes | None = None

    def encoded(self) -> bytes:
        """Return the node's block."""
        parts = [field(2, link.encoded()) for link in self.links]
        if self.data is not None:
            parts.append(field(1, self.data))
        return b"".join(parts)


def node_from(block: bytes) -> Node:
    """Return the node in `block`. Raises: MalformedDag: not canonical DAG-PB, or more than `LINKS_MAX` links."""
    links: list[Link] = []
    data: bytes | None = None
    try:
        for number, value in fields(block):
            if number == 2 and isinstance(value, bytes) and len(links) < LINKS_MAX:
                links.append(_link_from(value))
            elif number == 1 and isinstance(value, bytes):
                data = value
            else:
                raise MalformedDag(f"a dag-pb node has field {number} where it has none, or over {LINKS_MAX} links")
        node = Node(tuple(links), data)
        if node.encoded() != block:
            raise MalformedDag("a dag-pb node is not in its canonical form")
    except (ValueError, InvalidCid) as error:
        raise MalformedDag(f"a block is not a dag-pb node: {error}") from error
    return node


def field(number: int, value: int | bytes) -> bytes:
    """Return one protobuf field: an integer as a varint, bytes with their length."""
    if isinstance(value, int):
        return varint.encoded(number << 3 | VARINT) + varint.encoded(value)
    return varint.encoded(number << 3 | BYTES) + varint.encoded(len(value)) + value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield a message's fields, in the order that they stand.

    Raises: ValueError: cut short, or of a wire type other than varint, bytes and four fixed bytes.
    """
    at = 0
    while at < len(message):
        tag, at = varint.decoded(message, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = varint.decoded(message, at)
            case 2:
                length, at = varint.decoded(message, at)
                value, at = message[at : at + length], at + length
            case 5:
                value, at = message[at : at + 4], at + 4
            case wire_type:
                raise ValueError(f"wire type {wire_type}")
        if at > len(message):
            raise ValueError("a field is cut short")
        yield tag >> 3, value


def _link_from(message: bytes) -> Link:
    hash_bytes: bytes | None = None
    name: str | None = None
    tree_bytes: int | None = None
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            hash_bytes = value
        elif number == 2 and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif number == 3 and isinstance(value, int):
            tree_bytes = value
        else:
            raise ValueError(f"field {number} in a link")
    if hash_bytes is None:
        raise ValueError("a link without a hash")
    is_v0 = len(hash_bytes) != CID_BYTES
    return Link(cid=Cid.from_binary(hash_bytes), name=name, tree_bytes=tree_bytes, is_v0=is_v0)
