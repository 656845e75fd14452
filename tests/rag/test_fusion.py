"""Reciprocal rank fusion against exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.fusion import RANKS_MAX, fused

rankings = st.lists(st.lists(st.integers(0, 30), unique=True, max_size=20), max_size=4)


def by_fractions(given_: Sequence[Sequence[int]], weights: Sequence[int], constant: int) -> list[tuple[int, Fraction]]:
    sums: dict[int, Fraction] = {}
    for ranking, weight in zip(given_, weights, strict=True):
        for rank, row in enumerate(ranking, start=1):
            sums[row] = sums.get(row, Fraction(0)) + Fraction(weight, constant + rank)
    return sorted(sums.items(), key=lambda item: (-item[1], item[0]))


@settings(deadline=None)
@given(rankings, st.data(), st.integers(1, 100), st.integers(1, 40))
def test_order_and_scores_are_those_of_exact_fractions(
    given_: list[list[int]], data: st.DataObject, constant: int, k: int
) -> None:
    weights = data.draw(st.lists(st.integers(1, 5), min_size=len(given_), max_size=len(given_)))
    expected = by_fractions(given_, weights, constant)[:k]
    found = fused(given_, k=k, weights=weights, constant=constant)
    assert [(hit.row, hit.score) for hit in found] == [(row, float(score)) for row, score in expected]


def test_the_papers_constant_is_the_default() -> None:
    found = fused([["a", "b"], ["b"]], k=2)
    both = float(Fraction(1, 61) + Fraction(1, 62))
    assert [(hit.row, hit.score) for hit in found] == [("b", both), ("a", 1 / 61)]


def test_different_sums_of_the_same_size_tie_by_row() -> None:
    # 1/3 + 1/6 = 1/2, which sums of rounded numbers may or may not see.
    filler = [100 + number for number in range(6)]
    first = [filler[0], 1, *filler[1:]]
    second = [*filler[:4], 1]
    third = [0]
    found = fused([first, second, third], k=20, constant=1)
    score = {hit.row: hit.score for hit in found}
    assert score[0] == score[1] == 0.5
    order = [hit.row for hit in found]
    assert order.index(0) + 1 == order.index(1)


def test_rows_of_several_datasets_are_pairs() -> None:
    found = fused([[(1, 0), (0, 5)], [(0, 5), (1, 0)]], k=5)
    assert [hit.row for hit in found] == [(0, 5), (1, 0)]


def test_the_longest_rankings_are_still_exact() -> None:
    ranking = list(range(RANKS_MAX))
    found = fused([ranking, ranking[::-1]], k=RANKS_MAX)
    assert [hit.row for hit in found] == [row for row, _ in by_fractions([ranking, ranking[::-1]], (1, 1), 60)]


WRONG: dict[str, dict[str, Any]] = {
    "repetition": {"rankings": [[1, 1]]},
    "too long": {"rankings": [list(range(RANKS_MAX + 1))]},
    "too many": {"rankings": [[1]] * 17},
    "weights missing": {"rankings": [[1], [2]], "weights": [1]},
    "weight of zero": {"rankings": [[1]], "weights": [0]},
    "broken weight": {"rankings": [[1]], "weights": [0.5]},
    "constant": {"rankings": [[1]], "constant": 0},
    "k": {"rankings": [[1]], "k": 0},
}


@pytest.mark.parametrize("name", WRONG)
def test_misuse_is_refused(name: str) -> None:
    arguments = {"k": 1, **WRONG[name]}
    with pytest.raises(ValueError, match=r"rank|weight|constant|k must"):
        fused(arguments.pop("rankings"), **arguments)
