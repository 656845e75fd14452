"""Merkle sum trees: a root that commits to every amount and to their total, so nobody can be left out of a sum.

    leaf = SHA-256(0x02 ‖ amount ‖ content)        node = SHA-256(0x03 ‖ left ‖ its sum ‖ right ‖ its sum)

Amounts and sums are 8 bytes, big-endian. Each node commits to the sums of both children, and not only to their total:
otherwise a prover could move an amount from one to the other (Chalkias, Lewi, Mohassel, Nikolaenko: "Distributed
Auditing Proofs of Liabilities", section 3). Its shape is RFC 6962's; its prefixes are not, so that no hash of one tree
passes for one of the other. A proof shows the sums beside the way up, and neither whose they are nor of what.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated

from vault.codec import INTEGER_MAX, Digest, Length, Record, record
from vault.errors import MalformedObject

PATH_MAX = 20
LEAVES_MAX = 1 << PATH_MAX


@record
class Summed(Record):
    """A hash, and the sum of the amounts below it."""

    hash: Digest
    sum: int  # micro-units


@record
class SumProof(Record):
    """The way from one leaf up to the root."""

    index: int
    size: int  # leaves in the tree
    path: Annotated[tuple[Summed, ...], Length(0, PATH_MAX)]

    def root(self, leaf: Summed) -> Summed:
        """Return the root that the proof leads to from a leaf, the total with it; or raise `MalformedObject`."""
        if not 0 <= self.index < self.size <= LEAVES_MAX:
            raise MalformedObject("sum proof for a leaf outside the tree")
        node, last, here = self.index, self.size - 1, leaf
        for sibling in self.path:
            if last == 0:
                raise MalformedObject("sum proof is too long")
            if node & 1 or node == last:
                here = summed_node(sibling, here)
                while not node & 1 and node:
                    node, last = node >> 1, last >> 1
            else:
                here = summed_node(here, sibling)
            node, last = node >> 1, last >> 1
        if last:
            raise MalformedObject("sum proof is too short")
        return here


def summed_leaf(amount: int, content: bytes) -> Summed:
    """Return the leaf for an amount and the digest of what it is for."""
    if type(content) is not bytes or len(content) != 32:
        raise MalformedObject("a leaf's content is a digest of 32 bytes")
    return Summed(hash=sha256(b"\x02" + _eight(amount) + content).digest(), sum=amount)


def summed_node(left: Summed, right: Summed) -> Summed:
    """Return the node over two others. Raises `MalformedObject` where their sum is more than 2^63-1."""
    total = left.sum + right.sum
    _eight(total)
    body = b"\x03" + left.hash + _eight(left.sum) + right.hash + _eight(right.sum)
    return Summed(hash=sha256(body).digest(), sum=total)


class SumTree:
    """All levels over a list of leaves."""

    def __init__(self, leaves: Sequence[Summed]) -> None:
        """Build it. Raises `MalformedObject` for none, too many, or a total of more than 2^63-1."""
        if not 1 <= len(leaves) <= LEAVES_MAX:
            raise MalformedObject(f"a sum tree has 1 … {LEAVES_MAX} leaves, not {len(leaves)}")
        self._levels = [list(leaves)]
        while len(level := self._levels[-1]) > 1:
            above = [summed_node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            self._levels.append(above + level[len(above) * 2 :])

    @property
    def root(self) -> Summed:
        """Return the root's hash and the total."""
        return self._levels[-1][0]

    def proof(self, index: int) -> SumProof:
        """Return the proof of leaf `index`."""
        size, place = len(self._levels[0]), index
        if not 0 <= index < size:
            raise ValueError(f"leaf {index} is not in a tree of {size}")
        path = []
        for level in self._levels[:-1]:
            sibling = place ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            place >>= 1
        return SumProof(index=index, size=size, path=tuple(path))


def _eight(amount: int) -> bytes:
    if type(amount) is not int or not 0 <= amount <= INTEGER_MAX:
        raise MalformedObject("an amount or a sum is outside 0 … 2^63-1")
    return amount.to_bytes(8, "big")
