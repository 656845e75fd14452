"""What an index derives from a set of allowed rows, kept for as long as that set lives, within a bound of bytes."""

from __future__ import annotations

import weakref
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.allowed import Allowed
    from rag.model import Hit


class Selection(Protocol):
    """A search among some of an index's rows."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes it takes beside the rows themselves."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> list[list[Hit]]:
        """Return for each query the `k` best of the rows."""
        ...

    def wipe(self) -> None:
        """Overwrite what it copied."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    owner: weakref.ref[Allowed]
    selection: Selection


class Selections:
    """Keeps the selections used last. One thread at a time may use it; sets may die in any."""

    def __init__(self, *, bytes_max: int) -> None:
        self._kept: OrderedDict[int, _Kept] = OrderedDict()
        self._dead: deque[int] = deque()  # what a dying set appends to, in whatever thread it dies
        self._bytes_max = bytes_max

    @property
    def nbytes(self) -> int:
        """Return how many bytes are kept."""
        return sum(kept.selection.nbytes for kept in self._kept.values())

    def get(self, allowed: Allowed) -> Selection | None:
        """Return what is kept for a set."""
        self._sweep()
        kept = self._kept.get(id(allowed))
        if kept is None or kept.owner() is not allowed:
            return None
        self._kept.move_to_end(id(allowed))
        return kept.selection

    def keep(self, allowed: Allowed, selection: Selection) -> None:
        """Keep a selection in place of what was kept for this set, unless it is over the bound by itself."""
        self._sweep()
        self._drop(id(allowed))
        if selection.nbytes > self._bytes_max:
            return
        key, dead = id(allowed), self._dead
        self._kept[key] = _Kept(weakref.ref(allowed, lambda _: dead.append(key)), selection)
        while self.nbytes > self._bytes_max:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Overwrite and forget everything."""
        for key in list(self._kept):
            self._drop(key)

    def _sweep(self) -> None:
        """Drop what belonged to sets that died; one of the same id may have come since."""
        while self._dead:
            key = self._dead.popleft()
            kept = self._kept.get(key)
            if kept is not None and kept.owner() is None:
                self._drop(key)

    def _drop(self, key: int) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept.selection.wipe()
