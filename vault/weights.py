"""Merkle trees of weights, as OpenZeppelin's `StandardMerkleTree` (format standard-v1) and `MerkleProof.sol` have them.

    leaf = keccak(keccak(abi.encode(address, uint256)))        node = keccak(min(a, b) ‖ max(a, b))

The leaves, ascending by hash, stand at the end of a flat array in reverse; node i has the children 2i+1 and 2i+2.
A leaf hashes 32 bytes and a node 64, so neither passes for the other. One root serves here and in a contract.

A `MultiProof` proves many leaves at once. OpenZeppelin's own form lets flags steer the computation; here the places of
the leaves determine it, every hash must be used, and no leaf may be given twice. Every node computed under the right
root is one of the tree, so whatever places a proof claims, each of its leaves is in the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

from vault.codec import Length, Record, record
from vault.errors import AccessDenied, MalformedObject
from vault.signing import address_text
from vault.typed_data import keccak

HASH_BYTES = 32
PROOF_MAX = 20
LEAVES_MAX = 1 << PROOF_MAX
HASHES_MAX = LEAVES_MAX // 2  # of a multiproof: a hash stands for a subtree beside one with a leaf to prove
_WEIGHT_END = 1 << 256


def leaf(address: bytes, weight: int) -> bytes:
    """Return the leaf of (address, uint256)."""
    if type(address) is not bytes or len(address) != 20 or type(weight) is not int or not 0 <= weight < _WEIGHT_END:
        raise MalformedObject("a leaf is an address of 20 bytes and a weight of at most 256 bits")
    return keccak(keccak(bytes(12) + address + weight.to_bytes(32, "big")))


def root_from_proof(leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that a proof leads to, siblings from the leaf's upwards, or raise `MalformedObject`."""
    if len(proof) > PROOF_MAX:
        raise MalformedObject(f"a proof has at most {PROOF_MAX} hashes")
    if any(len(node) != HASH_BYTES for node in (leaf, *proof)):
        raise MalformedObject(f"a leaf and every hash of its proof have {HASH_BYTES} bytes")
    node = leaf
    for sibling in proof:
        node = keccak(node + sibling if node < sibling else sibling + node)
    return node


@record
class MultiProof(Record):
    """A proof that leaves stand in a tree. Where it is more than a block takes, its encoding is split."""

    TYPE: ClassVar[str] = "coffer/multiproof/v1"

    size: int  # leaves in the tree
    present: Annotated[bytes, Length(1, LEAVES_MAX // 8)]  # bit i % 8 of byte i // 8: the i-th lowest leaf is proven
    hashes: Annotated[bytes, Length(0, HASHES_MAX * HASH_BYTES)]  # of the other subtrees, in the order they are needed

    def check(self) -> None:
        """Refuse a tree out of bounds, leaves outside it, and part of a hash."""
        if not 1 <= self.size <= LEAVES_MAX or len(self.present) != (self.size + 7) // 8:
            raise MalformedObject(f"a tree has 1 … {LEAVES_MAX} leaves, and a multiproof one bit for each")
        if int.from_bytes(self.present, "little") >> self.size:
            raise MalformedObject("a multiproof is for a leaf outside its tree")
        if len(self.hashes) % HASH_BYTES:
            raise MalformedObject(f"a multiproof's hashes have {HASH_BYTES} bytes each")

    def root(self, leaves: Iterable[bytes]) -> bytes:
        """Return the root that the proof leads to from exactly these leaves, in any order; or `MalformedObject`."""
        nodes = sorted(leaves)
        if any(len(node) != HASH_BYTES for node in nodes):
            raise MalformedObject(f"a leaf has {HASH_BYTES} bytes")
        if len(set(nodes)) != len(nodes):
            raise MalformedObject("a leaf is given twice")
        ranks = [rank for rank in range(self.size) if self.present[rank >> 3] >> (rank & 7) & 1]
        if not nodes or len(ranks) != len(nodes):
            raise MalformedObject(f"the multiproof is for {len(ranks)} leaves, not for {len(nodes)}")
        return _computed([2 * self.size - 2 - rank for rank in ranks], nodes, self.hashes)

    def require(self, root: bytes, leaves: Iterable[bytes]) -> None:
        """Raise `AccessDenied` unless all of these leaves, in any order, are in the tree of this root."""
        if self.root(leaves) != root:
            raise AccessDenied("these leaves are not all in the tree of this root")


def _computed(indices: list[int], nodes: list[bytes], hashes: bytes) -> bytes:
    """Return the root over `nodes` at `indices`, which descend; parents queue up behind, so they descend as well."""
    from sha3 import keccak_256

    at = used = 0
    while index := indices[at]:
        node = nodes[at]
        at += 1
        if index % 2 == 0 and at < len(indices) and indices[at] == index - 1:
            sibling = nodes[at]
            at += 1
        else:
            sibling = hashes[used : used + HASH_BYTES]
            used += HASH_BYTES
        indices.append((index - 1) // 2)
        nodes.append(keccak_256(node + sibling if node < sibling else sibling + node).digest())
    if used != len(hashes):
        raise MalformedObject("a multiproof has too few hashes, or more than it needs")
    return nodes[at]


class LeafTree:
    """A tree over leaf hashes: a proof in a few microseconds, about 200 bytes a leaf."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        from sha3 import keccak_256

        ordered = sorted(leaves)
        if not 1 <= len(ordered) <= LEAVES_MAX:
            raise MalformedObject(f"a tree has 1 … {LEAVES_MAX} leaves, not {len(ordered)}")
        if any(len(leaf) != HASH_BYTES for leaf in ordered):
            raise MalformedObject(f"a leaf has {HASH_BYTES} bytes")
        self.size = len(ordered)
        self._rank = {leaf: rank for rank, leaf in enumerate(ordered)}
        if len(self._rank) != self.size:
            raise MalformedObject("a leaf stands in the tree twice")
        nodes = [b""] * (self.size - 1) + ordered[::-1]
        for index in range(self.size - 2, -1, -1):
            left, right = nodes[2 * index + 1], nodes[2 * index + 2]
            nodes[index] = keccak_256(left + right if left < right else right + left).digest()
        self._nodes = nodes

    @property
    def root(self) -> bytes:
        """Return the tree's root."""
        return self._nodes[0]

    def proof(self, leaf: bytes) -> tuple[bytes, ...]:
        """Return the siblings on the way from a leaf of the tree to the root."""
        index, siblings = self._index(leaf), []
        while index:
            siblings.append(self._nodes[_sibling(index)])
            index = (index - 1) // 2
        return tuple(siblings)

    def multiproof(self, leaves: Iterable[bytes]) -> MultiProof:
        """Return the proof of one or more different leaves of the tree, in any order."""
        queue = sorted((self._index(leaf) for leaf in leaves), reverse=True)
        if not queue or len(set(queue)) != len(queue):
            raise MalformedObject("a multiproof is for one or more leaves, each once")
        present = bytearray((self.size + 7) // 8)
        for rank in (2 * self.size - 2 - index for index in queue):
            present[rank >> 3] |= 1 << (rank & 7)
        hashes, at = bytearray(), 0
        while index := queue[at]:
            at += 1
            if index % 2 == 0 and at < len(queue) and queue[at] == index - 1:
                at += 1
            else:
                hashes += self._nodes[_sibling(index)]
            queue.append((index - 1) // 2)
        return MultiProof(size=self.size, present=bytes(present), hashes=bytes(hashes))

    def _index(self, leaf: bytes) -> int:
        if leaf not in self._rank:
            raise MalformedObject("the tree has no such leaf")
        return 2 * self.size - 2 - self._rank[leaf]


def _sibling(index: int) -> int:
    return index + 1 if index % 2 else index - 1


class WeightTree:
    """The tree over (address, weight) of members, asked by address."""

    def __init__(self, members: Sequence[tuple[bytes, int]]) -> None:
        self._leaves = {address: leaf(address, weight) for address, weight in members}
        if len(self._leaves) != len(members):
            raise MalformedObject("an address stands in the tree twice")
        self._tree = LeafTree(self._leaves.values())

    @property
    def root(self) -> bytes:
        """Return the tree's root."""
        return self._tree.root

    def proof(self, address: bytes) -> tuple[bytes, ...]:
        """Return the proof of a member's weight. Raises `AccessDenied` for who is none."""
        return self._tree.proof(self._leaf(address))

    def multiproof(self, addresses: Iterable[bytes]) -> MultiProof:
        """Return the proof of the weights of members, each given once. Raises `AccessDenied` for who is none."""
        return self._tree.multiproof(map(self._leaf, addresses))

    def _leaf(self, address: bytes) -> bytes:
        if address not in self._leaves:
            raise AccessDenied(f"{address_text(address)} has no weight in this tree")
        return self._leaves[address]
