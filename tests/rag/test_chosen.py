"""The index that settings choose for a dataset: exact, or approximate and measured, whatever the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rag.allowed import Allowed
from rag.approximate import ApproximateIndex
from rag.chosen import EXACT, EXACT_NAME, PASSAGES_MIN, IndexChoice, dispatched, made_index
from rag.exact import TileIndex
from rag.index_plan import Kind, UnusablePlan

COUNT = 1500
_random = np.random.default_rng(5)
VECTORS = _random.standard_normal((COUNT, 32)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:9] + _random.standard_normal((9, 32)).astype(np.float32) * 0.05
HNSW = IndexChoice(kind=Kind.HNSW, recall_ppm=900_000, passages_from=PASSAGES_MIN)


def test_exact_is_what_nobody_has_to_ask_for() -> None:
    made = made_index(VECTORS)
    assert isinstance(made, TileIndex)
    assert EXACT.name == IndexChoice(device="cuda").name == EXACT_NAME


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.EXACT])
def test_a_large_dataset_gets_the_approximate_index_with_its_measured_recall(kind: Kind) -> None:
    choice = IndexChoice(kind=kind, recall_ppm=900_000, passages_from=PASSAGES_MIN)
    made = made_index(VECTORS, choice)
    assert isinstance(made, ApproximateIndex)
    assert made.plan.kind is kind
    assert made.recall is not None
    assert made.recall.recall_ppm >= 900_000
    assert made.recall.queries == 200  # none of those that chose the effort
    assert isinstance(made_index(VECTORS[: PASSAGES_MIN - 1], choice), TileIndex)


def test_what_is_allowed_only_in_part_is_searched_exactly() -> None:
    allowed = Allowed(range(0, COUNT, 3), total=COUNT)
    exact, made = made_index(VECTORS), made_index(VECTORS, HNSW)
    assert made.search(QUERIES, k=7, allowed=allowed) == exact.search(QUERIES, k=7, allowed=allowed)


def test_the_same_settings_give_the_same_answers_each_time() -> None:
    first, second = made_index(VECTORS, HNSW), made_index(VECTORS, HNSW)
    assert first.search(QUERIES, k=10, allowed=None) == second.search(QUERIES, k=10, allowed=None)


def test_an_index_that_one_thread_owns_answers_as_one_that_all_may_use() -> None:
    """On a GPU it has to be owned; the CPU goes the same way here."""
    exact = made_index(VECTORS)
    owned = dispatched(VECTORS, "cpu")
    allowed = Allowed(range(40), total=COUNT)
    for among in (None, allowed):
        assert owned.search(QUERIES, k=5, allowed=among) == exact.search(QUERIES, k=5, allowed=among)
    rows = np.array([3, 1])
    assert owned.vectors(rows).tobytes() == exact.vectors(rows).tobytes()
    assert owned.scores(QUERIES[0], rows) == exact.scores(QUERIES[0], rows)


@pytest.mark.parametrize(
    "fields",
    [
        {"recall_ppm": 0},
        {"recall_ppm": 1_000_000},
        {"passages_from": PASSAGES_MIN - 1},
        {"device": "cuda"},
    ],
)
def test_what_cannot_be_is_refused_when_it_is_chosen(fields: dict[str, Any]) -> None:
    with pytest.raises(UnusablePlan):
        IndexChoice(kind=Kind.HNSW, **fields)


def test_every_choice_that_changes_answers_has_a_name_of_its_own() -> None:
    choices = [EXACT, HNSW]
    choices += [IndexChoice(kind=kind) for kind in (Kind.IVF_FLAT, Kind.IVF_SQ8)]
    choices += [
        IndexChoice(kind=Kind.IVF_FLAT, recall_ppm=990_000),
        IndexChoice(kind=Kind.IVF_FLAT, passages_from=5000),
    ]
    assert len({choice.name for choice in choices}) == len(choices)
