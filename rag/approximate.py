"""Search among candidates only: FAISS's inverted lists or graph find them, an exact index scores them.

Every score is exact, in float64 and one fixed order, and ties come in order of row; what may be missed is a row that
was no candidate. The share found was measured, and goes with the index.

A question with allowed rows, all of them included, never meets the structure: a forbidden row shapes its cells and
links, so it could push a permitted one out (rule O4). The exact index answers it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rag import faiss_structures
from rag.errors import DimensionMismatch
from rag.index_plan import Device, IndexPlan, Kind, MeasuredRecall, UnusablePlan
from rag.model import Hit, Index
from rag.scoring import best, checked_matrix, require_k, require_own

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.allowed import Allowed

MARGIN = 16  # candidates beyond k, so that float32's rounding puts no row out
CANDIDATES_MAX = 2048  # of a query; FAISS on a GPU finds no more
# From 20 queries on FAISS assigns them to cells with a matrix product, whose rounding depends on the batch; below, a
# query is assigned alone, so its answer does not depend on who asks beside it (rule R5). On a GPU this cannot be had.
CPU_QUERIES = 16
GPU_QUERIES = 1024
THREADS_MAX = 1024


class ApproximateIndex:
    """An `Index` whose unfiltered answers may miss rows. On the CPU threads may search at once; on a GPU one alone."""

    def __init__(self, exact: Index, structure: Any, plan: IndexPlan, recall: MeasuredRecall | None) -> None:
        """Take what `build` or `from_bytes` made, on the plan's device."""
        self.plan, self.recall = plan, recall
        self.count, self.dimension = plan.count, plan.dimension
        self._exact, self._structure = exact, structure

    @classmethod
    def build(
        cls, vectors: NDArray[np.float32], plan: IndexPlan, *, exact: Index, threads: int = 1
    ) -> ApproximateIndex:
        """Train on `vectors`, shape (count, dimension), and take them in.

        Args:
            exact: over the same vectors; it scores candidates and answers questions with allowed rows. Where its rows
                change, this index must be built anew.
            threads: of the training; the same number and seed give the same index, byte for byte, on the CPU.
        Raises: UnusablePlan, DimensionMismatch, UnusableVector.
        """
        if not 1 <= threads <= THREADS_MAX:
            raise ValueError(f"threads must be 1 to {THREADS_MAX}, got {threads}")
        _require_same(exact, plan)
        vectors = checked_matrix(vectors, plan.dimension)
        if len(vectors) != plan.count:
            raise DimensionMismatch(f"the plan is for {plan.count} vectors, got {len(vectors)}")
        return cls(exact, faiss_structures.trained(vectors, plan, threads=threads), plan, None)

    @classmethod
    def from_bytes(
        cls, data: bytes, plan: IndexPlan, *, exact: Index, recall: MeasuredRecall | None
    ) -> ApproximateIndex:
        """Return the index that `to_bytes` wrote. Give it only bytes that were authenticated, with plan and recall.

        Raises: UnusablePlan: the bytes are not those of this plan, or `exact` is over other vectors.
        """
        _require_same(exact, plan)
        structure = faiss_structures.read(data, plan)
        placed = faiss_structures.on_gpu(structure) if plan.device is Device.GPU else structure
        return cls(exact, placed, plan, recall)

    def to_bytes(self) -> bytes:
        """Return the structure, without the exact index; plan and recall have records of their own."""
        return faiss_structures.written(self._structure, self.plan)

    def with_effort(self, effort: int) -> ApproximateIndex:
        """Return the same index looking harder, or less hard; its recall is not measured yet.

        Args:
            effort: `nprobe` or `ef_search`.
        Raises: UnusablePlan: out of range.
        """
        is_graph = self.plan.kind is Kind.HNSW
        plan = replace(self.plan, ef_search=effort) if is_graph else replace(self.plan, nprobe=effort)
        return ApproximateIndex(self._exact, self._structure, plan, None)

    def with_recall(self, recall: MeasuredRecall) -> ApproximateIndex:
        """Return the same index with what was measured on it."""
        return ApproximateIndex(self._exact, self._structure, self.plan, recall)

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        """Return for each query the `k` best rows that were candidates; see `rag.model.Index.search`.

        With `allowed` the answer is exact, and computed from the allowed rows alone.
        """
        require_k(k)
        require_own(allowed, self.count)
        queries = checked_matrix(queries, self.dimension)
        if allowed is not None:
            return self._exact.search(queries, k=k, allowed=allowed)
        at_once = GPU_QUERIES if self.plan.device is Device.GPU else CPU_QUERIES
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), at_once):
            asked = queries[start : start + at_once]
            hits += [
                self._ranked(query, rows, k) for query, rows in zip(asked, self._candidates(asked, k), strict=True)
            ]
        return hits

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows; see `rag.model.Index.vectors`."""
        return self._exact.vectors(rows)

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the exact scores of given rows; see `rag.model.Index.scores`."""
        return self._exact.scores(query, rows)

    def _candidates(self, queries: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Return rows to score, shape (len(queries), fetched); -1 stands where FAISS found none."""
        fetched = min(max(k * self.plan.oversampling, k + MARGIN), CANDIDATES_MAX, self.count)
        faiss = faiss_structures.faiss_module()
        if self.plan.kind is Kind.HNSW:
            parameters = faiss.SearchParametersHNSW(efSearch=max(self.plan.ef_search, fetched))
        else:
            parameters = faiss.SearchParametersIVF(nprobe=self.plan.nprobe)
        _, rows = self._structure.search(queries, fetched, params=parameters)
        found: NDArray[np.int64] = rows
        return found

    def _ranked(self, query: NDArray[np.float32], candidates: NDArray[np.int64], k: int) -> list[Hit]:
        """Return the best candidates; where there are too few of them, the exact answer."""
        rows = candidates[candidates >= 0]
        if len(rows) < min(k, self.count):
            return self._exact.search(query[None], k=k, allowed=None)[0]
        return best(rows, np.array(self._exact.scores(query, rows), dtype=np.float64), k)


def _require_same(exact: Index, plan: IndexPlan) -> None:
    if plan.kind is Kind.EXACT:
        raise UnusablePlan("the plan is for an exact index, which has no structure to build")
    if (exact.count, exact.dimension) != (plan.count, plan.dimension):
        held = f"{exact.count} vectors of dimension {exact.dimension}"
        raise UnusablePlan(f"the exact index holds {held}; the plan says {plan.count} of dimension {plan.dimension}")
