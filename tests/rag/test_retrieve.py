"""Retrieval put together: dense alone is the index's own answer, and every stage does what it says, in its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.allowed import Allowed
from rag.diversity import diversified
from rag.filters import Equals, Range, all_of, none_of
from rag.fusion import fused
from rag.model import K_MAX
from rag.near_duplicates import distinct
from rag.neighbors import NEIGHBORS_MAX
from rag.parts import Source
from rag.request import Mode, Request
from rag.retrieve import FUSED_DEPTH, POOL, Ask, Found, pool_of, retrieve
from tests.rag.retrieval_parts import (
    OTHER,
    OTHER_VECTORS,
    OTHERS,
    PART,
    TEXTS,
    VECTOR,
    VECTORS,
    WORDS,
    ByLetters,
    Shortest,
    answer,
    answered,
    counting,
    pairs,
    part_of,
    unit_rows,
)


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 50), st.sets(st.integers(0, 119)) | st.none())
def test_dense_alone_is_exactly_the_index(k: int, seed: int, rows: set[int] | None) -> None:
    permitted = None if rows is None else Allowed(rows, total=120)
    vector = unit_rows(1, seed)[0]
    (expected,) = PART.index.search(vector[None], k=k, allowed=permitted)
    found = answer(Request(k=k, vector=vector), Source(part=PART, permitted=permitted))
    assert pairs(found) == [(hit.index, hit.score) for hit in expected]
    assert found.vector is vector
    assert all(one.neighbors == () for one in found.found)


def test_keywords_alone_are_exactly_the_keyword_index_and_need_no_vector() -> None:
    assert PART.keywords is not None
    found = answer(Request(k=7, text="wing heat", mode=Mode.KEYWORD))
    assert pairs(found) == [(hit.index, hit.score) for hit in PART.keywords.search(["wing heat"], k=7)[0]]
    assert found.vector is None


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 1000)])
def test_hybrid_fuses_both_by_rank(weights: tuple[int, int]) -> None:
    assert PART.keywords is not None
    request = Request(k=9, text="wing heat", vector=VECTOR, mode=Mode.HYBRID, weights=weights)
    (dense,) = PART.index.search(VECTOR[None], k=FUSED_DEPTH, allowed=None)
    (keyword,) = PART.keywords.search(["wing heat"], k=FUSED_DEPTH)
    rankings = [[hit.index for hit in dense], [hit.index for hit in keyword]]
    assert pairs(answer(request)) == [(hit.row, hit.score) for hit in fused(rankings, k=9, weights=weights)]


@pytest.mark.parametrize("mode", list(Mode))
def test_several_datasets_answer_as_one(mode: Mode) -> None:
    whole = part_of(TEXTS + OTHERS, np.concatenate([VECTORS, OTHER_VECTORS]))
    request = Request(k=30, text="wing shock", vector=VECTOR, mode=mode, dedupe=True)
    together = answer(request, Source(part=PART), Source(part=OTHER))
    assert [(one.source * 120 + one.row, one.score) for one in together.found] == pairs(
        answer(request, Source(part=whole))
    )
    assert {one.source for one in together.found} == {0, 1}


@pytest.mark.parametrize("mode", list(Mode))
def test_each_dataset_stays_within_its_own_permit(mode: Mode) -> None:
    first, second = Allowed(range(45), total=120), Allowed(range(34, 70), total=70)  # cut through documents
    request = Request(k=100, text=" ".join(WORDS), vector=VECTOR, mode=mode, neighbors=NEIGHBORS_MAX)
    found = answer(request, Source(part=PART, permitted=first), Source(part=OTHER, permitted=second)).found
    allowed = (first.bitmap, second.bitmap)
    assert len(found) == 45 + 36
    assert all({one.row, *one.neighbors} <= set(allowed[one.source]) for one in found)


def test_a_filter_and_a_permit_meet_before_ranking() -> None:
    asked = all_of(Range(key="time", gte=10, lt=60), none_of(Equals(key="owner", value="b")))
    permitted = Allowed(range(5, 50), total=120)
    for k in (5, 100):
        found = answer(Request(k=k, vector=VECTOR, filter=asked), Source(part=PART, permitted=permitted))
        (expected,) = PART.index.search(VECTOR[None], k=k, allowed=Allowed(range(10, 50, 2), total=120))
        assert pairs(found) == [(hit.index, hit.score) for hit in expected]


def test_reranking_orders_the_first_candidates_anew_and_gives_its_scores() -> None:
    (dense,) = PART.index.search(VECTOR[None], k=20, allowed=None)
    expected = sorted(((-len(TEXTS[hit.index]), hit.index) for hit in dense), key=lambda pair: (-pair[0], pair[1]))
    found = answer(Request(k=6, text="question", vector=VECTOR, rerank=20), reranker=Shortest())
    assert pairs(found) == [(row, float(score)) for score, row in expected[:6]]


@pytest.mark.parametrize("mode", list(Mode))
def test_reranking_reads_no_more_than_was_asked_for(mode: Mode) -> None:
    request = Request(k=5, text="wing heat", vector=VECTOR, mode=mode)
    plain = answer(replace(request, k=6))
    found = answer(replace(request, rerank=6, dedupe=True), reranker=Shortest())
    assert {one.row for one in found.found} <= {one.row for one in plain.found}


def test_repetitions_are_dropped_and_others_take_their_places() -> None:
    plain = answer(Request(k=120, vector=VECTOR))
    rows = [one.row for one in plain.found]
    kept = [rows[place] for place in distinct([TEXTS[row] for row in rows])]
    assert len(kept) == 119
    best = min(rows.index(1), rows.index(60))
    found = answer(Request(k=best + 2, vector=VECTOR, dedupe=True))
    assert [one.row for one in found.found] == kept[: best + 2]
    assert {1, 60} - {one.row for one in answer(Request(k=100, vector=VECTOR, dedupe=True)).found}


def test_diversity_chooses_among_a_pool() -> None:
    (dense,) = PART.index.search(VECTOR[None], k=POOL * 8, allowed=None)
    scores = np.array([hit.score for hit in dense])
    chosen = diversified(scores, VECTORS[[hit.index for hit in dense]], k=8, thousandths=400)
    found = answer(Request(k=8, vector=VECTOR, diversity=400))
    assert pairs(found) == [(dense[place].index, dense[place].score) for place in chosen]
    assert answer(Request(k=8, vector=VECTOR, diversity=1000)).found == answer(Request(k=8, vector=VECTOR)).found


@pytest.mark.parametrize("mode", [Mode.KEYWORD, Mode.HYBRID])
def test_diversity_over_other_scores_begins_with_the_best_and_keeps_their_scores(mode: Mode) -> None:
    request = Request(k=10, text="wing heat", vector=VECTOR, mode=mode)
    plain, diverse = answer(replace(request, k=40)), answer(replace(request, diversity=300))
    assert diverse.found[0] == plain.found[0]
    assert all(one in plain.found for one in diverse.found)
    assert diverse.found != plain.found[:10]
    assert answer(replace(request, diversity=1000)).found == plain.found[:10]


def test_neighbors_come_with_each_hit() -> None:
    found = answer(Request(k=3, vector=VECTORS[42], neighbors=2)).found[0]
    assert found == Found(source=0, row=42, score=found.score, neighbors=(40, 41, 43, 44))


def test_a_text_is_embedded_where_no_vector_comes_with_it() -> None:
    embedder = ByLetters()
    asks = [
        Ask(request=Request(k=3, text="bad cafe"), sources=(Source(part=PART),)),
        Ask(request=Request(k=3, vector=VECTOR, text="other"), sources=(Source(part=PART),)),
        Ask(request=Request(k=3, text="deed", mode=Mode.HYBRID), sources=(Source(part=PART),)),
    ]
    first, second, third = answered(asks, embedder=embedder)
    expected = embedder.embed_queries(["bad cafe", "deed"])
    assert first.vector is not None
    assert third.vector is not None
    assert second.vector is VECTOR
    assert (np.stack([first.vector, third.vector]) == expected).all()
    assert pairs(first) == [(hit.index, hit.score) for hit in PART.index.search(expected[:1], k=3, allowed=None)[0]]


def mixed_batch() -> list[Ask]:
    permitted = Allowed(range(0, 120, 3), total=120)
    early = Range(key="time", lt=50)
    requests = [
        Request(k=5, vector=unit_rows(1, 20)[0]),
        Request(k=5, vector=unit_rows(1, 21)[0]),
        Request(k=9, vector=unit_rows(1, 22)[0]),
        Request(k=5, text="wing heat", mode=Mode.KEYWORD),
        Request(k=5, text="wing heat", vector=unit_rows(1, 23)[0], mode=Mode.HYBRID),
        Request(k=5, vector=unit_rows(1, 24)[0], filter=early),
        Request(k=5, vector=unit_rows(1, 25)[0], filter=early, dedupe=True),
        Request(k=5, vector=unit_rows(1, 26)[0], diversity=500, neighbors=1),
        Request(k=5, text="flow", vector=unit_rows(1, 27)[0], rerank=10),
    ]
    alone = [Ask(request=request, sources=(Source(part=PART),)) for request in requests]
    within = [Ask(request=request, sources=(Source(part=PART, permitted=permitted),)) for request in requests]
    both = [Ask(request=request, sources=(Source(part=PART), Source(part=OTHER))) for request in requests]
    return alone + within + both


def test_an_answer_does_not_depend_on_the_batch_around_it() -> None:
    asks = mixed_batch()
    together = answered(asks, reranker=Shortest())
    for ask, expected in zip(asks, together, strict=True):
        (alone,) = answered([ask], reranker=Shortest())
        assert alone.found == expected.found
    turned = answered(asks[::-1], reranker=Shortest())
    assert [one.found for one in turned[::-1]] == [one.found for one in together]


def test_equal_scopes_share_one_search_of_the_index() -> None:
    part, permitted = part_of(TEXTS, VECTORS), Allowed(range(60), total=120)
    early = Range(key="time", lt=50)
    requests = [Request(k=5, vector=unit_rows(1, seed)[0]) for seed in range(6)]
    filtered = [replace(request, filter=Range(key="time", lt=50)) for request in requests[:3]] + [
        replace(requests[3], filter=early)
    ]
    asks = [Ask(request=request, sources=(Source(part=part),)) for request in requests]
    asks += [Ask(request=request, sources=(Source(part=part, permitted=permitted),)) for request in requests]
    asks += [Ask(request=request, sources=(Source(part=part),)) for request in filtered]
    asks += [Ask(request=replace(requests[0], k=6), sources=(Source(part=part),))]
    answered(asks)
    assert sorted(counting(part)) == [(1, 6), (4, 5), (6, 5), (6, 5)]


@pytest.mark.parametrize("mode", list(Mode))
def test_nothing_allowed_finds_nothing(mode: Mode) -> None:
    nothing = Source(part=PART, permitted=Allowed([], total=120))
    options = Request(k=5, text="wing", vector=VECTOR, mode=mode, dedupe=True, diversity=500, neighbors=1, rerank=9)
    assert answer(options, nothing, reranker=Shortest()).found == ()
    assert answer(Request(k=5, text="wing", vector=VECTOR, mode=mode), nothing).found == ()
    assert retrieve([]) == []
    (nowhere,) = answered([Ask(request=Request(k=5, text="wing", vector=VECTOR, mode=mode), sources=())])
    assert nowhere.found == ()


def test_pools_are_as_deep_as_later_stages_need() -> None:
    plain = Request(k=10, text="t", vector=VECTOR)
    assert pool_of(plain) == 10
    assert pool_of(replace(plain, rerank=50)) == 50
    assert pool_of(replace(plain, dedupe=True)) == pool_of(replace(plain, diversity=1)) == 10 * POOL
    assert pool_of(replace(plain, mode=Mode.HYBRID)) == FUSED_DEPTH
    assert pool_of(replace(plain, k=K_MAX, dedupe=True)) == K_MAX
