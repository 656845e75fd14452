"""Rows as 8-bit integers, for processors that have VNNI: exact sums in int32, a byte for each element."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from rag.rounding import TILE, Arithmetic, QueryBounds, TileBounds
from rag.tile_encoding import keep_bounds, resized, resized_bounds, rounded_width, tiles_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

INT8_MAX = 127
INT8_DEPTH_MIN = 2  # `torch._int_mm` gives wrong sums of one product where the second matrix is a transpose (2.13)
INT8_DIMENSION_MAX = 32_768  # |S| ≤ 127²·32,768 is less than half of CLOSED_INT32
CLOSED_INT32 = -(2**30)  # added to the score of a row that may not be a hit; the sum fits int32
SCALE_MIN = 2.0**-100  # a tile of smaller elements is kept as zeros: its inverse scale would overflow


@cache
def multiplies_int8(dimension: int) -> bool:
    """Tell whether torch multiplies rows of 8-bit integers right, as processors before VNNI did not: they saturate."""
    import torch

    if not hasattr(torch, "_int_mm"):
        return False
    extremes = np.full((2 * TILE, max(dimension, INT8_DEPTH_MIN)), INT8_MAX, dtype=np.int8)
    extremes[::2] = -INT8_MAX
    extremes[::3, ::2] = INT8_MAX
    rows = torch.from_numpy(extremes)
    expected = extremes.astype(np.int64) @ extremes.astype(np.int64).T
    return all(
        bool((torch._int_mm(rows, rows[:width].t()).numpy() == expected[:, :width]).all()) for width in (1, 2, 16, 64)
    )


class Int8Rows:
    """Rows as 8-bit integers, a scale to a tile. `torch._int_mm` sums them exactly, in any order."""

    closed = float(CLOSED_INT32)

    def __init__(self, dimension: int) -> None:
        import torch

        if dimension > INT8_DIMENSION_MAX:
            raise ValueError(f"8-bit rows have at most {INT8_DIMENSION_MAX} elements, got {dimension}")
        self.dimension = dimension
        self.arithmetic = Arithmetic.exact()
        self.bounds = TileBounds.zeros(0)
        self._depth = max(dimension, INT8_DEPTH_MIN)
        self.values = torch.zeros((0, self._depth), dtype=torch.int8)

    def scores_like(self) -> torch.dtype:
        """Return the number format of the scores."""
        import torch

        return torch.int32

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take, bounds included."""
        return self.values.nbytes + self.bounds.nbytes

    def resize(self, tiles: int) -> None:
        """Make room for `tiles` tiles in all."""
        self.values = resized(self.values, tiles * TILE)
        self.bounds = resized_bounds(self.bounds, tiles)

    def encode(self, tile: int, vectors: NDArray[np.float32]) -> None:
        """Write whole tiles, from `tile` on."""
        block = tiles_of(vectors)
        scale = block.abs().amax(dim=(1, 2)) / INT8_MAX
        scale[scale < SCALE_MIN] = 0
        inverse = scale.reciprocal()
        inverse[scale == 0] = 0
        rounded = (block * inverse[:, None, None]).round_().clamp_(-INT8_MAX, INT8_MAX)
        self.values[tile * TILE : (tile + len(block)) * TILE, : self.dimension] = rounded.view(vectors.shape)
        rounded *= scale[:, None, None]
        keep_bounds(self.bounds, tile, scale.double(), block, rounded)

    def width_of(self, queries: int) -> int:
        """Return how many columns are multiplied: one alone takes a quarter of the time of two to sixteen."""
        return 1 if queries == 1 else rounded_width(queries)

    def columns(self, queries: NDArray[np.float32], width: int) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries as columns, and their bounds."""
        import torch

        wide = queries.astype(np.float64)
        scale = np.abs(wide).max(axis=1) / INT8_MAX
        rounded = np.rint(wide / np.where(scale > 0, scale, 1.0)[:, None])
        np.minimum(np.maximum(rounded, -INT8_MAX, out=rounded), INT8_MAX, out=rounded)
        padded = np.zeros((width, self._depth), dtype=np.int8)
        padded[: len(queries), : self.dimension] = rounded
        return torch.from_numpy(padded).t(), QueryBounds.of(wide, rounded, scale, self.arithmetic)

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        import torch

        torch._int_mm(self.values[first:last], columns, out=out)
