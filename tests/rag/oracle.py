"""An exact index that does nothing but compare: every allowed row, in float64, sorted; and vectors to search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.model import Hit
from rag.scoring import best, checked_matrix, exact_scores, require_k, require_own

Rows = NDArray[np.float32]


class Oracle:
    """An `Index` for tests."""

    def __init__(self, vectors: Rows) -> None:
        self._rows = np.array(checked_matrix(vectors, None))
        self.count, self.dimension = (int(size) for size in vectors.shape)

    def search(self, queries: Rows, *, k: int, allowed: Allowed | None) -> list[list[Hit]]:
        require_k(k)
        require_own(allowed, self.count)
        rows = np.arange(self.count) if allowed is None else allowed.rows
        checked = checked_matrix(queries, self.dimension)
        return [best(rows, exact_scores(self._rows[rows], query), k) for query in checked]

    def vectors(self, rows: NDArray[np.int64]) -> Rows:
        return np.array(self._rows[rows])

    def scores(self, query: Rows, rows: NDArray[np.int64]) -> list[float]:
        return [float(score) for score in exact_scores(self._rows[rows], query)]


def clusters(seed: int, count: int, dimension: int, *, centers: int = 40) -> Rows:
    """Return unit vectors in clusters, as texts of some topics give."""
    random = np.random.default_rng(seed)
    middles = random.standard_normal((centers, dimension))
    rows = middles[random.integers(centers, size=count)] + random.standard_normal((count, dimension)) * 0.8
    units: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units
