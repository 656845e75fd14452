"""Which passages the holders of extraction budgets were ever shown (rules O1, O2).

A passage is known by its identity, whatever version or dataset it came from; a quota counts identities over some
lineages. Counts are kept up as passages are noted, so asking for one costs a look-up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Shown:
    lineages: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)  # identity → where it was shown from
    counts: dict[frozenset[bytes], int] = field(default_factory=dict)  # of the sets of lineages asked about so far
    counted_in: dict[bytes, list[frozenset[bytes]]] = field(default_factory=dict)  # lineage → those sets
    pairs: int = 0


class Seen:
    """What every holder of a budget was shown, one passage at a time."""

    def __init__(self) -> None:
        self._holders: dict[bytes, _Shown] = {}

    def passages(self, holder: bytes) -> int:
        """Return how many distinct passages a holder was shown in all."""
        shown = self._holders.get(holder)
        return len(shown.lineages) if shown else 0

    def showings(self, holder: bytes) -> int:
        """Return the same, a passage that came from several lineages counting once for each: never less than above."""
        shown = self._holders.get(holder)
        return shown.pairs if shown else 0

    def count(self, holder: bytes, lineages: frozenset[bytes]) -> int:
        """Return how many distinct passages a holder was shown out of these lineages."""
        shown = self._holders.get(holder)
        if shown is None:
            return 0
        if lineages not in shown.counts:
            shown.counts[lineages] = sum(not lineages.isdisjoint(where) for where in shown.lineages.values())
            for lineage in lineages:
                shown.counted_in.setdefault(lineage, []).append(lineages)
        return shown.counts[lineages]

    def shown_from(self, holder: bytes, identity: bytes) -> tuple[bytes, ...]:
        """Return the lineages out of which a holder was shown this passage."""
        shown = self._holders.get(holder)
        return shown.lineages.get(identity, ()) if shown else ()

    def note(self, holder: bytes, passages: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in that a holder was shown these passages, by identity and lineage."""
        shown = self._holders.setdefault(holder, _Shown())
        for identity, lineage in passages:
            before = shown.lineages.get(identity, ())
            if lineage in before:
                continue
            for lineages in shown.counted_in.get(lineage, ()):
                shown.counts[lineages] += lineages.isdisjoint(before)
            shown.lineages[identity] = (*before, lineage)
            shown.pairs += 1
