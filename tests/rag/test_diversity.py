"""Maximal marginal relevance against its definition, written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.diversity import diversified


def unit_rows(count: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def by_definition(relevance: list[float], vectors: NDArray[np.float32], k: int, thousandths: int) -> list[int]:
    chosen = [max(range(len(relevance)), key=lambda at: (relevance[at], -at))]
    similarity = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    while len(chosen) < min(k, len(relevance)):
        worth = {
            at: thousandths * relevance[at] - (1000 - thousandths) * max(similarity[at, other] for other in chosen)
            for at in range(len(relevance))
            if at not in chosen
        }
        chosen.append(max(worth, key=lambda at: (round(worth[at], 9), -at)))
    return chosen


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 5), st.integers(1, 30), st.integers(0, 1000))
def test_choices_are_those_of_the_definition(count: int, seed: int, k: int, thousandths: int) -> None:
    vectors = unit_rows(count, seed)
    relevance = vectors.astype(np.float64) @ unit_rows(1, 99)[0].astype(np.float64)
    assert diversified(relevance, vectors, k=k, thousandths=thousandths) == by_definition(
        relevance.tolist(), vectors, k, thousandths
    )


def test_relevance_alone_is_the_order_of_relevance() -> None:
    relevance = np.array([0.1, 0.9, 0.5, 0.9])
    assert diversified(relevance, unit_rows(4, 0), k=4, thousandths=1000) == [1, 3, 2, 0]


def test_a_copy_of_the_best_comes_after_something_new() -> None:
    first, other = unit_rows(2, 3)
    vectors = np.stack([first, first, other])
    relevance = np.array([0.9, 0.9, 0.5])
    assert diversified(relevance, vectors, k=3, thousandths=500) == [0, 2, 1]
    assert diversified(relevance, vectors, k=2, thousandths=1000) == [0, 1]


def test_no_candidates_are_no_choices() -> None:
    assert diversified(np.empty(0), np.empty((0, 16), dtype=np.float32), k=5, thousandths=500) == []


@pytest.mark.parametrize(("k", "thousandths"), [(0, 500), (101, 500), (1, -1), (1, 1001)])
def test_what_is_out_of_range_is_refused(k: int, thousandths: int) -> None:
    with pytest.raises(ValueError, match="k must be"):
        diversified(np.ones(2), unit_rows(2, 0), k=k, thousandths=thousandths)


@pytest.mark.parametrize(("relevances", "vectors"), [(2, 3), (1001, 1001)])
def test_relevances_and_vectors_have_to_be_of_the_same_few_rows(relevances: int, vectors: int) -> None:
    with pytest.raises(ValueError, match="rows"):
        diversified(np.ones(relevances), unit_rows(vectors, 0), k=1, thousandths=500)
