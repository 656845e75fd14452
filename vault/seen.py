"""Which passages the holders of extraction budgets were ever shown (rules O1, O2).

A passage is known by its identity, whatever version or dataset it came from; a quota counts identities over some
lineages. Identities get numbers, in the order in which anybody was first shown them, and what a holder was shown is a
Roaring bitmap of numbers for each lineage (Lemire et al., SPE 2018): a bit or two for each passage where a dict of
identities takes two hundred bytes, once for every holder. Counts are kept up as passages are noted, so asking for one
costs a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroaring import BitMap


def _empty() -> BitMap:
    from pyroaring import BitMap

    return BitMap()


@dataclass(slots=True)
class _Shown:
    numbers: BitMap = field(default_factory=_empty)  # of all passages
    lineages: dict[bytes, BitMap] = field(default_factory=dict)  # of those that were shown out of each
    counts: dict[frozenset[bytes], int] = field(default_factory=dict)  # of the sets of lineages asked about so far
    counted_in: dict[bytes, list[frozenset[bytes]]] = field(default_factory=dict)  # lineage → those sets
    pairs: int = 0

    def shown_from(self, number: int) -> tuple[bytes, ...]:
        """Return the lineages out of which this passage was shown."""
        if number not in self.numbers:
            return ()
        return tuple([lineage for lineage, numbers in self.lineages.items() if number in numbers])


class Seen:
    """What every holder of a budget was shown, one passage at a time."""

    def __init__(self) -> None:
        self._holders: dict[bytes, _Shown] = {}
        self._numbers: dict[bytes, int] = {}  # of identities, from 0 without gaps

    def passages(self, holder: bytes) -> int:
        """Return how many distinct passages a holder was shown in all."""
        shown = self._holders.get(holder)
        return len(shown.numbers) if shown else 0

    def showings(self, holder: bytes) -> int:
        """Return the same, a passage that came from several lineages counting once for each: never less than above."""
        shown = self._holders.get(holder)
        return shown.pairs if shown else 0

    def totals(self) -> dict[bytes, tuple[int, int]]:
        """Return `passages` and `showings` of every holder."""
        return {holder: (len(shown.numbers), shown.pairs) for holder, shown in self._holders.items()}

    def count(self, holder: bytes, lineages: frozenset[bytes]) -> int:
        """Return how many distinct passages a holder was shown out of these lineages."""
        shown = self._holders.get(holder)
        if shown is None:
            return 0
        count = shown.counts.get(lineages)
        if count is None:
            asked = [shown.lineages[lineage] for lineage in lineages if lineage in shown.lineages]
            count = shown.counts[lineages] = len(_empty().union(*asked))
            for lineage in lineages:
                shown.counted_in.setdefault(lineage, []).append(lineages)
        return count

    def shown_from(self, holder: bytes, identity: bytes) -> tuple[bytes, ...]:
        """Return the lineages out of which a holder was shown this passage."""
        number, shown = self._numbers.get(identity), self._holders.get(holder)
        return shown.shown_from(number) if shown is not None and number is not None else ()

    def all_shown_from(self, holder: bytes, identities: Iterable[bytes]) -> list[tuple[bytes, ...]]:
        """Return `shown_from` of each."""
        shown = self._holders.get(holder)
        if shown is None:
            return [() for _ in identities]
        known = shown.numbers
        numbers = [self._numbers.get(identity, -1) for identity in identities]
        return [shown.shown_from(number) if number >= 0 and number in known else () for number in numbers]

    def note(self, holder: bytes, passages: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in that a holder was shown these passages, by identity and lineage."""
        shown = self._holders.get(holder)
        if shown is None:
            shown = self._holders[holder] = _Shown()
        for identity, lineage in passages:
            number = self._numbers.setdefault(identity, len(self._numbers))
            before = shown.shown_from(number)
            if lineage in before:
                continue
            for lineages in shown.counted_in.get(lineage, ()):
                shown.counts[lineages] += lineages.isdisjoint(before)
            if lineage not in shown.lineages:
                shown.lineages[lineage] = _empty()
            shown.lineages[lineage].add(number)
            shown.numbers.add(number)
            shown.pairs += 1
