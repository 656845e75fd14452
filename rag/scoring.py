"""Scores that do not depend on machine, batch or library: float64 products, summed in one fixed order (rule R5).

Whatever finds candidates, a low-precision product, FAISS or a graph, hands them here to be scored and ranked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from rag.errors import DimensionMismatch, UnusableVector
from rag.model import K_MAX, Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.allowed import Allowed

NORM_MAX = 1024.0  # of a vector; unit vectors are the use, and float32 products stay far from overflow
Matrix = TypeVar("Matrix", bound=Any)
_BLOCK = 128  # rows scored at once: their float64 products stay in the cache


def exact_scores(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the inner product of each row of `vectors`, shape (n, dimension), with a query.

    Products of two float32 are exact in float64. They are summed by halving: the upper half is added to the lower,
    element by element, and so on until one is left; of an odd number, the middle one waits for the next round. The
    order is that of `halved`, on every machine and whatever n is.

    Args:
        query: shape (dimension,), or (n, dimension): one for each row.
    """
    wide = query.astype(np.float64)
    scores = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        products = vectors[part].astype(np.float64)
        products *= wide if wide.ndim == 1 else wide[part]
        scores[part] = halved(products)
    return scores


def halved(products: Matrix) -> Matrix:
    """Return the sum of each row, shape (n,), summed by halving; `products`, shape (n, d), is overwritten.

    It takes numpy's arrays and torch's tensors of float64 alike: both add element by element as IEEE 754 says.
    """
    width = products.shape[1]
    while width > 1:
        half = (width + 1) // 2
        products[:, : width - half] += products[:, half:width]
        width = half
    first: Matrix = products[:, 0]
    return first


def best(rows: NDArray[np.int64], scores: NDArray[np.float64], k: int) -> list[Hit]:
    """Return the `k` best of some rows by descending score, ties by ascending row."""
    order = np.lexsort((rows, -scores))[:k]
    return [Hit(int(rows[at]), float(scores[at])) for at in order]


def checked_matrix(vectors: NDArray[np.float32], dimension: int | None) -> NDArray[np.float32]:
    """Return vectors, shape (n, dimension), in C order.

    Raises: DimensionMismatch; UnusableVector for one that is not finite or longer than `NORM_MAX`; ValueError.
    """
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise DimensionMismatch(f"vectors must have the shape (n, dimension), got {vectors.shape}")
    if dimension is not None and vectors.shape[1] != dimension:
        raise DimensionMismatch(f"vectors have dimension {vectors.shape[1]}, the index has {dimension}")
    if vectors.dtype != np.float32:
        raise ValueError(f"vectors must be float32, got {vectors.dtype}")
    if not (norms(vectors) <= NORM_MAX).all():  # False for NaN too
        raise UnusableVector(f"every vector must be finite and at most {NORM_MAX:g} long; embed the text again")
    return np.ascontiguousarray(vectors)


def norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean norms, without a float64 copy of everything."""
    found: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return found


def require_k(k: int) -> None:
    """Raise ValueError for a number of hits that nobody may ask for."""
    if not 1 <= k <= K_MAX:
        raise ValueError(f"k must be 1 to {K_MAX}, got {k}")


def require_own(allowed: Allowed | None, count: int) -> None:
    """Raise `DimensionMismatch` for allowed rows of another index."""
    if allowed is not None and allowed.total != count:
        raise DimensionMismatch(f"rows of {allowed.total} are allowed, the index has {count} rows")
