"""Merkle trees of RFC 6962, section 2.1: leaf and node hashes are told apart, so neither passes for the other."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from vault.errors import MalformedObject

PATH_MAX = 48
_HASH_BYTES = 32
_PAIR_BYTES = 2 * _HASH_BYTES
_BLOCK_LEVELS = 6
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """All levels over a list of leaf hashes: about 64 bytes a leaf, a path in two microseconds.

    A level is one string of bytes, so a path of a large tree meets few cache lines; what is above `_BLOCK` leaves
    their paths share.
    """

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.size = len(leaves)
        level = b"".join(leaves)
        self._levels = [level]
        while len(level) > _HASH_BYTES:
            pairs = range(0, len(level) - _PAIR_BYTES + 1, _PAIR_BYTES)
            above = [sha256(b"\x01" + level[at : at + _PAIR_BYTES]).digest() for at in pairs]  # `node_hash` of both
            level = (
                b"".join(above) + level[_PAIR_BYTES * len(above) :]
            )  # an odd last node rises unhashed, as in the RFC
            self._levels.append(level)
        self._shared = self._paths_from(_BLOCK_LEVELS)

    def root(self) -> bytes:
        """Return the tree head's hash."""
        return self._levels[-1] if self.size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """Return the hash of leaf `index`."""
        return self._levels[0][_HASH_BYTES * index : _HASH_BYTES * (index + 1)]

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return the inclusion proof of leaf `index`, from the leaf's sibling upwards."""
        if not 0 <= index < self.size:
            raise ValueError(f"leaf {index} is not in a tree of {self.size}")
        path = []
        for level in self._levels[:_BLOCK_LEVELS]:
            at = _HASH_BYTES * (index ^ 1)
            if sibling := level[at : at + _HASH_BYTES]:
                path.append(sibling)
            index >>= 1
        return (*path, *self._shared[index]) if self._shared else tuple(path)

    def paths(self) -> list[tuple[bytes, ...]]:
        """Return the inclusion proofs of all leaves: one step each, since siblings share all but one hash."""
        return self._paths_from(0) if self.size else []

    def _paths_from(self, lowest: int) -> list[tuple[bytes, ...]]:
        """Return the proofs of a level's nodes; none where there is no such level."""
        above: list[tuple[bytes, ...]] = [()] if lowest < len(self._levels) else []
        for level in reversed(self._levels[lowest:-1]):
            nodes = [level[at : at + _HASH_BYTES] for at in range(0, len(level), _HASH_BYTES)]
            paired = [(nodes[index ^ 1], *above[index >> 1]) for index in range(len(nodes) & ~1)]
            above = paired + above[len(nodes) >> 1 :] if len(nodes) & 1 else paired
        return above


class GrowingRoot:
    """The root over leaf hashes that come one by one, from one hash a level: any number of leaves fits in memory."""

    def __init__(self) -> None:
        self.size = 0
        self._perfect: list[bytes] = []  # roots of perfect subtrees, the largest first: the size in binary

    def append(self, leaf: bytes) -> None:
        """Add the next leaf's hash."""
        here, full = leaf, self.size
        while full & 1:
            here, full = node_hash(self._perfect.pop(), here), full >> 1
        self._perfect.append(here)
        self.size += 1

    def root(self) -> bytes:
        """Return what `Tree.root` does over the same leaves."""
        if not self._perfect:
            return EMPTY_ROOT
        *rest, here = self._perfect
        for left in reversed(rest):
            here = node_hash(left, here)
        return here


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, section 2.1.3.2), or raise `MalformedObject`."""
    if not 0 <= index < size or len(path) > PATH_MAX:
        raise MalformedObject("inclusion proof for a leaf outside the tree")
    node, last, here = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            raise MalformedObject("inclusion proof is too long")
        if node & 1 or node == last:
            here = sha256(b"\x01" + sibling + here).digest()  # `node_hash`, without a call for each level
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            here = sha256(b"\x01" + here + sibling).digest()
        node, last = node >> 1, last >> 1
    if last:
        raise MalformedObject("inclusion proof is too short")
    return here
