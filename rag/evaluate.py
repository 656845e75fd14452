"""How good a ranking is: nDCG@10, recall and MRR as trec_eval defines them, and how far two rankings agree.

Only queries with at least one relevant document count, and one that a run leaves out scores 0: trec_eval's `-c`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, log2
from typing import TypeAlias

DEPTH = 10
RECALL_DEPTH = 100

Run: TypeAlias = Mapping[str, Sequence[str]]  # query id to document ids, best first
Qrels: TypeAlias = Mapping[str, Mapping[str, int]]  # query id to document id to grade; above 0 is relevant


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Means over the judged queries, each in [0, 1]."""

    queries: int
    ndcg_at_10: float
    recall_at_10: float
    recall_at_100: float
    mrr_at_10: float


def evaluate(run: Run, qrels: Qrels) -> Metrics:
    """Return the means over the queries that have a relevant document.

    Args:
        run: rankings of distinct documents; queries without a judgement are left aside.
    Raises: ValueError: a document is ranked twice, or no query has a relevant document.
    """
    judged = [query for query, grades in qrels.items() if any(grade > 0 for grade in grades.values())]
    if not judged:
        raise ValueError("no query has a relevant document")
    rankings = [list(run.get(query, ())) for query in judged]
    if any(len(set(ranking)) != len(ranking) for ranking in rankings):
        raise ValueError("a ranking names a document twice")
    pairs = [(ranking, qrels[query]) for query, ranking in zip(judged, rankings, strict=True)]
    return Metrics(
        queries=len(judged),
        ndcg_at_10=_mean([ndcg(ranking, grades, depth=DEPTH) for ranking, grades in pairs]),
        recall_at_10=_mean([recall(ranking, grades, depth=DEPTH) for ranking, grades in pairs]),
        recall_at_100=_mean([recall(ranking, grades, depth=RECALL_DEPTH) for ranking, grades in pairs]),
        mrr_at_10=_mean([reciprocal_rank(ranking, grades, depth=DEPTH) for ranking, grades in pairs]),
    )


def ndcg(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Gain is the grade itself, the discount log2(rank + 1), the ideal all positive grades in descending order."""
    ideal = _discounted(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth])
    return _discounted([max(grades.get(document, 0), 0) for document in ranking[:depth]]) / ideal


def recall(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return the share of all relevant documents found within `depth`, even where there are more than `depth`."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], *, depth: int) -> float:
    """Return 1 / rank of the first relevant document within `depth`, or 0."""
    for rank, document in enumerate(ranking[:depth], start=1):
        if grades.get(document, 0) > 0:
            return 1 / rank
    return 0.0


def agreement(first: Sequence[Sequence[Hashable]], second: Sequence[Sequence[Hashable]]) -> float:
    """Return the share of queries whose first `DEPTH` results are the same, in the same order.

    Raises: ValueError: the two do not answer the same, positive number of queries.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"agreement needs two runs over the same queries, got {len(first)} and {len(second)}")
    same = sum(list(a[:DEPTH]) == list(b[:DEPTH]) for a, b in zip(first, second, strict=True))
    return same / len(first)


def _discounted(gains: Sequence[int]) -> float:
    return fsum(gain / log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _mean(values: Sequence[float]) -> float:
    return fsum(values) / len(values)
