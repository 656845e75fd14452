"""Exact search on the CPU: FAISS's flat index finds candidates, float64 decides among them.

FAISS sums float32 products in an order of its own, so its scores are off by up to `_rounding` and near-ties come out
in any order. Every row that could be among the k best is therefore scored again in float64, in one fixed order of
summation: ids and scores depend on the query and the allowed rows alone, not on FAISS, batch or machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from rag.model import Hit
from rag.scoring import best, checked_matrix, exact_scores, norms, require_k, require_own

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.allowed import Allowed

MARGIN = 16  # candidates beyond k; enough to prove the answer complete unless rows are near-duplicates
QUERIES_MAX = 256  # answered at once: bounds the candidates held, QUERIES_MAX * (K_MAX + MARGIN) * 12 bytes
FLOAT32_UNIT = 2.0**-24  # largest relative error of one float32 operation
FLOAT32_TINY = 2.0**-126  # what underflow may lose in one operation


class FaissFlatIndex:
    """An `Index` over `faiss.IndexFlatIP`. Searching changes nothing, so threads may search at once."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        """Copy `vectors`, shape (count, dimension); `count` may be 0.

        Raises: DimensionMismatch: not a matrix. UnusableVector: a row is not finite or longer than `NORM_MAX`.
        """
        faiss: Any = importlib.import_module("faiss")
        self._vectors = np.array(checked_matrix(vectors, None), order="C")
        self._vectors.setflags(write=False)
        self.count, self.dimension = (int(size) for size in self._vectors.shape)
        self._norm_max = float(norms(self._vectors).max(initial=0.0))
        self._faiss: Any = faiss.IndexFlatIP(self.dimension)
        self._faiss.add(self._vectors)

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        """Return for each query the `k` best rows among those allowed; see `rag.model.Index.search`."""
        require_k(k)
        require_own(allowed, self.count)
        queries = checked_matrix(queries, self.dimension)
        bitmap = None if allowed is None else np.packbits(allowed.mask, bitorder="little")
        permitted = self.count if allowed is None else len(allowed)
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
            hits.append(best(candidates, self._exact(query, candidates), k))
        return hits

    def _at_least(
        self, query: NDArray[np.float32], floor: float, bitmap: NDArray[np.uint8] | None
    ) -> NDArray[np.int64]:
        """Return all allowed rows whose float32 score is at least `floor`: more than asked for, where many tie."""
        below = np.nextafter(np.float32(floor), np.float32(-np.inf))  # FAISS keeps what is strictly above
        below = np.nextafter(below, np.float32(-np.inf))
        _, _, rows = self._faiss.range_search(query[None], float(below), params=_parameters(bitmap))
        return np.asarray(rows, dtype=np.int64)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows; see `rag.model.Index.vectors`."""
        copied: NDArray[np.float32] = self._vectors[rows]
        return copied

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the exact scores of given rows; see `rag.model.Index.scores`."""
        (checked,) = checked_matrix(query[None], self.dimension)
        return [float(score) for score in self._exact(checked, rows)]

    def _exact(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return exact_scores(self._vectors[rows], query)

    def _rounding(self, query: NDArray[np.float32]) -> float:
        """Bound |FAISS's float32 score - exact score|: Higham, Accuracy and Stability, section 3.1, any order."""
        gamma = self.dimension * FLOAT32_UNIT / (1 - self.dimension * FLOAT32_UNIT)
        product = float(norms(query[None])[0]) * self._norm_max  # at least the sum of |products|, by Cauchy-Schwarz
        return 1.001 * gamma * product + self.dimension * FLOAT32_TINY


def _parameters(bitmap: NDArray[np.uint8] | None) -> Any:
    if bitmap is None:
        return None
    faiss: Any = importlib.import_module("faiss")  # its type stubs do not know the keyword arguments it takes
    return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))
