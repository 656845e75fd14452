"""Which passages of a dataset count as one to a budget: those that overlap, and those that say nearly the same.

A passage counts under the name of its *kin*: of a group of passages, the one whose words come first by their digest.
The groups follow from texts, places and facts alone, whatever order they come in, so a version that moves passages
about changes no name; one that changes words makes new names, and gives nobody a budget back.

Forms with a name and a number in each are near-duplicates of one another, and each is worth something. So of passages
that only resemble one another, at most `RESEMBLING_MAX` count as one. Passages that overlap are not bounded in number:
all of a group reach into one of them, so together they hold the text of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rag.near_duplicates import JACCARD_THOUSANDTHS, groups, overlapping_groups
from rag.neighbors import Place

RESEMBLING_MAX: Final = 4
RULES: Final = sha256(b"coffer/kinship/v1/%d/%d" % (JACCARD_THOUSANDTHS, RESEMBLING_MAX)).digest()
"""Names the rules, so that kin worked out under others is worked out anew."""


@dataclass(frozen=True, slots=True)
class Member:
    """A passage as kinship sees it."""

    text: str = field(repr=False)
    place: Place = field(repr=False)
    facts: bytes = field(repr=False)  # passages of other facts are never kin


def kin(members: Sequence[Member]) -> NDArray[np.uint32]:
    """Return for each row the row under whose name it counts; its own, where it counts by itself."""
    if not members:
        return np.empty(0, dtype=np.uint32)
    digests = [sha256(_words(one.text) + one.facts).digest() for one in members]
    around = _overlapping(members)
    together = _resembling([one.text for one in members], [one.facts for one in members], around, digests)
    first: dict[int, int] = {}
    for row, group in enumerate(together):
        best = first.setdefault(group, row)
        if (digests[row], row) < (digests[best], best):
            first[group] = row
    return np.array([first[group] for group in together], dtype=np.uint32)


def _overlapping(members: Sequence[Member]) -> list[int]:
    """Return for each row a row that stands for the passages it overlaps with."""
    parts: dict[bytes, int] = {}
    numbers = [parts.setdefault(one.facts, len(parts)) for one in members]
    places = [
        Place(f"{number}/{one.place.document}", one.place.start, one.place.end)
        for number, one in zip(numbers, members, strict=True)
    ]
    return [int(row) for row in overlapping_groups(places)]


def _resembling(
    texts: Sequence[str], facts: Sequence[bytes], around: Sequence[int], digests: Sequence[bytes]
) -> list[int]:
    """Return for each row its group, once those that stand for others are grouped by how they resemble one another."""
    standing = sorted(set(around), key=lambda row: (digests[row], row))
    similar = groups([texts[row] for row in standing])
    group_of: dict[int, int] = {}
    filled: dict[tuple[int, bytes], tuple[int, set[bytes]]] = {}  # the group being filled, and the words in it
    for place, row in enumerate(standing):
        key = int(similar[place]), facts[row]
        group, words = filled.get(key, (row, set()))
        if digests[row] not in words and len(words) == RESEMBLING_MAX:
            group, words = row, set()
        words.add(digests[row])
        filled[key] = group, words
        group_of[row] = group
    return [group_of[row] for row in around]


def _words(text: str) -> bytes:
    return " ".join(text.casefold().split()).encode("utf-8", "surrogatepass") + b"\x00"
