"""Rows in few bits, for the product that filters: what is multiplied, its scale and its bounds, tile by tile.

Three forms, by what the processor multiplies fastest (`best_form`):

* int8 where it has VNNI and no AMX: a scale for each tile, exact sums in int32, a byte for each element.
* bfloat16 where it has AMX: 2 bytes for each element.
* float32 elsewhere: the exact rows themselves.

torch is imported when the first rows are made, not with this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from rag.float_rows import Bfloat16Rows, Float32Rows, multiplies_bfloat16
from rag.int8_rows import INT8_DIMENSION_MAX, Int8Rows, multiplies_int8
from rag.rounding import Arithmetic, QueryBounds, TileBounds

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

FORMS = ("int8", "bfloat16", "float32")


class LowPrecision(Protocol):
    """Tiles of rows in few bits. Rows beyond those encoded are zeros."""

    dimension: int
    arithmetic: Arithmetic
    bounds: TileBounds
    closed: float
    """Added to the score of a row that may not be a hit; a score at half of it or less is that of such a row."""

    def scores_like(self) -> torch.dtype:
        """Return the number format of the scores."""
        ...

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take, bounds included."""
        ...

    def resize(self, tiles: int) -> None:
        """Make room for `tiles` tiles in all, and overwrite the old room."""
        ...

    def encode(self, tile: int, vectors: NDArray[np.float32]) -> None:
        """Write whole tiles, from `tile` on: shape (a multiple of `TILE`, dimension)."""
        ...

    def width_of(self, queries: int) -> int:
        """Return how many columns are multiplied for so many queries: what is fastest."""
        ...

    def columns(self, queries: NDArray[np.float32], width: int) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries, shape (n, dimension), as `width` columns, those beyond n zeros, and their bounds."""
        ...

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows `first` to `last` - 1 into `out`, shape (rows, width)."""
        ...


def best_form(dimension: int) -> str:
    """Return the form that this processor multiplies fastest, among those it multiplies right."""
    import torch

    features = torch.cpu.get_capabilities()
    if features.get("amx_bf16") and multiplies_bfloat16(dimension):
        return "bfloat16"
    if features.get("avx512_vnni") and dimension <= INT8_DIMENSION_MAX and multiplies_int8(dimension):
        return "int8"
    return "bfloat16" if features.get("avx512_bf16") and multiplies_bfloat16(dimension) else "float32"


def rows_of(form: str, dimension: int) -> LowPrecision:
    """Return empty rows of a form."""
    made: LowPrecision
    if form == "int8":
        made = Int8Rows(dimension)
    elif form == "bfloat16":
        made = Bfloat16Rows(dimension)
    elif form == "float32":
        made = Float32Rows(dimension)
    else:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    return made
