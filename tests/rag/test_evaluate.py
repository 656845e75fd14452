"""Metrics against definitions written out another way, and against a value worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate import agreement, evaluate

DOCUMENTS = [f"d{number}" for number in range(15)]
rankings = st.lists(st.sampled_from(DOCUMENTS), unique=True, max_size=15)
judgements = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(-1, 3), max_size=15)


def naive(run: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> dict[str, float]:
    """Sum over ranks with a positional table of grades; nothing is shared with the code under test."""
    totals = {"ndcg_at_10": 0.0, "recall_at_10": 0.0, "recall_at_100": 0.0, "mrr_at_10": 0.0}
    count = 0
    for query, grades in qrels.items():
        positive = {document: grade for document, grade in grades.items() if grade > 0}
        if not positive:
            continue
        count += 1
        ranks = {document: rank for rank, document in enumerate(run.get(query, []))}
        found = {document: rank for document, rank in ranks.items() if document in positive}
        gain = sum(
            positive[document] * math.log(2) / math.log(rank + 2) for document, rank in found.items() if rank < 10
        )
        best = sorted(positive.values())[::-1]
        ideal = sum(best[rank] * math.log(2) / math.log(rank + 2) for rank in range(min(10, len(best))))
        totals["ndcg_at_10"] += gain / ideal
        totals["recall_at_10"] += sum(rank < 10 for rank in found.values()) / len(positive)
        totals["recall_at_100"] += len(found) / len(positive)
        first = min(found.values(), default=99)
        totals["mrr_at_10"] += 1 / (first + 1) if first < 10 else 0
    return {name: total / count for name, total in totals.items()}


@given(run=st.dictionaries(st.sampled_from("abc"), rankings), qrels=st.dictionaries(st.sampled_from("abc"), judgements))
def test_metrics_equal_their_definitions(run: dict[str, list[str]], qrels: dict[str, dict[str, int]]) -> None:
    if not any(grade > 0 for grades in qrels.values() for grade in grades.values()):
        with pytest.raises(ValueError, match="relevant"):
            evaluate(run, qrels)
        return
    metrics = evaluate(run, qrels)
    for name, expected in naive(run, qrels).items():
        assert getattr(metrics, name) == pytest.approx(expected, abs=1e-12), name


def test_a_ranking_worked_out_by_hand() -> None:
    metrics = evaluate({"q": ["x", "a", "y", "b"]}, {"q": {"a": 1, "b": 2, "c": 1}})
    gain = 1 / 1.584962500721156 + 2 / 2.321928094887362  # log2(3), log2(5)
    ideal = 2 + 1 / 1.584962500721156 + 1 / 2
    assert metrics.ndcg_at_10 == pytest.approx(gain / ideal)
    assert metrics.recall_at_10 == pytest.approx(2 / 3)
    assert metrics.mrr_at_10 == 0.5


def test_recall_at_100_looks_further_than_recall_at_10() -> None:
    ranking = [f"x{number}" for number in range(50)] + ["a"]
    metrics = evaluate({"q": ranking}, {"q": {"a": 1}})
    assert (metrics.recall_at_10, metrics.recall_at_100, metrics.mrr_at_10) == (0.0, 1.0, 0.0)


def test_unjudged_queries_do_not_count_and_unanswered_ones_score_zero() -> None:
    qrels = {"answered": {"a": 1}, "unanswered": {"a": 1}, "nothing relevant": {"a": 0}}
    metrics = evaluate({"answered": ["a"], "nothing relevant": ["a"], "unknown": ["a"]}, qrels)
    assert (metrics.queries, metrics.ndcg_at_10) == (2, 0.5)


def test_a_document_ranked_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        evaluate({"q": ["a", "a"]}, {"q": {"a": 1}})


def test_agreement_counts_equal_top_tens_in_order() -> None:
    ten = list(range(10))
    swapped = [1, 0, *ten[2:]]
    assert agreement([[*ten, 10], ten, ten, []], [[*ten, 99], swapped, ten[:9], []]) == 0.5


@pytest.mark.parametrize(("first", "second"), [([], []), ([[1]], [[1], [2]])], ids=["none", "other number"])
def test_agreement_needs_the_same_queries(first: list[list[int]], second: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="same queries"):
        agreement(first, second)
