"""Rows in few bits, for the product that filters: what is multiplied, its scale and its bounds, tile by tile.

Three forms, by what the processor multiplies fastest (`best_form`):

* int8 where it has VNNI and no AMX: a scale for each tile, exact sums in int32, a byte for each element.
* bfloat16 where it has AMX: 2 bytes for each element.
* float32 elsewhere: the exact rows themselves.

torch is imported when the first rows are made, not with this module.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from rag.rounding import (
    BFLOAT16_UNIT,
    FLOAT32_TINY,
    TILE,
    Arithmetic,
    QueryBounds,
    TileBounds,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

INT8_MAX = 127
INT8_DEPTH_MIN = 2  # `torch._int_mm` gives wrong sums of one product where the second matrix is a transpose (2.13)
INT8_DIMENSION_MAX = 32_768  # |S| ≤ 127²·32,768 is less than half of CLOSED_INT32
CLOSED_INT32 = -(2**30)  # added to the score of a row that may not be a hit; the sum fits int32
SCALE_MIN = 2.0**-100  # a tile of smaller elements is kept as zeros: its inverse scale would overflow
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
    if features.get("amx_bf16"):
        return "bfloat16"
    if features.get("avx512_vnni") and dimension <= INT8_DIMENSION_MAX and multiplies_int8(dimension):
        return "int8"
    return "bfloat16" if features.get("avx512_bf16") else "float32"


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
        rounded = np.clip(np.rint(wide / np.where(scale > 0, scale, 1.0)[:, None]), -INT8_MAX, INT8_MAX)
        padded = np.zeros((width, self._depth), dtype=np.int8)
        padded[: len(queries), : self.dimension] = rounded
        return torch.from_numpy(padded).t(), QueryBounds.of(wide, rounded, scale, self.arithmetic)

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        import torch

        torch._int_mm(self.values[first:last], columns, out=out)


class Bfloat16Rows:
    """Rows as bfloat16, summed by the library in float32 and returned in bfloat16. Scales are 1.

    Rounded half away from zero, and not half to even: then what is left of a float32 fits 16 bits (`rag.exact_rows`).
    """

    closed = float("-inf")

    def __init__(self, dimension: int) -> None:
        import torch

        self.dimension = dimension
        self.arithmetic = Arithmetic.floating(dimension, output=BFLOAT16_UNIT)
        self.bounds = TileBounds.zeros(0)
        self.values = torch.zeros((0, dimension), dtype=torch.bfloat16)

    def scores_like(self) -> torch.dtype:
        """Return the number format of the scores."""
        import torch

        return torch.bfloat16

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
        upper = ((block.view(torch.int32) + 0x8000) >> 16).to(torch.int16).view(torch.bfloat16)
        self.values[tile * TILE : (tile + len(block)) * TILE].view(block.shape).copy_(upper)
        keep_bounds(self.bounds, tile, torch.ones(len(block), dtype=torch.float64), block, upper.float())

    def width_of(self, queries: int) -> int:
        """Return how many columns are multiplied: one alone is slower than two."""
        return rounded_width(queries)

    def columns(self, queries: NDArray[np.float32], width: int) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries as columns, and their bounds."""
        import torch

        return float_columns(queries, width, torch.bfloat16, self.arithmetic)

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        import torch

        torch.mm(self.values[first:last], columns, out=out)


class Float32Rows:
    """Rows as they came, for processors that multiply nothing smaller faster. Scales are 1.

    numpy multiplies them: torch and oneDNN can be told, by a global switch or the environment, to multiply float32 in
    bfloat16, and then the bound would not hold.
    """

    closed = float("-inf")

    def __init__(self, dimension: int) -> None:
        import torch

        self.dimension = dimension
        self.arithmetic = Arithmetic.floating(dimension, output=0.0)
        self.bounds = TileBounds.zeros(0)
        self.values = torch.zeros((0, dimension), dtype=torch.float32)

    def scores_like(self) -> torch.dtype:
        """Return the number format of the scores."""
        import torch

        return torch.float32

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
        self.values[tile * TILE : (tile + len(block)) * TILE].view(block.shape).copy_(block)
        keep_bounds(self.bounds, tile, torch.ones(len(block), dtype=torch.float64), block, block)

    def width_of(self, queries: int) -> int:
        """Return how many columns are multiplied: one alone is slower than two."""
        return rounded_width(queries)

    def columns(self, queries: NDArray[np.float32], width: int) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries as columns, and their bounds."""
        import torch

        return float_columns(queries, width, torch.float32, self.arithmetic)

    def product(self, first: int, last: int, columns: torch.Tensor, out: torch.Tensor) -> None:
        """Write the scores of rows into `out`."""
        np.matmul(self.values[first:last].numpy(), columns.numpy(), out=out.numpy())


def tiles_of(vectors: NDArray[np.float32]) -> torch.Tensor:
    """Return whole tiles as a tensor of shape (tiles, TILE, dimension)."""
    import torch

    return torch.from_numpy(vectors).view(-1, TILE, vectors.shape[1])


def keep_bounds(
    bounds: TileBounds, tile: int, scale: torch.Tensor, vectors: torch.Tensor, rounded: torch.Tensor
) -> None:
    """Measure ‖e‖ and ‖c·x̂‖ of tiles, shape (tiles, TILE, dimension), widened by what float32 lost in `rounded`."""
    import torch

    norm = torch.linalg.vector_norm(rounded, dim=2, dtype=torch.float64).amax(dim=1).numpy()
    error = torch.linalg.vector_norm(vectors - rounded, dim=2, dtype=torch.float64).amax(dim=1).numpy()
    flushed = 4 * FLOAT32_TINY * vectors.shape[2] ** 0.5
    part = slice(tile, tile + len(vectors))
    bounds.scale[part] = scale.numpy()
    bounds.norm[part] = norm * (1 + 2.0**-20) + flushed
    bounds.error[part] = error * (1 + 2.0**-20) + norm * 2.0**-22 + flushed


def rounded_width(queries: int) -> int:
    """Return 2, 4, 8 or a multiple of 16."""
    return next((width for width in (2, 4, 8) if queries <= width), -(-queries // 16) * 16)


def float_columns(
    queries: NDArray[np.float32], width: int, dtype: torch.dtype, arithmetic: Arithmetic, *, tiny: float = 0.0
) -> tuple[torch.Tensor, QueryBounds]:
    """Return queries as columns of floats of norm at most 1, elements below `tiny` zero, and their bounds."""
    import torch

    wide = queries.astype(np.float64)
    _, exponents = np.frexp(np.sqrt(np.einsum("ij,ij->i", wide, wide)))
    scale = np.ldexp(1.0, exponents)
    padded = np.zeros((width, queries.shape[1]), dtype=np.float32)
    padded[: len(queries)] = wide / scale[:, None]
    columns = torch.from_numpy(padded).to(dtype)
    columns[columns.abs() < tiny] = 0
    rounded = cast("NDArray[np.float64]", columns[: len(queries)].double().numpy())
    return columns.t(), QueryBounds.of(wide, rounded, scale, arithmetic)


def resized(values: torch.Tensor, rows: int) -> torch.Tensor:
    """Return a copy with `rows` rows, new ones zeros, and overwrite the old one with zeros."""
    import torch

    grown = torch.zeros((rows, *values.shape[1:]), dtype=values.dtype, device=values.device)
    kept = min(rows, len(values))
    grown[:kept] = values[:kept]
    values.zero_()
    return grown


def resized_bounds(bounds: TileBounds, tiles: int) -> TileBounds:
    """Return a copy for `tiles` tiles."""
    grown = TileBounds.zeros(tiles)
    kept = min(tiles, len(bounds.scale))
    for new, old in ((grown.scale, bounds.scale), (grown.error, bounds.error), (grown.norm, bounds.norm)):
        new[:kept] = old[:kept]
    return grown
