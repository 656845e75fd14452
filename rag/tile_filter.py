"""Exact search over tiles: a low-precision product, tile maxima as a filter, surviving rows scored in float64.

The k best rows of a query lie in tiles whose best score is high. So a segment of rows is multiplied; of each tile only
the largest score is looked at; and with the bound of `rag.rounding` on either side,

    lower(tile) = its maximum less its margin: some row of it is at least that good
    upper(tile) = its maximum plus its margin: no row of it is better

The k-th largest `lower` over the tiles seen so far is a floor: k different rows reach it. A tile below the floor holds
no hit; of the others, rows below it are none; what is left is scored exactly. Rows that tie with the k-th best reach
the floor, so ties are decided by row number among all that tie. Nothing of this depends on how a library rounds, as
long as it keeps to the bound: the answer is that of scoring every row.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from rag.exact_rows import ExactRows, scores_of
from rag.low_precision import LowPrecision
from rag.model import Hit
from rag.pairs import LEAST, MOST, Pairs, hits_of, k_best, kth_of, rank_of
from rag.rounding import FLOAT32_TINY, SLACK, TILE
from rag.scoring import best
from rag.tile_alone import Alone

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

COLUMNS_MAX = 64  # queries multiplied at once
SEGMENT_BYTES = 16 * 2**20  # scores held at once: they are read again while still in the last cache
CHUNK_BYTES = 2 * 2**20  # scores written by one product, and reduced while still in a core's cache
CHUNK_TILES_MAX = 512
PENDING_MAX = 2**19  # rows that wait for the floor to rise before they are scored
GATHERED_MAX = 2**19  # scores of surviving tiles looked at together
TILES_PER_HIT = 4  # at least so many tiles of a segment for each hit, or the floor would say little
FLOAT32_MAX = 3.4e38


_scratch = threading.local()


class Open:
    """Which rows may be hits, in the forms that a search over tiles needs. It never changes."""

    def __init__(self, mask: NDArray[np.bool_], low: LowPrecision, tiles: int) -> None:
        """Take a mask, shape (rows,), of the first rows of `tiles` tiles; rows beyond it are closed."""
        import torch

        padded = np.zeros(tiles * TILE, dtype=np.bool_)
        padded[: len(mask)] = mask
        counts = padded.reshape(tiles, TILE).sum(axis=1)
        self.tiles = tiles
        self.total = int(counts.sum())
        self.full = int(np.argmin(np.append(counts, 0) == TILE))  # tiles before the first one that is not full
        self.mask = padded
        self._before = np.concatenate([[0], np.cumsum(counts)])
        self.bias: torch.Tensor | None = None
        if self.total < padded.size:
            self.bias = torch.zeros((tiles * TILE, 1), dtype=low.scores_like())
            self.bias[torch.from_numpy(~padded)] = low.closed

    @property
    def nbytes(self) -> int:
        """Return how many bytes it takes."""
        return self.mask.nbytes + self._before.nbytes + (0 if self.bias is None else self.bias.nbytes)

    def count(self, first: int, last: int) -> int:
        """Return how many rows of tiles `first` to `last` - 1 are open."""
        return int(self._before[last] - self._before[first])

    def is_full(self, first: int, last: int) -> bool:
        """Tell whether all rows of these tiles are open."""
        return self.count(first, last) == (last - first) * TILE


def search_tiles(
    low: LowPrecision,
    exact: ExactRows,
    opened: Open,
    queries: NDArray[np.float32],
    k: int,
    rows: NDArray[np.int64] | None = None,
) -> list[list[Hit]]:
    """Return for each query the `k` best open rows.

    Args:
        rows: what the rows of `low` are called in `exact` and in hits, ascending; None: the same.
    """
    hits: list[list[Hit]] = []
    for start in range(0, len(queries), COLUMNS_MAX):
        hits += _Search(low, exact, opened, queries[start : start + COLUMNS_MAX], k, rows).hits()
    return hits


class _Search:
    """One product of up to `COLUMNS_MAX` queries with all tiles."""

    def __init__(
        self,
        low: LowPrecision,
        exact: ExactRows,
        opened: Open,
        queries: NDArray[np.float32],
        k: int,
        rows: NDArray[np.int64] | None,
    ) -> None:
        self._low, self._exact, self._open, self._queries, self._rows = low, exact, opened, queries, rows
        self._k = min(k, opened.total)
        self._width = low.width_of(len(queries))
        self._columns, self._bounds = low.columns(queries, self._width)
        self._tops = np.full((len(queries), self._k), -np.inf)
        self._floor = np.full(len(queries), LEAST)
        self._pending: list[tuple[Pairs, NDArray[np.float64], NDArray[np.float64]]] = []
        self._waiting = 0
        empty = np.empty(0, dtype=np.int64)
        self._best, self._scores = Pairs(empty, empty), np.empty(0)
        self._answer_zeros()

    def _answer_zeros(self) -> None:
        """Answer queries that are zero: every row ties, so the first ones are the hits, and no other is looked at."""
        zeros = np.flatnonzero(~self._queries.any(axis=1))
        if len(zeros) and self._k:
            row = self._named(np.flatnonzero(self._open.mask)[: self._k])
            self._best = Pairs(np.repeat(zeros, self._k), np.tile(row, len(zeros)))
            self._scores = scores_of(self._exact, self._best.row, self._queries, self._best.query)
            self._floor[zeros] = MOST

    def _named(self, row: NDArray[np.int64]) -> NDArray[np.int64]:
        return row if self._rows is None else self._rows[row]

    def hits(self) -> list[list[Hit]]:
        """Go through the segments, and return the hits."""
        if self._k:
            size = max(1, SEGMENT_BYTES // (self._width * TILE * self._low.scores_like().itemsize))
            if len(self._queries) == 1 and self._open.tiles <= size and (alone := self._alone()) is not None:
                return [alone]
            for first in range(0, self._open.tiles, size):
                self._segment(first, min(first + size, self._open.tiles))
            self._settle()
        return hits_of(self._best, self._scores, len(self._queries))

    def _alone(self) -> list[Hit] | None:
        """Return the hits of one query, unless it is zero, or so many rows come close that they go in parts."""
        if self._floor[0] > LEAST:
            return None
        split = split_of(self._open.tiles, self._k)
        scores, maxima = self._multiplied(0, self._open.tiles, split)
        alone = Alone(self._low, self._bounds, self._open.tiles, is_open=self._open.bias is None)
        rows = alone.reaching(scores, maxima, split, self._k, most=GATHERED_MAX)
        if rows is None:
            return None
        named = self._named(rows)
        return best(named, scores_of(self._exact, named, self._queries, np.zeros_like(named)), self._k)

    def _segment(self, first: int, last: int) -> None:
        if not self._open.count(first, last):
            return
        split = split_of(last - first, self._k)
        scores, maxima = self._multiplied(first, last, split)
        is_first = bool((self._floor <= LEAST).any())
        if is_first:
            self._set_floor(maxima, first, split)
        query, at, lower = self._reaching(maxima, first, last, split)
        if len(query) and not is_first:  # or the same rows would be counted twice
            rank = rank_of(query)
            dense = np.full((len(self._queries), int(rank.max()) + 1), -np.inf)
            dense[query, rank] = lower
            self._raise_floor(dense)
        shaped = scores.view(-1, TILE // split, self._width)
        step = max(1, GATHERED_MAX * split // TILE)
        for start in range(0, len(at), step):
            part = slice(start, start + step)
            self._survivors(shaped, query[part], at[part], first, split)
            if self._waiting > PENDING_MAX:
                self._settle()

    def _multiplied(self, first: int, last: int, split: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return all scores of a segment, and the maxima of its tiles cut in `split`, shape (tiles, queries)."""
        import torch

        scores = scratch(self._low.scores_like(), (last - first) * TILE * self._width).view(-1, self._width)
        maxima = torch.empty((split * (last - first), self._width), dtype=scores.dtype)
        size = min(CHUNK_TILES_MAX, max(1, CHUNK_BYTES // (self._width * TILE * scores.dtype.itemsize)))
        for start in range(first, last, size):
            end = min(start + size, last)
            chunk = scores[(start - first) * TILE : (end - first) * TILE]
            out = maxima[(start - first) * split : (end - first) * split]
            if not self._open.count(start, end):
                out.fill_(self._low.closed)
                continue
            self._low.product(start * TILE, end * TILE, self._columns, chunk)
            if self._open.bias is not None and not self._open.is_full(start, end):
                begin = max(start, self._open.full)
                chunk[(begin - start) * TILE :].add_(self._open.bias[begin * TILE : end * TILE])
            torch.amax(chunk.view(-1, TILE // split, self._width), dim=1, out=out)
        return scores, maxima[:, : len(self._queries)]

    def _set_floor(self, maxima: torch.Tensor, first: int, split: int) -> None:
        """Set the floors by all tiles of a segment."""
        import torch

        query, at = np.divmod(np.arange(maxima.numel()), len(maxima))
        values = maxima.t().to(torch.float64).contiguous().numpy().reshape(-1)
        lower, _ = self._limits(values, query, first + at // split)
        self._raise_floor(lower.reshape(len(self._queries), -1))

    def _reaching(
        self, maxima: torch.Tensor, first: int, last: int, split: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return pairs of a query and a tile of which some row may reach the floor, by query, and their `lower`."""
        import torch

        scale = torch.from_numpy(self._low.bounds.scale[first:last].repeat(split)).float()
        values = maxima.float() * scale[:, None]
        least = torch.from_numpy(self._least_value(first, last)).float()
        found = torch.nonzero((values >= least).t()).numpy()
        query, at = found[:, 0], found[:, 1]
        exact = maxima[torch.from_numpy(at), torch.from_numpy(query)].to(torch.float64).numpy()
        lower, upper = self._limits(exact, query, first + at // split)
        reach = upper >= self._floor[query]
        return query[reach], at[reach], lower[reach]

    def _least_value(self, first: int, last: int) -> NDArray[np.float64]:
        """Return for each query what c·S is at least where a row of these tiles reaches the floor, rounded down."""
        tiles, asked = self._low.bounds, self._bounds
        margin = asked.alpha * tiles.error[first:last].max() + asked.beta * tiles.norm[first:last].max() + asked.tau
        needed = np.maximum(self._floor, LEAST) - margin * SLACK
        output = self._low.arithmetic.output
        needed = needed / np.where(needed > 0, 1 + output, 1 - output)
        needed = needed / np.where(asked.scale > 0, asked.scale, 1.0)
        least = np.where(asked.scale > 0, needed - np.abs(needed) * 2.0**-20 - FLOAT32_TINY, -np.inf)
        return np.asarray(np.clip(least, -FLOAT32_MAX, FLOAT32_MAX), dtype=np.float64)

    def _survivors(
        self, scores: torch.Tensor, query: NDArray[np.int64], at: NDArray[np.int64], first: int, split: int
    ) -> None:
        """Put the rows that reach the floor aside, of the tiles `at` with their queries."""
        import torch

        values = scores[torch.from_numpy(at), :, torch.from_numpy(query)].to(torch.float64).numpy()
        lower, upper = self._limits(values, query[:, None], first + at[:, None] // split)
        pair, inner = np.nonzero(upper >= self._floor[query][:, None])
        pairs = Pairs(query[pair], first * TILE + at[pair] * (TILE // split) + inner)
        self._pending.append((pairs, lower[pair, inner], upper[pair, inner]))
        self._waiting += len(pairs)

    def _limits(
        self, values: NDArray[np.float64], query: NDArray[np.int64], tile: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `lower` and `upper` of scores S as they were multiplied; queries and tiles are broadcast to them."""
        tiles, asked = self._low.bounds, self._bounds
        closed = values <= self._low.closed / 2
        scores = np.where(closed, 0.0, values) * (tiles.scale[tile] * asked.scale[query])
        margin = asked.alpha[query] * tiles.error[tile] + asked.beta[query] * tiles.norm[tile] + asked.tau[query]
        margin = margin * SLACK + (self._low.arithmetic.output + 2.0**-48) * np.abs(scores)
        return np.where(closed, -np.inf, scores - margin), np.where(closed, -np.inf, scores + margin)

    def _raise_floor(self, lower: NDArray[np.float64]) -> None:
        """Keep the k best lower limits of each query, each of another row; the k-th is the floor."""
        both = np.concatenate([self._tops, lower], axis=1)
        self._tops = np.partition(both, both.shape[1] - self._k, axis=1)[:, -self._k :]
        self._floor = np.maximum(self._floor, self._tops.min(axis=1))

    def _settle(self) -> None:
        """Score what waits and still reaches the floor, and keep the k best of each query."""
        if not self._waiting:
            return
        query, row, lower, upper = (
            np.concatenate(parts)
            for parts in zip(
                *((pairs.query, pairs.row, lower, upper) for pairs, lower, upper in self._pending), strict=True
            )
        )
        self._pending, self._waiting = [], 0
        floor = np.maximum(self._floor, kth_of(query, lower, self._k, len(self._queries)))
        reach = upper >= floor[query]
        query, row = query[reach], row[reach]
        row = self._named(row)
        scored = scores_of(self._exact, row, self._queries, query)
        self._best, self._scores = k_best(
            Pairs(np.concatenate([self._best.query, query]), np.concatenate([self._best.row, row])),
            np.concatenate([self._scores, scored]),
            self._k,
        )
        self._floor = np.maximum(floor, kth_of(self._best.query, self._scores, self._k, len(self._queries)))


def split_of(tiles: int, k: int) -> int:
    """Return into how many parts tiles are cut, a power of two, so that there are enough of them for `k` hits."""
    split = 1
    while split < TILE and tiles * split < TILES_PER_HIT * k:
        split *= 2
    return split


def scratch(dtype: torch.dtype, size: int) -> torch.Tensor:
    """Return this thread's room for scores, as it was left: fresh pages would cost more than filling them."""
    import torch

    room: torch.Tensor | None = getattr(_scratch, "room", None)
    if room is None or room.numel() < size * dtype.itemsize:
        room = _scratch.room = torch.empty(size * dtype.itemsize, dtype=torch.uint8)
    return room[: size * dtype.itemsize].view(dtype)
