"""Exact search on the CPU: FAISS's flat index finds candidates, float64 decides among them.

FAISS sums float32 products in an order of its own, so its scores are off by up to `_rounding` and near-ties come out
in any order. Every row that could be among the k best is therefore scored again in float64, in one fixed order of
summation: ids and scores depend on the query and the allowed rows alone, not on FAISS, batch or machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.errors import DimensionMismatch, UnusableVector
from rag.model import K_MAX, Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARGIN = 16  # candidates beyond k; enough to prove the answer complete unless rows are near-duplicates
QUERIES_MAX = 256  # answered at once: bounds the candidates held, QUERIES_MAX * (K_MAX + MARGIN) * 12 bytes
NORM_MAX = 1024.0  # of a vector; unit vectors are the use, and float32 products stay far from overflow
FLOAT32_UNIT = 2.0**-24  # largest relative error of one float32 operation
FLOAT32_TINY = 2.0**-126  # what underflow may lose in one operation


class FaissFlatIndex:
    """An `Index` over `faiss.IndexFlatIP`. Searching changes nothing, so threads may search at once."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """Copy `vectors`, shape (count, dimension); `count` may be 0.

        Raises: DimensionMismatch: not a matrix. UnusableVector: a row is not finite or longer than `NORM_MAX`.
        """
        faiss: Any = importlib.import_module("faiss")
        self._vectors = np.array(_matrix(vectors, None), order="C")
        self._vectors.setflags(write=False)
        self.count, self.dimension = (int(size) for size in self._vectors.shape)
        self._norm_max = float(_norms(self._vectors).max(initial=0.0))
        self._faiss: Any = faiss.IndexFlatIP(self.dimension)
        self._faiss.add(self._vectors)

    def search(
        self, queries: NDArray[np.float32], *, k: int, allowed: NDArray[np.bool_] | None = None
    ) -> list[list[Hit]]:
        """Return for each query the `k` best rows among those allowed; see `rag.model.Index.search`."""
        if not 1 <= k <= K_MAX:
            raise ValueError(f"k must be 1 to {K_MAX}, got {k}")
        queries = _matrix(queries, self.dimension)
        bitmap = None if allowed is None else self._bitmap(allowed)
        permitted = self.count if allowed is None else int(np.count_nonzero(allowed))
        if permitted == 0:
            return [[] for _ in queries]
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), QUERIES_MAX):
            hits += self._search(queries[start : start + QUERIES_MAX], min(k, permitted), permitted, bitmap)
        return hits

    def _search(
        self, queries: NDArray[np.float32], k: int, permitted: int, bitmap: NDArray[np.uint8] | None
    ) -> list[list[Hit]]:
        fetched = min(k + MARGIN, permitted)
        scores, rows = self._faiss.search(queries, fetched, params=_parameters(bitmap))
        hits = []
        for query, query_scores, candidates in zip(queries, scores, rows, strict=True):
            # A row of the true k best scores at least the k-th float32 score, less the error on either side.
            floor = float(query_scores[k - 1]) - 2 * self._rounding(query)
            if fetched < permitted and query_scores[-1] >= floor:
                candidates = self._at_least(query, floor, bitmap)
            hits.append(self._best(query, candidates, k))
        return hits

    def _at_least(
        self, query: NDArray[np.float32], floor: float, bitmap: NDArray[np.uint8] | None
    ) -> NDArray[np.int64]:
        """Return all allowed rows whose float32 score is at least `floor`: more than asked for, where many tie."""
        below = np.nextafter(np.float32(floor), np.float32(-np.inf))  # FAISS keeps what is strictly above
        below = np.nextafter(below, np.float32(-np.inf))
        _, _, rows = self._faiss.range_search(query[None], float(below), params=_parameters(bitmap))
        return np.asarray(rows, dtype=np.int64)

    def _best(self, query: NDArray[np.float32], candidates: NDArray[np.int64], k: int) -> list[Hit]:
        scores = self._exact(query, candidates)
        order = np.lexsort((candidates, -scores))[:k]
        return [Hit(int(candidates[at]), float(scores[at])) for at in order]

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the exact scores of given rows; see `rag.model.Index.scores`."""
        (checked,) = _matrix(query[None], self.dimension)
        return [float(score) for score in self._exact(checked, rows)]

    def _exact(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        # Products of two float32 are exact in float64; the sum along the last axis has one order, whatever the shape.
        exact: NDArray[np.float64] = (self._vectors[rows].astype(np.float64) * query.astype(np.float64)).sum(axis=1)
        return exact

    def _rounding(self, query: NDArray[np.float32]) -> float:
        """Bound |FAISS's float32 score - exact score|: Higham, Accuracy and Stability, section 3.1, any order."""
        gamma = self.dimension * FLOAT32_UNIT / (1 - self.dimension * FLOAT32_UNIT)
        norms = float(_norms(query[None])[0]) * self._norm_max  # at least the sum of |products|, by Cauchy-Schwarz
        return 1.001 * gamma * norms + self.dimension * FLOAT32_TINY

    def _bitmap(self, allowed: NDArray[np.bool_]) -> NDArray[np.uint8]:
        if allowed.dtype != np.bool_:
            raise ValueError(f"allowed must hold booleans, got {allowed.dtype}")
        if allowed.shape != (self.count,):
            raise DimensionMismatch(f"allowed has shape {allowed.shape}, the index has {self.count} rows")
        return np.packbits(allowed, bitorder="little")


def _parameters(bitmap: NDArray[np.uint8] | None) -> Any:
    if bitmap is None:
        return None
    faiss: Any = importlib.import_module("faiss")  # its type stubs do not know the keyword arguments it takes
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))


def _matrix(vectors: NDArray[np.float32], dimension: int | None) -> NDArray[np.float32]:
    if vectors.ndim != 2 or vectors.shape[1] < 1:
        raise DimensionMismatch(f"vectors must have the shape (n, dimension), got {vectors.shape}")
    if dimension is not None and vectors.shape[1] != dimension:
        raise DimensionMismatch(f"vectors have dimension {vectors.shape[1]}, the index has {dimension}")
    if vectors.dtype != np.float32:
        raise ValueError(f"vectors must be float32, got {vectors.dtype}")
    if not (_norms(vectors) <= NORM_MAX).all():  # False for NaN too
        raise UnusableVector(f"every vector must be finite and at most {NORM_MAX:g} long; embed the text again")
    return np.ascontiguousarray(vectors)


def _norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the Euclidean norms, without a float64 copy of everything."""
    norms: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return norms
