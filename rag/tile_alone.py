"""The filter of `rag.tile_filter` for one query alone, its scores all at hand: each step once, on plain arrays.

Many queries go through rows and queries in pairs, and segment by segment. For one that takes longer than the product:
a hundred steps on arrays of a few hundred numbers, where these are thirty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag.pairs import LEAST
from rag.rounding import SLACK, TILE

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from rag.low_precision import LowPrecision
    from rag.rounding import QueryBounds

OUTPUT_SLACK = 2.0**-48  # relative, of a score: what the steps below lose in float64


class Alone:
    """The bounds of one query's scores over the tiles of one segment."""

    def __init__(self, low: LowPrecision, asked: QueryBounds, tiles: int, *, is_open: bool) -> None:
        """Take rows, a query's bounds, and how many tiles there are.

        Args:
            is_open: every row of them may be a hit.
        """
        bounds, (scale,), (alpha,), (beta,), (tau,) = low.bounds, asked.scale, asked.alpha, asked.beta, asked.tau
        self._scale = bounds.scale[:tiles] * scale
        self._output = low.arithmetic.output
        beta = beta + OUTPUT_SLACK * (alpha + beta)  # no score is over (alpha + beta) times its row's norm
        self._margin = (alpha * bounds.error[:tiles] + beta * bounds.norm[:tiles] + tau) * SLACK
        self._closed = None if is_open else low.closed / 2

    def reaching(
        self, scores: torch.Tensor, maxima: torch.Tensor, split: int, k: int, *, most: int
    ) -> NDArray[np.int64] | None:
        """Return every row that may be among the `k` best, ascending; None where there are over `most` to look at.

        Args:
            scores: as they were multiplied, of all rows; shape (tiles * TILE, width).
            maxima: of the tiles cut in `split`; shape (tiles * split, 1).
        """
        import torch

        size = TILE // split
        values, margin = self._scores(maxima[:, 0].to(torch.float64).numpy().reshape(-1, split), None)
        floor = _kth(values - margin, k)
        at = np.flatnonzero(values + margin >= floor)
        if len(at) * size > most:
            return None
        taken = scores.view(len(maxima), size, -1)[torch.from_numpy(at), :, 0]
        values, margin = self._scores(taken.to(torch.float64).numpy(), at // split)
        part, inner = np.nonzero(values + margin >= max(floor, _kth(values - margin, k)))
        rows: NDArray[np.int64] = at[part] * size + inner
        return rows

    def _scores(
        self, values: NDArray[np.float64], tile: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return scores S, shape (n, any), each n of one tile, as what they stand for, and how far off they may be."""
        scale, margin = (self._scale, self._margin) if tile is None else (self._scale[tile], self._margin[tile])
        scores, margin = values * scale[:, None], margin[:, None]
        if self._closed is not None:
            scores[values <= self._closed] = -np.inf
        if self._output:
            margin = margin + np.where(np.isfinite(scores), self._output * np.abs(scores), 0.0)
        return scores, margin


def _kth(values: NDArray[np.float64], k: int) -> float:
    """Return the k-th largest of some values; `LEAST` where there are fewer, or it is that of a closed row."""
    flat = values.reshape(-1)
    if len(flat) < k:
        return LEAST
    return max(LEAST, float(np.partition(flat, len(flat) - k)[len(flat) - k]))
