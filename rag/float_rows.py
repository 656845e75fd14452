"""Rows as bfloat16, for processors that multiply it fast, and as float32, for those fast at nothing smaller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from rag.rounding import BFLOAT16_UNIT, SLACK, TILE, Arithmetic, QueryBounds, TileBounds
from rag.tile_encoding import float_columns, keep_bounds, resized, resized_bounds, rounded_width, tiles_of

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray


@cache
def multiplies_bfloat16(dimension: int) -> bool:
    """Tell whether torch sums products of bfloat16 as the bound of `rag.rounding` has it: in float32, and no less.

    Tried on one large product before many small ones, which sums in 16 bits would lose.
    """
    import torch

    rows = torch.full((2 * TILE, dimension), 2.0**-9, dtype=torch.bfloat16)
    rows[:, 0] = 1
    rows[1::2, 0] = -1
    arithmetic = Arithmetic.floating(dimension, output=BFLOAT16_UNIT)
    norms = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)[:, None] * dimension**0.5
    for width in (2, 4, 16, 64):
        columns = torch.ones((dimension, width), dtype=torch.bfloat16)
        found = torch.mm(rows, columns).double()
        margin = (arithmetic.output * found.abs() + arithmetic.sum * norms + arithmetic.tiny) * SLACK
        if not bool(((found - rows.double() @ columns.double()).abs() <= margin).all()):  # not NaN either
            return False
    return True


class _FloatRows(ABC):
    """Rows as floats of one format, summed by a library. Scales are 1."""

    closed = float("-inf")

    def __init__(self, dimension: int, dtype: torch.dtype, *, output: float) -> None:
        import torch

        self.dimension = dimension
        self.arithmetic = Arithmetic.floating(dimension, output=output)
        self.bounds = TileBounds.zeros(0)
        self.values = torch.zeros((0, dimension), dtype=dtype)

    def scores_like(self) -> torch.dtype:
        """Return the number format of the scores."""
        return self.values.dtype

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
        import torch

        block = tiles_of(vectors)
        rounded = self.rounded(block)
        self.values[tile * TILE : (tile + len(block)) * TILE].view(block.shape).copy_(rounded)
        keep_bounds(self.bounds, tile, torch.ones(len(block), dtype=torch.float64), block, rounded.float())

    @abstractmethod
    def rounded(self, block: torch.Tensor) -> torch.Tensor:
        """Return float32 elements in the rows' own format."""

    def width_of(self, queries: int) -> int:
        """Return how many columns are multiplied: one alone is slower than two."""
        return rounded_width(queries)

    def columns(self, queries: NDArray[np.float32], width: int) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries as columns, and their bounds."""
        return float_columns(queries, width, self.values.dtype, self.arithmetic)


class Bfloat16Rows(_FloatRows):
    """Rows as bfloat16, summed by the library in float32 and returned in bfloat16.

    Rounded half away from zero, and not half to even: then what is left of a float32 fits 16 bits (`rag.exact_rows`).
    """

    def __init__(self, dimension: int) -> None:
        import torch

        super().__init__(dimension, torch.bfloat16, output=BFLOAT16_UNIT)

    def rounded(self, block: torch.Tensor) -> torch.Tensor:
        """Return the upper halves of float32 elements, rounded."""
        import torch

        return ((block.view(torch.int32) + 0x8000) >> 16).to(torch.int16).view(torch.bfloat16)

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        import torch

        torch.mm(self.values[first:last], columns, out=out)


class Float32Rows(_FloatRows):
    """Rows as they came.

    numpy multiplies them: torch and oneDNN can be told, by a global switch or the environment, to multiply float32 in
    bfloat16, and then the bound would not hold.
    """

    def __init__(self, dimension: int) -> None:
        import torch

        super().__init__(dimension, torch.float32, output=0.0)

    def rounded(self, block: torch.Tensor) -> torch.Tensor:
        """Return the elements themselves."""
        return block

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        np.matmul(self.values[first:last].numpy(), columns.numpy(), out=out.numpy())
