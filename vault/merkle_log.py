"""A Merkle tree that grows (RFC 6962, section 2.1): the roots of all its earlier sizes stay provable.

Every perfect subtree's hash is kept, which makes 64 bytes a leaf: an append hashes one node on average, and a root, an
inclusion proof or a consistency proof of any size that the tree ever had reads and hashes O(log n) nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest

from vault.errors import MalformedObject
from vault.merkle import EMPTY_ROOT, PATH_MAX, node_hash

HASH_BYTES = 32


class MerkleLog:
    """Leaf hashes in the order they came, and all that can be proven of them."""

    def __init__(self) -> None:
        self.size = 0
        self._levels = [bytearray()]  # of level n: the hashes of the perfect subtrees over 2^n leaves, in order

    def append(self, leaf: bytes) -> None:
        """Add a leaf's hash at the end."""
        node, index, level = leaf, self.size, 0
        self._levels[0] += node
        while index & 1:
            node = node_hash(bytes(self._levels[level][-2 * HASH_BYTES : -HASH_BYTES]), node)
            level, index = level + 1, index >> 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += node
        self.size += 1

    def leaf(self, index: int) -> bytes:
        """Return the hash of leaf `index`."""
        self._require_leaf(index, self.size)
        return self._node(0, index)

    def root(self, size: int) -> bytes:
        """Return the root that the tree had at `size` leaves."""
        self._require(0, size)
        return self._over(0, size) if size else EMPTY_ROOT

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the inclusion proof of leaf `index` in the tree of `size` leaves, its sibling first."""
        self._require_leaf(index, size)
        start, end, path = 0, size, []
        while end - start > 1:
            middle = start + _left_of(end - start)
            if index < middle:
                path.append(self._over(middle, end))
                end = middle
            else:
                path.append(self._over(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency(self, old: int, size: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `size` leaves begins with that of `old` ones (section 2.1.2)."""
        self._require(old, size)
        start, end, proof = 0, size, []
        while old and old != end:
            middle = start + _left_of(end - start)
            if old <= middle:
                proof.append(self._over(middle, end))
                end = middle
            else:
                proof.append(self._over(start, middle))
                start = middle
        if start:  # otherwise it is the old tree's own root, which the verifier has
            proof.append(self._over(start, end))
        return tuple(reversed(proof))

    def _require(self, old: int, size: int) -> None:
        if not 0 <= old <= size <= self.size:
            raise ValueError(f"a log of {self.size} leaves was never of {old} and {size}")

    def _require_leaf(self, index: int, size: int) -> None:
        if not 0 <= index < size <= self.size:
            raise ValueError(f"leaf {index} is not among {size} of a log of {self.size}")

    def _node(self, level: int, index: int) -> bytes:
        return bytes(self._levels[level][HASH_BYTES * index : HASH_BYTES * (index + 1)])

    def _over(self, start: int, end: int) -> bytes:
        """Return the hash over some leaves, which begin where a subtree of their number would."""
        count = end - start
        if count & (count - 1) == 0:
            level = count.bit_length() - 1
            return self._node(level, start >> level)
        middle = start + _left_of(count)
        return node_hash(self._over(start, middle), self._over(middle, end))


def verify_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Raise `MalformedObject` unless the tree of `size` leaves is the one of `old` leaves, and more.

    It is RFC 9162, section 2.1.4.2. Every tree begins with the empty one, whose proof is empty.
    """
    if not 0 <= old <= size or len(proof) > 2 * PATH_MAX or any(len(node) != HASH_BYTES for node in proof):
        raise MalformedObject("consistency proof between sizes that no two heads can have, or of hashes that are none")
    if old in (0, size):
        if proof or old_root != (EMPTY_ROOT if old == 0 else root):
            raise MalformedObject("consistency proof does not hold: the older tree is another one")
        return
    first, last, nodes = old - 1, size - 1, list(proof)
    if old & (old - 1) == 0:
        nodes.insert(0, old_root)
    if not nodes:
        raise MalformedObject("consistency proof is too short")
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            raise MalformedObject("consistency proof is too long")
        if first & 1 or first == last:
            before, after = node_hash(node, before), node_hash(node, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, node)
        first, last = first >> 1, last >> 1
    if last:
        raise MalformedObject("consistency proof is too short")
    if not (compare_digest(before, old_root) and compare_digest(after, root)):
        raise MalformedObject("consistency proof does not hold: the newer tree does not begin with the older one")


def _left_of(count: int) -> int:
    """Return the largest power of two below `count`: how many leaves the left subtree has."""
    return 1 << (count - 1).bit_length() - 1
