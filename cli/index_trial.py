"""An index built over a corpus to see how it does: its recall on questions, its size, and the time a query takes."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from rag.approximate import ApproximateIndex
from rag.index_plan import PPM, IndexPlan, Kind, MeasuredRecall
from rag.measure import Questions, tuned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.model import Index

TIMED_QUERIES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was seen."""

    plan: IndexPlan  # with the effort that was chosen by measuring
    recall: MeasuredRecall | None  # None: an exact index misses nothing, so there is nothing to measure
    structure_bytes: int  # beside the exact index
    build_s: float
    query_us: int  # median of single queries

    @property
    def recall_ppm(self) -> int:
        """Return the recall in millionths."""
        return PPM if self.recall is None else self.recall.recall_ppm


def tried(
    vectors: NDArray[np.float32], exact: Index, plan: IndexPlan, questions: Questions, *, k: int, recall_ppm: int
) -> Trial:
    """Build, tune and time an index of a plan. Raises UnusablePlan."""
    if plan.kind is Kind.EXACT:
        return Trial(plan=plan, recall=None, structure_bytes=0, build_s=0.0, query_us=_query_us(exact, questions, k))
    started = time.perf_counter()
    built = ApproximateIndex.build(vectors, plan, exact=exact, threads=os.cpu_count() or 1)
    build_s = time.perf_counter() - started
    index = tuned(built, exact, questions, k=k, recall_ppm=recall_ppm)
    return Trial(
        plan=index.plan,
        recall=index.recall,
        structure_bytes=len(index.to_bytes()),
        build_s=build_s,
        query_us=_query_us(index, questions, k),
    )


def _query_us(index: Index, questions: Questions, k: int) -> int:
    taken = []
    for query in questions.vectors[:TIMED_QUERIES]:
        started = time.perf_counter()
        index.search(query[None], k=k, allowed=None)
        taken.append(time.perf_counter() - started)
    return round(1e6 * median(taken))
