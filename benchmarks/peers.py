"""Our indexes beside those people use without any privacy: the same real vectors, in one process, in one run.

Every sentence of SciFact's abstracts is a passage, its claims are the queries, asked one at a time. An approximate
index is asked with several efforts; at equal recall, whoever answers more queries a second is faster.

`coffer bench peers --save` measures, and writes the result, the plot and the table of docs/benchmarks.md.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import Row, result, row, tell
from benchmarks.peer_engines import ENGINES, Engine, K
from benchmarks.sentences import sentences
from rag.exact import TileIndex

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 5
ROUND_S = 0.15  # about how long one engine is asked with one effort before the next has its turn
QUERIES_LEAST = 5
SLOW_S = 0.01  # a query that takes longer is asked of fewer questions, so that the run stays short
SLOW_QUERIES = 60
RECALLS = (0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One engine with one effort."""

    engine: str
    is_ours: bool
    is_exact: bool
    effort: int
    recall: float  # of the K best, averaged over the queries
    queries: int  # with which the recall was measured
    per_s: float  # queries answered in a second, one at a time: the median of the rounds
    build_s: float


def run() -> dict[str, Any]:
    """Measure all engines that are installed; those that are not are named."""
    found = sentences()
    exact = TileIndex(found.vectors)
    truth = [{hit.index for hit in hits} for hits in exact.search(found.queries, k=K)]
    engines, absent = _built(found.vectors)
    try:
        points = _measured(engines, found.queries, truth)
    finally:
        for engine, _ in engines:
            engine.close()
    return result("peers", rows_of(points)) | {
        "passages": len(found.vectors),
        "dimension": int(found.vectors.shape[1]),
        "k": K,
        "absent": absent,
        "points": [asdict(point) for point in points],
    }


def rows_of(points: list[Point]) -> list[Row]:
    """Return ours beside each peer: exact with exact, and graph with graph at each recall both reach."""
    rows = []
    (ours,) = (point for point in points if point.is_ours and point.is_exact)
    for peer in (point for point in points if point.is_exact and not point.is_ours):
        rows.append(
            row("exact, one query at a time", "q/s", ours.per_s, peer.engine, peer.per_s, goal=None, less=False)
        )
    for least in RECALLS:
        what = f"HNSW, recall@{K} at least {least:.0%}"
        best = {name: fastest_at(points, name, least) for name in dict.fromkeys(point.engine for point in points)}
        mine = best.get("ours, HNSW")
        for name, theirs in best.items():
            if mine is not None and theirs is not None and not theirs.is_ours and not theirs.is_exact:
                rows.append(row(what, "q/s", mine.per_s, name, theirs.per_s, goal=None, less=False))
    return rows


def fastest_at(points: list[Point], engine: str, recall: float) -> Point | None:
    """Return the engine's fastest point with at least a recall, or nothing where it has none."""
    enough = [point for point in points if point.engine == engine and point.recall >= recall]
    return max(enough, key=lambda point: point.per_s, default=None)


def _built(vectors: NDArray[np.float32]) -> tuple[list[tuple[Engine, float]], list[str]]:
    """Return the engines with the seconds they took to build, and the packages that are not installed."""
    engines, absent = [], []
    for build in ENGINES:
        started = time.perf_counter()
        try:
            engine = build(vectors)
        except ImportError as error:
            absent.append(f"{build.__name__} ({error.name} is not installed; see the extra `peers`)")
            continue
        engines.append((engine, time.perf_counter() - started))
        tell(f"{engine.name}: built in {engines[-1][1]:.1f} s")
    return engines, absent


def _measured(engines: list[tuple[Engine, float]], queries: NDArray[np.float32], truth: list[set[int]]) -> list[Point]:
    """Return every engine with every effort; they take turns, so that a slow minute slows all of them."""
    tried = [(engine, effort, build_s) for engine, build_s in engines for effort in engine.efforts]
    recalls, asked_each, taken = [], [], [list[float]() for _ in tried]
    for engine, effort, _ in tried:
        recall, asked, seconds = _recall(engine, effort, queries, truth)
        recalls.append((recall, asked))
        asked_each.append(max(QUERIES_LEAST, min(len(queries), int(ROUND_S / seconds))))
    for turn in range(ROUNDS):
        tell(f"round {turn + 1} of {ROUNDS}")
        for (engine, effort, _), count, times in zip(tried, asked_each, taken, strict=True):
            engine.look(effort)
            times.append(_seconds(lambda: [engine.ask(query[None]) for query in queries[:count]]) / count)  # noqa: B023
    return [
        Point(
            engine=engine.name,
            is_ours=engine.is_ours,
            is_exact=engine.is_exact,
            effort=effort,
            recall=round(recall, 5),
            queries=asked,
            per_s=round(1 / statistics.median(times), 1),
            build_s=round(build_s, 1),
        )
        for (engine, effort, build_s), (recall, asked), times in zip(tried, recalls, taken, strict=True)
    ]


def _recall(
    engine: Engine, effort: int, queries: NDArray[np.float32], truth: list[set[int]]
) -> tuple[float, int, float]:
    """Return the recall, how many queries it was measured with, and about how long one takes."""
    engine.look(effort)
    engine.ask(queries[:1])
    seconds = _seconds(lambda: engine.ask(queries[:1]))
    asked = SLOW_QUERIES if seconds > SLOW_S else len(queries)
    shares = [
        len(right.intersection(engine.ask(query[None]))) / len(right)
        for query, right in zip(queries[:asked], truth, strict=False)
    ]
    return statistics.fmean(shares), len(shares), seconds


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
