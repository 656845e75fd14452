"""Rows, each with the query that it may answer: what a search keeps between its product and its hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.model import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST, MOST = -1e30, 1e30  # beyond every score: vectors are at most `NORM_MAX` long


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows, each with the query that it may answer."""

    query: NDArray[np.int64]
    row: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)


def k_best(pairs: Pairs, scores: NDArray[np.float64], k: int) -> tuple[Pairs, NDArray[np.float64]]:
    """Return the `k` best pairs of each query, by query, then descending score, ties by ascending row."""
    order = np.lexsort((pairs.row, -scores, pairs.query))
    kept = order[rank_of(pairs.query[order]) < k]
    return Pairs(pairs.query[kept], pairs.row[kept]), scores[kept]


def hits_of(pairs: Pairs, scores: NDArray[np.float64], queries: int) -> list[list[Hit]]:
    """Return pairs as hits of each query, in the order that they are in."""
    found: list[list[Hit]] = [[] for _ in range(queries)]
    for query, row, score in zip(pairs.query.tolist(), pairs.row.tolist(), scores.tolist(), strict=True):
        found[query].append(Hit(row, score))
    return found


def rank_of(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each element's place within its group, from 0; equal numbers stand together."""
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(group) else np.empty(0, np.int64)
    sizes = np.diff(np.r_[starts, len(group)])
    return np.asarray(np.arange(len(group)) - np.repeat(starts, sizes), dtype=np.int64)


def kth_of(group: NDArray[np.int64], values: NDArray[np.float64], k: int, groups: int) -> NDArray[np.float64]:
    """Return the k-th largest value of each group, or `LEAST` where it has fewer."""
    order = np.lexsort((-values, group))
    kth = np.full(groups, LEAST)
    at = order[rank_of(group[order]) == k - 1]
    kth[group[at]] = values[at]
    return kth
