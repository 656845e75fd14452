"""How far a low-precision score can be from the exact one: the bound that makes a fast filter give the exact answer.

Rows are kept by tiles of `TILE`. A row is x = c·x̂ + e and a query q = b·q̂ + f, where x̂ and q̂ are what is multiplied
(8-bit integers, bfloat16, float16, float32), c is the tile's scale and b the query's, and e and f are what rounding
lost. Then

    x·q - c·b·(x̂·q̂) = e·q + (c·x̂)·f
    |x·q - c·b·(x̂·q̂)| ≤ ‖e‖‖q‖ + ‖c·x̂‖‖f‖                                             (Cauchy-Schwarz)

with ‖e‖, ‖c·x̂‖ (the largest of the tile), ‖f‖ and ‖q‖ *measured* when the vectors come in, whatever they hold:
half-way values, subnormals rounded to zero and saturated elements are in them.

What a library returns for x̂·q̂ is S. For integers it is exact: |x̂·q̂| ≤ 127²·dimension fits int32. For floats:

* Sums in float32, in any order, fused or not: at most `dimension` roundings meet each product (Higham, Accuracy and
  Stability of Numerical Algorithms, section 3.1), so the sum is off by g‖x̂‖‖q̂‖, g = d·u/(1 - d·u). u is taken as twice
  float32's unit or more (`SUM_UNIT`), for adders that truncate instead of rounding.
* The result in bfloat16 or float16 is off by half a unit in its last place: `output`·|S|.
* Subnormal operands, products and sums may be flushed to zero, each at a loss of 2⁻¹²⁶ (2⁻¹⁴ for float16 results)
  times an operand of at most `NORM_MAX`: `tiny`. Queries are scaled to norm at most 1 by a power of two, which is
  exact, so nothing overflows and the loss shrinks with the query.

The score that is published is a float64 sum, off from x·q by at most g64‖x‖‖q‖. So for a row of tile t

    |published - c·b·S| ≤ output·|c·b·S| + a(t)·A(q) + n(t)·B(q) + T(q)

with a = ‖e‖, n = ‖c·x̂‖, A = ‖q‖(1 + g64), B = ‖f‖ + g(‖q‖ + ‖f‖) + g64‖q‖, T = b·tiny. Per tile, and not for all rows
together: a row far longer than others widens the margin of its own tile only. All of it is computed in float64 and
widened by `SLACK`, which covers the roundings of computing the bound itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.scoring import NORM_MAX

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE = 64  # rows that share a scale and a bound; 64 and 128 measured alike, 32 slower
SUM_UNIT = 2.0**-23  # twice float32's unit roundoff
DEVICE_SUM_UNIT = 2.0**-22  # tensor cores align addends and truncate them
SLACK = 1.0 + 2.0**-40
FLOAT64_UNIT = 2.0**-53
FLOAT32_TINY = 2.0**-126
BFLOAT16_UNIT = 2.0**-8  # 8 significant bits, rounded to nearest
FLOAT16_UNIT = 2.0**-11
FLOAT16_TINY = 2.0**-14


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What a library's product adds to the rounding of its operands."""

    sum: float  # g, relative to the product of norms
    output: float  # relative to the result
    tiny: float  # absolute, in the units of S

    @classmethod
    def exact(cls) -> Arithmetic:
        """Return that of integers."""
        return cls(sum=0.0, output=0.0, tiny=0.0)

    @classmethod
    def floating(
        cls, dimension: int, *, output: float, tiny: float = FLOAT32_TINY, unit: float = SUM_UNIT
    ) -> Arithmetic:
        """Return that of products summed in float32 and rounded to a result of unit roundoff `output`."""
        lost = tiny + 4 * dimension * FLOAT32_TINY * NORM_MAX
        return cls(sum=gamma(dimension, unit), output=output, tiny=lost)


@dataclass(frozen=True, slots=True)
class TileBounds:
    """Of each tile: its scale c, and the largest ‖e‖ and ‖c·x̂‖ of its rows."""

    scale: NDArray[np.float64]
    error: NDArray[np.float64]
    norm: NDArray[np.float64]

    @classmethod
    def zeros(cls, tiles: int) -> TileBounds:
        """Return those of tiles that hold zeros."""
        return cls(np.zeros(tiles), np.zeros(tiles), np.zeros(tiles))

    @property
    def nbytes(self) -> int:
        """Return how many bytes they take."""
        return self.scale.nbytes + self.error.nbytes + self.norm.nbytes


@dataclass(frozen=True, slots=True)
class QueryBounds:
    """Of each query: its scale b, and A, B and T."""

    scale: NDArray[np.float64]
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    tau: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        queries: NDArray[np.float64],
        rounded: NDArray[np.float64],
        scale: NDArray[np.float64],
        arithmetic: Arithmetic,
    ) -> QueryBounds:
        """Return the bounds of queries, shape (n, dimension), multiplied as `rounded` times `scale`."""
        norm = row_norms(queries)
        lost = row_norms(queries - rounded * scale[:, None]) + 2.0**-48 * norm
        double = gamma(queries.shape[1], FLOAT64_UNIT)
        beta = lost + arithmetic.sum * (norm + lost) + double * norm
        return cls(scale, norm * (1 + double) * SLACK, beta * SLACK, scale * arithmetic.tiny * SLACK)


def gamma(dimension: int, unit: float) -> float:
    """Return the relative error of a sum of `dimension` products, in any order."""
    return dimension * unit / (1 - dimension * unit)


def row_norms(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the norms of float64 rows, rounded up."""
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", rows, rows)) * (1 + 2.0**-30), dtype=np.float64)
