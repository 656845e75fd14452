"""The rows as they came, bit for bit, for the scores that are published.

Beside 8-bit rows they are a float32 matrix (5 bytes an element in all). Beside bfloat16 rows only what those lack is
kept: the difference of the bits, which fits 16 bits because the upper half was rounded half away from zero (4 bytes in
all). float32 rows are their own (4 bytes).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from rag.float_rows import Bfloat16Rows, Float32Rows
from rag.low_precision import LowPrecision
from rag.scoring import exact_scores
from rag.tile_encoding import resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCORED_AT_ONCE = 512  # bounds the gathered rows, and keeps them in the cache


class ExactRows(Protocol):
    """Rows of float32."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes they take beside the rows in few bits."""
        ...

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows in all, new ones zeros, and overwrite the old room."""
        ...

    def write(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Write rows from `first` on; beside bfloat16 rows, after those were encoded."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows."""
        ...


def exact_beside(low: LowPrecision) -> ExactRows:
    """Return empty exact rows for rows in few bits."""
    if isinstance(low, Float32Rows):
        return SameRows(low)
    return SplitRows(low) if isinstance(low, Bfloat16Rows) else WholeRows(low.dimension)


def scores_of(
    exact: ExactRows, rows: NDArray[np.int64], queries: NDArray[np.float32], query_of: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the score of each row with its query, `queries[query_of]`."""
    scores = np.empty(len(rows))
    for start in range(0, len(rows), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        scores[part] = exact_scores(exact.read(rows[part]), queries[query_of[part]])
    return scores


class WholeRows:
    """A float32 matrix."""

    def __init__(self, dimension: int) -> None:
        self._values = np.zeros((0, dimension), dtype=np.float32)

    @property
    def nbytes(self) -> int:
        """Return how many bytes they take beside the rows in few bits."""
        return self._values.nbytes

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows in all."""
        grown = np.zeros((rows, self._values.shape[1]), dtype=np.float32)
        kept = min(rows, len(self._values))
        grown[:kept] = self._values[:kept]
        self._values[:] = 0
        self._values = grown

    def write(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Write rows from `first` on."""
        self._values[first : first + len(vectors)] = vectors

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows."""
        return np.take(self._values, rows, axis=0)


class SameRows:
    """The rows of `Float32Rows`, which keeps them itself."""

    def __init__(self, low: Float32Rows) -> None:
        self._low = low

    @property
    def nbytes(self) -> int:
        """Return how many bytes they take beside the rows in few bits."""
        return 0

    def resize(self, rows: int) -> None:
        """Leave it to the rows."""

    def write(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Leave it to the rows."""

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows."""
        return np.asarray(self._low.values.numpy()[rows], dtype=np.float32)


class SplitRows:
    """The lower halves of rows whose upper halves are `Bfloat16Rows`."""

    def __init__(self, low: Bfloat16Rows) -> None:
        import torch

        self._low = low
        self._rest = torch.zeros((0, low.dimension), dtype=torch.int16)

    @property
    def nbytes(self) -> int:
        """Return how many bytes they take beside the rows in few bits."""
        return self._rest.nbytes

    def resize(self, rows: int) -> None:
        """Make room for `rows` rows in all."""
        self._rest = resized(self._rest, rows)

    def write(self, first: int, vectors: NDArray[np.float32]) -> None:
        """Keep the difference of the bits; the upper halves were encoded before."""
        import torch

        bits = torch.from_numpy(vectors).view(torch.int32)
        last = first + len(vectors)
        upper = self._low.values[first:last].view(torch.int16).to(torch.int32) << 16
        self._rest[first:last] = (bits - upper).to(torch.int16)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some rows, put together again."""
        import torch

        at = torch.from_numpy(rows)
        upper = self._low.values.index_select(0, at).view(torch.int16).to(torch.int32) << 16
        whole = (upper + self._rest.index_select(0, at)).view(torch.float32)
        return np.asarray(whole.numpy(), dtype=np.float32)
