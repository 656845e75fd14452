"""The passages around a passage in its document, for context, as far as they are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.scoring import require_own

NEIGHBORS_MAX = 8  # on either side


@dataclass(frozen=True, slots=True)
class Place:
    """Where a passage lies: its document's name and its offsets there, in characters."""

    document: str = field(repr=False)
    start: int
    end: int


class Neighborhoods:
    """The order of passages within their documents. It never changes; 20 bytes a passage."""

    def __init__(self, places: Sequence[Place]) -> None:
        """Take the place of each passage, in the order of the rows; passages may overlap."""
        documents: dict[str, int] = {}
        numbers = np.array([documents.setdefault(place.document, len(documents)) for place in places], dtype=np.int32)
        starts = np.array([place.start for place in places], dtype=np.int64)
        ends = np.array([place.end for place in places], dtype=np.int64)
        self._order = np.lexsort((np.arange(len(places)), ends, starts, numbers))
        self._document: NDArray[np.int32] = numbers[self._order]
        self._at = np.empty(len(places), dtype=np.int64)
        self._at[self._order] = np.arange(len(places))

    @property
    def count(self) -> int:
        """Number of passages."""
        return len(self._order)

    def around(self, row: int, *, reach: int, allowed: Allowed | None = None) -> list[int]:
        """Return up to `reach` rows before and after one in its document, in reading order, without the row itself.

        A row that is not allowed ends the walk: what lies behind it is no neighbor, and a row that is itself not
        allowed has none.

        Args:
            row: 0 to count - 1.
            reach: 0 to `NEIGHBORS_MAX`.
            allowed: None means every row.
        """
        require_own(allowed, self.count)
        if not 0 <= row < self.count or not 0 <= reach <= NEIGHBORS_MAX:
            raise ValueError(f"row must be 0 to {self.count - 1} and reach 0 to {NEIGHBORS_MAX}")
        if allowed is not None and row not in allowed.bitmap:
            return []
        before = self._walk(row, range(-1, -reach - 1, -1), allowed)
        return before[::-1] + self._walk(row, range(1, reach + 1), allowed)

    def _walk(self, row: int, steps: range, allowed: Allowed | None) -> list[int]:
        at = int(self._at[row])
        found: list[int] = []
        for step in steps:
            if not 0 <= at + step < self.count or self._document[at + step] != self._document[at]:
                break
            neighbor = int(self._order[at + step])
            if allowed is not None and neighbor not in allowed.bitmap:
                break
            found.append(neighbor)
        return found
