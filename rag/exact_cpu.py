"""The rows of an index in this machine's memory: in few bits to be multiplied, and as they came to be scored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag.exact_rows import ExactRows, exact_beside
from rag.low_precision import LowPrecision, rows_of
from rag.rounding import TILE
from rag.tile_filter import Open, search_tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.model import Hit

BLOCK = 64 * TILE  # rows written at once


class HostTiles:
    """Tiles of rows on the CPU; see `rag.exact.Tiles`."""

    def __init__(self, form: str, dimension: int) -> None:
        """Take a form of `rag.low_precision.FORMS`."""
        self.form, self.dimension = form, dimension
        self._low = rows_of(form, dimension)
        self._exact = exact_beside(self._low)

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take, bounds included."""
        return self._low.nbytes + self._exact.nbytes

    def resize(self, tiles: int) -> None:
        """Make room for `tiles` tiles in all, and overwrite the old room."""
        self._exact.resize(tiles * TILE)
        self._low.resize(tiles)

    def write(self, tile: int, vectors: NDArray[np.float32]) -> None:
        """Write whole tiles, at most `BLOCK` rows, from `tile` on."""
        self._low.encode(tile, vectors)
        self._exact.write(tile * TILE, vectors)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows, bit for bit as they came."""
        return self._exact.read(rows)

    def masked(self, mask: NDArray[np.bool_]) -> HostSelection:
        """Return a search among the rows where a mask is True; rows beyond it are none."""
        opened = Open(mask, self._low, -(-len(mask) // TILE))
        return HostSelection(self._low, self._exact, opened, None)

    def narrowed(self, rows: NDArray[np.int64]) -> HostSelection:
        """Return a search among some rows, ascending, that copies them in few bits."""
        low = rows_of(self.form, self.dimension)
        low.resize(-(-len(rows) // TILE))
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            block = np.zeros((-(-len(part) // TILE) * TILE, self.dimension), dtype=np.float32)
            block[: len(part)] = self.read(part)
            low.encode(start // TILE, block)
        opened = Open(np.ones(len(rows), dtype=np.bool_), low, -(-len(rows) // TILE))
        return HostSelection(low, self._exact, opened, rows)


class HostSelection:
    """A search among some of the rows."""

    def __init__(self, low: LowPrecision, exact: ExactRows, opened: Open, rows: NDArray[np.int64] | None) -> None:
        self._low, self._exact, self._open, self._rows = low, exact, opened, rows

    @property
    def nbytes(self) -> int:
        """Return how many bytes it takes beside the rows themselves."""
        return self._open.nbytes + (0 if self._rows is None else self._rows.nbytes + self._low.nbytes)

    def search(self, queries: NDArray[np.float32], k: int) -> list[list[Hit]]:
        """Return for each query the `k` best of the rows."""
        return search_tiles(self._low, self._exact, self._open, queries, k, self._rows)

    def wipe(self) -> None:
        """Overwrite the copies."""
        if self._rows is not None:
            self._low.resize(0)
