"""Exact search against FAISS's flat index and against torch's plain product with topk: same vectors, same answers.

The vectors are the sentences of SciFact's abstracts and, where more are wanted than there are, the same again with
noise of 0.03 an element added and brought to length 1 (at 384 dimensions that is over half of their length: they are
no near-duplicates, and their neighborhoods are emptier than those of real text). Queries are SciFact's claims.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import torch

from benchmarks.harness import Row, result, row, seconds_in_turn
from benchmarks.sentences import sentences
from rag.allowed import Allowed
from rag.exact import TileIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

K = 10
SMALL = 46_000
LARGE = 500_000
BATCHES = (1, 16, 64, 256)
SCALE = (10_000, 30_000, 100_000, 300_000, 1_000_000)
SHARES = (0.01, 0.5)
NOISE = 0.03
SEED = 5
FLAT_GOALS = {1: 3.0, 64: 25.0}  # at LARGE, on two cores with AMX
TORCH_GOALS = {64: 5.0}
FILTER_GOAL = 1 / 1.2
TOLERANCE = 1e-5  # of a float32 score
FLAT = "faiss IndexFlatIP"
PLAIN = "torch fp32 product + topk"


def run() -> dict[str, Any]:
    """Measure two sizes in turn with their peers, filters, and how time and memory grow."""
    real = sentences()
    queries = np.resize(real.queries, (max(BATCHES), real.queries.shape[1]))
    rows = _against_peers(vectors_of(real.vectors, SMALL), queries, goals=False)
    large = vectors_of(real.vectors, LARGE)
    rows += _against_peers(large, queries, goals=True)
    rows += _filtered(large, queries)
    del large
    return result("retrieve", rows) | {"scale": [asdict(one) for one in _scale(real.vectors, queries)]}


def vectors_of(real: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return `count` unit vectors: the real ones, then real ones with noise."""
    rng = np.random.default_rng(SEED)
    vectors = np.resize(real, (count, real.shape[1]))
    for start in range(len(real), count, len(real)):
        part = vectors[start : start + len(real)]
        part += rng.standard_normal(part.shape, dtype=np.float32) * np.float32(NOISE)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def _against_peers(vectors: NDArray[np.float32], queries: NDArray[np.float32], *, goals: bool) -> list[Row]:
    index = TileIndex(vectors)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    plain = torch.from_numpy(vectors)
    rows = []
    for batch in BATCHES:
        asked = queries[:batch]
        runs: list[Callable[[], object]] = [
            partial(index.search, asked, k=K),
            partial(flat.search, asked, K),
            partial(topk, plain, torch.from_numpy(asked)),
        ]
        require_same(index, flat, asked)
        ours, theirs, product = seconds_in_turn(*runs, rounds=rounds_for(batch * len(vectors)))
        what = f"exact search of {len(vectors):,} passages, batch {batch}"
        flat_goal, plain_goal = (FLAT_GOALS.get(batch), TORCH_GOALS.get(batch)) if goals else (None, None)
        rows += [
            row(what, "ms", 1e3 * ours, FLAT, 1e3 * theirs, goal=flat_goal, less=True),
            row(what, "ms", 1e3 * ours, PLAIN, 1e3 * product, goal=plain_goal, less=True),
        ]
    return rows


def rounds_for(pairs: int) -> int:
    """Return how often a run is repeated: those that take seconds, less often."""
    return 9 if pairs <= LARGE else 3 if pairs <= 64 * LARGE else 1


def topk(vectors: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
    """Search as anyone would with torch alone."""
    return torch.topk(queries @ vectors.t(), K, dim=1).indices


def require_same(index: TileIndex, flat: Any, queries: NDArray[np.float32]) -> None:
    """Assert that both find the same: equal scores, up to float32, rank by rank."""
    scores, _ = flat.search(queries, K)
    ours = np.array([[hit.score for hit in hits] for hits in index.search(queries, k=K)])
    assert np.abs(ours - scores).max() < TOLERANCE


def _filtered(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> list[Row]:
    index = TileIndex(vectors)
    rng = np.random.default_rng(SEED)
    sets = [Allowed.from_mask(rng.random(len(vectors)) < share) for share in SHARES]
    rows = []
    for batch in (1, 64):
        asked = queries[:batch]
        runs = [partial(index.search, asked, k=K, allowed=allowed) for allowed in (None, *sets)]
        unfiltered, *filtered = seconds_in_turn(*runs)
        for share, taken in zip(SHARES, filtered, strict=True):
            what = f"search of {len(vectors):,} passages, {share:.0%} allowed, batch {batch}"
            rows.append(row(what, "ms", 1e3 * taken, "unfiltered", 1e3 * unfiltered, goal=FILTER_GOAL, less=True))
    return rows


def _scale(real: NDArray[np.float32], queries: NDArray[np.float32]) -> list[Row]:
    rows = []
    first: dict[int, float] = {}  # by batch, at the smallest size: a ratio of 1 is linear
    for count in SCALE:
        vectors = vectors_of(real, count)
        index = TileIndex(vectors)
        runs = [partial(index.search, queries[:batch], k=K) for batch in (1, 64)]
        for batch, taken in zip((1, 64), seconds_in_turn(*runs, rounds=5), strict=True):
            each = 1e9 * taken / batch / count
            least = first.setdefault(batch, each)
            what = f"time a query for each of {count:,} passages, batch {batch}"
            rows.append(row(what, "ns", each, f"the same at {SCALE[0]:,}", least, goal=None, less=True))
        what = f"memory for each of {count:,} passages"
        rows.append(row(what, "B", index.nbytes / count, "float32", vectors.shape[1] * 4, goal=None, less=True))
    return rows
