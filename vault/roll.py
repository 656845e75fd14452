"""The roll: a DAO's members and their weights, which its charter names by CID and commits to by Merkle root.

Who proves a weight, or hands out proofs, needs the roll; who checks one needs only the charter. The roll's root block
names pages, so that 100,000 members fit blocks that every IPFS node takes. One set of members has one roll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, ClassVar

from storage.cid import DAG_CBOR, Cid
from vault.charter import MEMBERS_MAX
from vault.codec import Length, Record, record
from vault.errors import AccessDenied, MalformedObject
from vault.signing import address_text
from vault.weights import WeightTree

PAGE_MEMBERS = 1 << 14  # at 52 bytes each, a page has 852 KB
PAGES_MAX = -(-MEMBERS_MAX // PAGE_MEMBERS)
_TOTAL_END = 1 << 256

Fetch = Callable[[Cid], bytes]
"""Returns the block of a CID; what it returns is checked."""


@record
class RollPage(Record):
    """Up to `PAGE_MEMBERS` members in two columns."""

    TYPE: ClassVar[str] = "coffer/roll-page/v1"

    addresses: Annotated[bytes, Length(20, 20 * PAGE_MEMBERS)]
    weights: Annotated[bytes, Length(32, 32 * PAGE_MEMBERS)]  # big-endian, as EIP-712's uint256

    def check(self) -> None:
        """Refuse columns of different lengths."""
        if len(self.addresses) % 20 or len(self.addresses) // 20 * 32 != len(self.weights):
            raise MalformedObject("a page of a roll has one weight of 32 bytes for each address of 20")

    @classmethod
    def of(cls, members: Iterable[tuple[bytes, int]]) -> RollPage:
        """Return the page of these members."""
        addresses, weights = zip(*members, strict=True)
        return cls(addresses=b"".join(addresses), weights=b"".join(weight.to_bytes(32, "big") for weight in weights))

    def members(self) -> list[tuple[bytes, int]]:
        """Return (address, weight) as they stand, unverified."""
        weights = (int.from_bytes(self.weights[i : i + 32], "big") for i in range(0, len(self.weights), 32))
        addresses = (self.addresses[i : i + 20] for i in range(0, len(self.addresses), 20))
        return list(zip(addresses, weights, strict=True))


@record
class RollRoot(Record):
    """The root block: the pages, all of them full but the last."""

    TYPE: ClassVar[str] = "coffer/roll/v1"

    pages: Annotated[tuple[Cid, ...], Length(1, PAGES_MAX)]


@dataclass(frozen=True, slots=True)
class Roll:
    """Members with their weights, ascending by address."""

    members: tuple[tuple[bytes, int], ...]
    total: int = field(init=False, compare=False)
    _weights: dict[bytes, int] = field(init=False, compare=False)
    _tree: WeightTree | None = field(init=False, compare=False, default=None)  # made when first asked for
    _blocks: dict[Cid, bytes] | None = field(init=False, compare=False, default=None)  # likewise; the root comes last

    def __post_init__(self) -> None:
        _require_members(self.members)
        object.__setattr__(self, "_weights", dict(self.members))
        object.__setattr__(self, "total", sum(self._weights.values()))
        if self.total >= _TOTAL_END:
            raise MalformedObject("the weights of all members together have more than 256 bits")

    @classmethod
    def of(cls, weights: Mapping[bytes, int]) -> Roll:
        """Return the roll of members by address, or raise `MalformedObject` for what no DAO could have."""
        return cls(tuple(sorted(weights.items())))

    @property
    def cid(self) -> Cid:
        """The CID of the root block."""
        return next(reversed(self.blocks()))

    def blocks(self) -> dict[Cid, bytes]:
        """Return the pages and, last, the root block."""
        if self._blocks is None:
            starts = range(0, len(self.members), PAGE_MEMBERS)
            pages = [RollPage.of(self.members[start : start + PAGE_MEMBERS]) for start in starts]
            root = RollRoot(pages=tuple(page.cid() for page in pages))
            object.__setattr__(self, "_blocks", {block.cid(): block.encoded() for block in (*pages, root)})
        return dict(self._blocks or {})

    def tree(self) -> WeightTree:
        """Return the Merkle tree of the weights."""
        if self._tree is None:
            object.__setattr__(self, "_tree", WeightTree(self.members))
        return self._tree  # type: ignore[return-value]  # set above

    def weight_of(self, address: bytes) -> int:
        """Return a member's weight. Raises `AccessDenied` for who is no member."""
        if address not in self:
            raise AccessDenied(f"{address_text(address)} is no member of this DAO; its roll says who is")
        return self._weights[address]

    def __contains__(self, address: bytes) -> bool:
        return address in self._weights

    def __repr__(self) -> str:
        return f"Roll({len(self.members)} members, total {self.total})"


def roll_from(cid: Cid, fetch: Fetch, *, members: int, root: bytes, total: int) -> Roll:
    """Return the roll of a charter that says how many members there are, their tree's root and their total weight.

    Raises: `MalformedObject` where a block is not the one its CID names, or the roll is not what the charter says.
    """
    pages = RollRoot.from_bytes(_block(cid, fetch)).pages
    if not 1 <= members <= MEMBERS_MAX or len(pages) != -(-members // PAGE_MEMBERS):
        raise MalformedObject(f"{len(pages)} pages are not those of a roll of {members} members")
    found: list[tuple[bytes, int]] = []
    for number, page in enumerate(pages, 1):
        found += RollPage.from_bytes(_block(page, fetch)).members()
        if len(found) != min(number * PAGE_MEMBERS, members):
            raise MalformedObject(f"page {number} of the roll has more or fewer members than its place asks for")
    roll = Roll(tuple(found))
    if roll.total != total:
        raise MalformedObject("the roll's weights do not add up to the charter's total")
    if roll.tree().root != root:
        raise MalformedObject("the roll's members or weights are not those of the charter's Merkle root")
    return roll


def _block(cid: Cid, fetch: Fetch) -> bytes:
    block = fetch(cid)
    if Cid.of(DAG_CBOR, block) != cid:
        raise MalformedObject(f"the block of {cid} is not the one it names")
    return block


def _require_members(members: tuple[tuple[bytes, int], ...]) -> None:
    if not 1 <= len(members) <= MEMBERS_MAX:
        raise MalformedObject(f"a DAO has 1 … {MEMBERS_MAX} members, not {len(members)}")
    for address, weight in members:
        if type(address) is not bytes or len(address) != 20:
            raise MalformedObject("a member is an address of 20 bytes")
        if type(weight) is not int or not 1 <= weight < _TOTAL_END:
            raise MalformedObject(f"{address_text(address)} must have a weight of 1 or more, of at most 256 bits")
    if any(before[0] >= after[0] for before, after in pairwise(members)):
        raise MalformedObject("members stand in a roll once each, ascending by address")
