"""What every index does, against brute force in float64: near-ties, duplicates, zeros, every kind of allowed set."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.errors import DimensionMismatch, UnusableVector
from rag.exact import TileIndex
from rag.faiss_index import FaissFlatIndex
from rag.model import K_MAX, Hit, Index
from rag.scoring import NORM_MAX, exact_scores

Rows = NDArray[np.float32]
Made = Callable[[Rows], Index]

MAKERS: dict[str, Made] = {
    "faiss flat": FaissFlatIndex,
    "tiles": TileIndex,
    "tiles, int8": partial(TileIndex, form="int8"),
    "tiles, bfloat16": partial(TileIndex, form="bfloat16"),
    "tiles, float32": partial(TileIndex, form="float32", threads=1),
    "tiles on a device, float16": partial(TileIndex, device="cpu:0", form="float16"),
    "tiles on a device, bfloat16": partial(TileIndex, device="cpu:0", form="bfloat16"),
}
every_index = pytest.mark.parametrize("made", MAKERS.values(), ids=MAKERS.keys())


def unit_rows(rng: np.random.Generator, count: int, dimension: int) -> Rows:
    rows = rng.standard_normal((count, dimension))
    units: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return units


def clustered(rng: np.random.Generator, count: int, dimension: int) -> Rows:
    """A third alike to the last bits, a third exact duplicates, a few zeros: what sorts float32 scores wrongly."""
    rows = unit_rows(rng, count, dimension)
    third = count // 3
    rows[:third] = rows[0] + rng.standard_normal((third, dimension)).astype(np.float32) * np.float32(1e-7)
    rows[third : 2 * third] = rows[third : third + 1]
    rows[2 * third : 2 * third + 3] = 0
    return rows[rng.permutation(count)]


def brute_force(vectors: Rows, query: Rows, k: int, allowed: NDArray[np.bool_] | None) -> list[tuple[int, float]]:
    """Score every row with Python's exactly rounded sum, then sort pairs."""
    wide, target = vectors.astype(np.float64), query.astype(np.float64)
    scored = [
        (-math.fsum(wide[row] * target), row) for row in range(len(vectors)) if allowed is None or bool(allowed[row])
    ]
    return [(row, -score) for score, row in sorted(scored)[:k]]


def within(mask: NDArray[np.bool_] | None) -> Allowed | None:
    return None if mask is None else Allowed.from_mask(mask)


def test_float32_alone_would_have_missed_the_best_of_many_near_ties() -> None:
    """The premise of the second look: FAISS's own order of 2,000 near-ties is not the exact one."""
    import faiss

    rng = np.random.default_rng(7)
    base = unit_rows(rng, 1, 384)
    vectors = base + (rng.standard_normal((2000, 384)) * 2e-8).astype(np.float32)
    plain = faiss.IndexFlatIP(384)
    plain.add(vectors)
    _, rows = plain.search(base, 10)
    (hits,) = FaissFlatIndex(vectors).search(base, k=10)
    exact = [row for row, _ in brute_force(vectors, base[0], 10, None)]
    assert [hit.index for hit in hits] == exact
    assert list(rows[0]) != exact


@every_index
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 120),
    dimension=st.sampled_from([1, 3, 16, 384]),
    k=st.sampled_from([1, 2, 10, 100, K_MAX]),
    share=st.sampled_from([None, 0.0, 0.1, 0.9, 1.0]),
)
def test_hits_are_those_of_brute_force(
    made: Made, seed: int, count: int, dimension: int, k: int, share: float | None
) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, count, dimension)
    queries = np.concatenate([unit_rows(rng, 2, dimension), vectors[:1], np.zeros((1, dimension), np.float32)])
    allowed = None if share is None else rng.random(count) < share
    for query, hits in zip(queries, made(vectors).search(queries, k=k, allowed=within(allowed)), strict=True):
        expected = brute_force(vectors, query, k, allowed)
        assert [hit.score for hit in hits] == pytest.approx([score for _, score in expected], abs=1e-13)
        assert_same_up_to_float64_ties(hits, expected)


def assert_same_up_to_float64_ties(hits: list[Hit], expected: list[tuple[int, float]]) -> None:
    """Ids are equal wherever neighbors are further apart than the last bits of a float64 sum."""
    scores = [score for _, score in expected]
    for rank, (hit, (row, score)) in enumerate(zip(hits, expected, strict=True)):
        near = [other for at, other in enumerate(scores) if at != rank and 0 < abs(other - score) < 1e-14]
        if not near and rank < len(scores) - 1:
            assert hit.index == row


@every_index
def test_equal_scores_come_in_order_of_index_beyond_any_margin(made: Made) -> None:
    vectors = np.tile(unit_rows(np.random.default_rng(1), 1, 384), (500, 1))
    allowed = np.ones(500, dtype=np.bool_)
    allowed[::2] = False
    (hits,) = made(vectors).search(vectors[:1], k=20, allowed=Allowed.from_mask(allowed))
    assert [hit.index for hit in hits] == list(range(1, 41, 2))
    assert len({hit.score for hit in hits}) == 1


@every_index
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.0, 1.0, -1.0, 1000.0]))
def test_a_forbidden_passage_changes_nothing(made: Made, seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    vectors = clustered(rng, 60, 32)
    queries = unit_rows(rng, 5, 32)
    allowed = rng.random(60) < 0.5
    before = made(vectors).search(queries, k=10, allowed=Allowed.from_mask(allowed))
    vectors[~allowed] = queries[0] * np.float32(factor)  # from irrelevant to a perfect, or an absurd, match
    assert made(vectors).search(queries, k=10, allowed=Allowed.from_mask(allowed)) == before


@every_index
def test_scores_do_not_depend_on_the_batch_or_on_k(made: Made) -> None:
    rng = np.random.default_rng(3)
    vectors, queries = clustered(rng, 900, 384), unit_rows(rng, 300, 384)
    index = made(vectors)
    together = index.search(queries, k=10, allowed=None)
    alone = [index.search(query[None], k=30, allowed=None)[0][:10] for query in queries[::11]]
    assert alone == together[::11]


@every_index
def test_nothing_allowed_means_no_hits(made: Made) -> None:
    vectors = unit_rows(np.random.default_rng(0), 5, 4)
    assert made(vectors).search(vectors[:2], k=3, allowed=Allowed([], total=5)) == [[], []]


@every_index
def test_an_empty_index_and_no_queries_have_no_hits(made: Made) -> None:
    empty = np.empty((0, 4), np.float32)
    queries = unit_rows(np.random.default_rng(0), 2, 4)
    assert made(empty).search(queries, k=3, allowed=None) == [[], []]
    assert made(queries).search(empty, k=3, allowed=None) == []


@every_index
def test_the_index_keeps_its_own_copy(made: Made) -> None:
    vectors = np.eye(4, dtype=np.float32)
    index = made(vectors)
    vectors[:] = 0
    assert [hit.index for hit in index.search(np.eye(4, dtype=np.float32)[2:3], k=1, allowed=None)[0]] == [2]


@every_index
@pytest.mark.parametrize("k", [0, -1, K_MAX + 1])
def test_k_out_of_range_is_refused(made: Made, k: int) -> None:
    with pytest.raises(ValueError, match="k must be 1 to"):
        made(np.eye(4, dtype=np.float32)).search(np.eye(4, dtype=np.float32), k=k, allowed=None)


@every_index
@pytest.mark.parametrize("shape", [(2, 3), (2, 5), (4,), (1, 1, 4)])
def test_another_dimension_is_refused(made: Made, shape: tuple[int, ...]) -> None:
    with pytest.raises(DimensionMismatch):
        made(np.eye(4, dtype=np.float32)).search(np.zeros(shape, np.float32), k=1, allowed=None)


@every_index
@pytest.mark.parametrize("total", [0, 3, 5])
def test_allowed_rows_of_another_index_are_refused(made: Made, total: int) -> None:
    rows = np.eye(4, dtype=np.float32)
    with pytest.raises(DimensionMismatch):
        made(rows).search(rows, k=1, allowed=Allowed(range(total), total=total))


@every_index
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, NORM_MAX * 2, 3e38])
def test_a_vector_that_is_not_finite_or_far_too_long_is_refused(made: Made, value: float) -> None:
    rows = np.eye(4, dtype=np.float32)
    bad = rows.copy()
    bad[1, 2] = value
    with pytest.raises(UnusableVector):
        made(bad)
    with pytest.raises(UnusableVector):
        made(rows).search(bad, k=1, allowed=None)


@every_index
def test_scores_of_given_rows_are_those_of_the_search(made: Made) -> None:
    rng = np.random.default_rng(9)
    vectors, (query,) = clustered(rng, 300, 384), unit_rows(rng, 1, 384)
    index = made(vectors)
    (hits,) = index.search(query[None], k=50, allowed=None)
    rows = np.array([hit.index for hit in hits][::-1])
    assert index.scores(query, rows) == [hit.score for hit in hits][::-1]


def test_all_indexes_give_the_same_bytes() -> None:
    rng = np.random.default_rng(10)
    vectors = clustered(rng, 1500, 384)
    queries = np.concatenate([unit_rows(rng, 30, 384), vectors[:3]])
    first, *others = (made(vectors).search(queries, k=25, allowed=None) for made in MAKERS.values())
    assert all(other == first for other in others)
    expected = np.sort(-exact_scores(vectors, queries[0]))[:25]
    assert [-hit.score for hit in first[0]] == expected.tolist()
