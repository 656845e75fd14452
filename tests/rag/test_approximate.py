"""Approximate indexes: exact scores, no influence of forbidden rows, the same bytes again, and an honest recall."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.approximate import ApproximateIndex
from rag.errors import DimensionMismatch, UnusableVector
from rag.faiss_structures import HEADER_BYTES, has_gpu, structure_bytes
from rag.index_plan import Device, IndexPlan, Kind, MeasuredRecall, UnusablePlan
from rag.measure import Questions, given_questions, measured_recall, noisy_passages, tuned
from rag.model import K_MAX, Hit
from tests.rag.oracle import Oracle, Rows, clusters

COUNT, DIMENSION = 3000, 48
FULL = IndexPlan(kind=Kind.EXACT, device=Device.CPU, count=COUNT, dimension=DIMENSION)
PLANS = {
    Kind.IVF_FLAT: replace(FULL, kind=Kind.IVF_FLAT, nlist=32, nprobe=4, oversampling=1, seed=5),
    Kind.IVF_SQ8: replace(FULL, kind=Kind.IVF_SQ8, nlist=32, nprobe=4, oversampling=4, seed=5),
    Kind.HNSW: replace(FULL, kind=Kind.HNSW, m=8, ef_construction=40, ef_search=16, oversampling=1, seed=5),
}
VECTORS = clusters(1, COUNT, DIMENSION)
QUERIES = noisy_passages(VECTORS, count=60, seed=9).vectors
EXACT = Oracle(VECTORS)
BUILT = {kind: ApproximateIndex.build(VECTORS, plan, exact=EXACT) for kind, plan in PLANS.items()}
each_kind = pytest.mark.parametrize("kind", list(PLANS))


def looked_everywhere(kind: Kind) -> ApproximateIndex:
    return BUILT[kind].with_effort(PLANS[kind].nlist or 2048)


@each_kind
@pytest.mark.parametrize("k", [1, 10, 100])
def test_every_score_is_the_exact_one_and_hits_are_in_order(kind: Kind, k: int) -> None:
    for query, hits in zip(QUERIES, BUILT[kind].search(QUERIES, k=k), strict=True):
        assert len(hits) == k
        assert len({hit.index for hit in hits}) == k
        assert [hit.score for hit in hits] == EXACT.scores(query, np.array([hit.index for hit in hits]))
        assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.index))


@each_kind
def test_scores_and_vectors_are_those_of_the_exact_index(kind: Kind) -> None:
    rows = np.array([7, 0, COUNT - 1])
    assert BUILT[kind].scores(QUERIES[0], rows) == EXACT.scores(QUERIES[0], rows)
    assert (BUILT[kind].vectors(rows) == VECTORS[rows]).all()


@each_kind
def test_little_effort_misses_rows_and_all_effort_finds_them(kind: Kind) -> None:
    """The premise of measuring: these indexes are approximate, and effort is what makes them less so."""
    expected = EXACT.search(QUERIES, k=10, allowed=None)
    assert BUILT[kind].with_effort(1).search(QUERIES, k=10) != expected
    assert looked_everywhere(kind).search(QUERIES, k=10) == expected


@each_kind
def test_equal_scores_come_in_order_of_row(kind: Kind) -> None:
    vectors = np.array(VECTORS)
    vectors[100:120] = vectors[100]
    index = ApproximateIndex.build(vectors, PLANS[kind], exact=Oracle(vectors))
    (hits,) = looked_everywhere_in(index).search(vectors[100:101], k=20)
    assert [hit.index for hit in hits] == list(range(100, 120))


def looked_everywhere_in(index: ApproximateIndex) -> ApproximateIndex:
    return index.with_effort(index.plan.nlist or 2048)


@each_kind
def test_an_answer_does_not_depend_on_the_batch(kind: Kind) -> None:
    together = BUILT[kind].search(QUERIES, k=10)
    assert [BUILT[kind].search(query[None], k=10)[0] for query in QUERIES] == together
    assert BUILT[kind].search(QUERIES[::-1].copy(), k=10) == together[::-1]


@each_kind
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.0, 0.01, 0.5, 1.0]))
def test_a_question_with_allowed_rows_is_answered_exactly(kind: Kind, seed: int, share: float) -> None:
    mask = np.random.default_rng(seed).random(COUNT) < share
    allowed = Allowed.from_mask(mask)
    assert BUILT[kind].search(QUERIES[:4], k=10, allowed=allowed) == EXACT.search(QUERIES[:4], k=10, allowed=allowed)


@each_kind
def test_forbidden_rows_change_nothing_whatever_they_are(kind: Kind) -> None:
    """The forbidden half becomes a perfect match of the queries, and the structure is trained on that."""
    allowed = Allowed(range(0, COUNT, 2), total=COUNT)
    before = BUILT[kind].with_effort(1).search(QUERIES, k=10, allowed=allowed)
    for forbidden in (np.zeros((1, DIMENSION), np.float32), QUERIES[:1], -QUERIES[:1] * 900):
        vectors = np.array(VECTORS)
        vectors[1::2] = forbidden
        changed = ApproximateIndex.build(vectors, PLANS[kind], exact=Oracle(vectors)).with_effort(1)
        assert changed.search(QUERIES, k=10, allowed=allowed) == before


@each_kind
def test_even_a_permit_for_all_rows_never_meets_the_structure(kind: Kind) -> None:
    """Else the first forbidden row would turn approximate answers into exact ones, and be noticed by that."""
    everything = Allowed(range(COUNT), total=COUNT)
    expected = EXACT.search(QUERIES, k=10, allowed=None)
    assert BUILT[kind].with_effort(1).search(QUERIES, k=10, allowed=everything) == expected


@each_kind
def test_training_again_gives_the_same_bytes_and_another_seed_others(kind: Kind) -> None:
    again = ApproximateIndex.build(VECTORS, PLANS[kind], exact=EXACT)
    assert again.to_bytes() == BUILT[kind].to_bytes()
    other = ApproximateIndex.build(VECTORS, replace(PLANS[kind], seed=6), exact=EXACT)
    assert other.to_bytes() != again.to_bytes()


@each_kind
def test_what_is_read_back_answers_alike(kind: Kind) -> None:
    built = BUILT[kind]
    recall = MeasuredRecall(k=10, queries=1, found=9, wanted=10, lower_ppm=0, source="given")
    plan = IndexPlan.from_record(built.plan.record())
    index = ApproximateIndex.from_bytes(
        built.to_bytes(), plan, exact=EXACT, recall=MeasuredRecall.from_record(recall.record())
    )
    assert index.search(QUERIES, k=10) == built.search(QUERIES, k=10)
    assert (index.plan, index.recall, index.to_bytes()) == (built.plan, recall, built.to_bytes())


@each_kind
def test_the_predicted_size_is_the_real_one(kind: Kind) -> None:
    size = len(BUILT[kind].to_bytes())
    assert structure_bytes(PLANS[kind]) == pytest.approx(size, rel=0.03)
    assert size <= structure_bytes(PLANS[kind]) + HEADER_BYTES


WRONG_FACTS = {
    "count": 2999,
    "dimension": 47,
    "nlist": 31,
    "m": 9,
    "ef_construction": 41,
}


@pytest.mark.parametrize(
    ("kind", "fact"), [(kind, fact) for kind, plan in PLANS.items() for fact in WRONG_FACTS if getattr(plan, fact)]
)
def test_one_wrong_fact_of_the_plan_refuses_the_bytes(kind: Kind, fact: str) -> None:
    plan = IndexPlan.from_record(PLANS[kind].record() | {fact: WRONG_FACTS[fact]})
    exact = Oracle(clusters(2, plan.count, plan.dimension))
    with pytest.raises(UnusablePlan):
        ApproximateIndex.from_bytes(BUILT[kind].to_bytes(), plan, exact=exact, recall=None)


@pytest.mark.parametrize(("kind", "other"), [(kind, other) for kind in PLANS for other in PLANS if kind is not other])
def test_bytes_of_another_kind_are_refused(kind: Kind, other: Kind) -> None:
    with pytest.raises(UnusablePlan):
        ApproximateIndex.from_bytes(BUILT[kind].to_bytes(), PLANS[other], exact=EXACT, recall=None)


@each_kind
@pytest.mark.parametrize("cut", [0, 3, 100, 5000, -1])
def test_bytes_cut_short_are_refused(kind: Kind, cut: int) -> None:
    with pytest.raises(UnusablePlan):
        ApproximateIndex.from_bytes(BUILT[kind].to_bytes()[:cut], PLANS[kind], exact=EXACT, recall=None)


@each_kind
def test_more_bytes_than_the_plan_needs_are_refused_unread(kind: Kind) -> None:
    padded = BUILT[kind].to_bytes() + bytes(2 * HEADER_BYTES + structure_bytes(PLANS[kind]) // 10)
    with pytest.raises(UnusablePlan, match="more than"):
        ApproximateIndex.from_bytes(padded, PLANS[kind], exact=EXACT, recall=None)


def test_a_row_in_two_cells_is_refused() -> None:
    """One row's id overwritten by its neighbor's: FAISS reads it without a word."""
    plan = PLANS[Kind.IVF_FLAT]
    data = bytearray(BUILT[Kind.IVF_FLAT].to_bytes())
    at = data.index(first_ids_of(data))
    data[at : at + 8] = data[at + 8 : at + 16]
    with pytest.raises(UnusablePlan, match="parameters"):
        ApproximateIndex.from_bytes(bytes(data), plan, exact=EXACT, recall=None)


def first_ids_of(data: bytearray) -> bytes:
    """Return the first two ids of the first cell, as the file holds them."""
    import faiss

    structure = faiss.deserialize_index(np.frombuffer(bytes(data), dtype=np.uint8))
    cell = next(cell for cell in range(structure.nlist) if structure.invlists.list_size(cell) >= 2)
    ids: bytes = faiss.rev_swig_ptr(structure.invlists.get_ids(cell), 2).tobytes()
    return ids


def test_a_link_to_a_row_that_is_not_there_is_refused() -> None:
    import faiss

    data = BUILT[Kind.HNSW].to_bytes()
    structure = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))  # which owns what is read from it
    links = faiss.vector_to_array(structure.hnsw.neighbors)
    at = data.index(links[:8].tobytes())
    for wrong in (COUNT, 2**31 - 1, -2):
        changed = data[:at] + int(wrong).to_bytes(4, "little", signed=True) + data[at + 4 :]
        with pytest.raises(UnusablePlan):
            ApproximateIndex.from_bytes(changed, PLANS[Kind.HNSW], exact=EXACT, recall=None)


@each_kind
def test_an_exact_index_over_other_vectors_is_refused(kind: Kind) -> None:
    for other in (VECTORS[:-1], VECTORS[:, :-1].copy()):
        with pytest.raises(UnusablePlan, match="the exact index holds"):
            ApproximateIndex.build(VECTORS, PLANS[kind], exact=Oracle(other))
        with pytest.raises(UnusablePlan, match="the exact index holds"):
            ApproximateIndex.from_bytes(BUILT[kind].to_bytes(), PLANS[kind], exact=Oracle(other), recall=None)


@each_kind
def test_what_cannot_be_searched_is_refused(kind: Kind) -> None:
    bad = np.array(QUERIES[:1])
    bad[0, 0] = np.nan
    with pytest.raises(UnusableVector):
        BUILT[kind].search(bad, k=1)
    with pytest.raises(DimensionMismatch):
        BUILT[kind].search(QUERIES[:, 1:].copy(), k=1)
    with pytest.raises(DimensionMismatch):
        BUILT[kind].search(QUERIES, k=1, allowed=Allowed([1], total=COUNT + 1))
    for k in (0, K_MAX + 1):
        with pytest.raises(ValueError, match="k must be"):
            BUILT[kind].search(QUERIES, k=k)
    with pytest.raises(DimensionMismatch):
        ApproximateIndex.build(VECTORS[:-1], PLANS[kind], exact=EXACT)


@each_kind
def test_few_rows_are_all_found(kind: Kind) -> None:
    """Where the structure has too few candidates for k hits, the exact index answers."""
    vectors = clusters(3, 40, DIMENSION)
    plan = replace(PLANS[kind], count=40, **({"nlist": 8, "nprobe": 1} if PLANS[kind].nlist else {}))
    hits = ApproximateIndex.build(vectors, plan, exact=Oracle(vectors)).search(QUERIES[:5], k=K_MAX)
    assert hits == Oracle(vectors).search(QUERIES[:5], k=K_MAX, allowed=None)


def test_an_exact_plan_has_nothing_to_build() -> None:
    with pytest.raises(UnusablePlan, match="exact"):
        ApproximateIndex.build(VECTORS, FULL, exact=EXACT)


class Forgetful:
    """An index that finds only rows below a limit, of a known recall."""

    count, dimension = COUNT, DIMENSION

    def __init__(self, limit: int) -> None:
        self._allowed = Allowed(range(limit), total=COUNT)

    def search(self, queries: Rows, *, k: int, allowed: Allowed | None) -> list[list[Hit]]:
        return EXACT.search(queries, k=k, allowed=self._allowed)

    def vectors(self, rows: NDArray[np.int64]) -> Rows:
        return EXACT.vectors(rows)

    def scores(self, query: Rows, rows: NDArray[np.int64]) -> list[float]:
        return EXACT.scores(query, rows)


def test_recall_counts_the_exact_hits_that_were_found() -> None:
    questions = given_questions(QUERIES, DIMENSION)
    wanted = [hit.index for hits in EXACT.search(QUERIES, k=10, allowed=None) for hit in hits]
    measured = measured_recall(Forgetful(1500), EXACT, questions, k=10)
    assert (measured.wanted, measured.queries, measured.source) == (600, 60, "given")
    assert measured.found == sum(row < 1500 for row in wanted)
    assert measured_recall(EXACT, EXACT, questions, k=10).found == 600
    assert 0 <= measured.lower_ppm < measured.recall_ppm


def test_a_hit_that_ties_with_the_last_exact_one_counts_as_found() -> None:
    vectors = np.tile(VECTORS[:1], (50, 1))
    plan = replace(PLANS[Kind.IVF_FLAT], count=50, nlist=1, nprobe=1)
    exact = Oracle(vectors)
    index = ApproximateIndex.build(vectors, plan, exact=exact)
    assert measured_recall(index, exact, Questions(VECTORS[:2], "given"), k=10).recall_ppm == 1_000_000


def test_a_small_sample_without_a_miss_claims_no_certainty() -> None:
    few = measured_recall(EXACT, EXACT, Questions(QUERIES[:10], "given"), k=10)
    many = measured_recall(EXACT, EXACT, Questions(QUERIES, "given"), k=10)
    assert few.recall_ppm == many.recall_ppm == 1_000_000
    assert few.lower_ppm < many.lower_ppm < 1_000_000


@each_kind
@pytest.mark.parametrize("target", [800_000, 950_000])
def test_tuning_reaches_the_recall_on_queries_it_has_not_seen(kind: Kind, target: int) -> None:
    questions = noisy_passages(VECTORS, count=600, seed=4)
    index = tuned(BUILT[kind], EXACT, questions, k=10, recall_ppm=target)
    assert index.recall is not None
    assert (index.recall.queries, index.recall.k, index.recall.source) == (300, 10, questions.source)
    assert index.recall.recall_ppm >= target
    fresh = noisy_passages(VECTORS, count=600, seed=77)
    assert measured_recall(index, EXACT, fresh, k=10).recall_ppm >= target - 20_000
    assert index.plan.effort < (index.plan.nlist or 2048), "reached without looking everywhere"


def test_three_queries_cannot_both_choose_and_measure() -> None:
    with pytest.raises(UnusablePlan, match="4 queries at least, got 3"):
        tuned(BUILT[Kind.HNSW], EXACT, given_questions(QUERIES[:3], DIMENSION), k=10, recall_ppm=900_000)


@pytest.mark.parametrize(("count", "seed"), [(0, 0), (10**6, 0), (5, -1), (5, 2**31)])
def test_a_sample_that_cannot_be_drawn_is_refused(count: int, seed: int) -> None:
    with pytest.raises(UnusablePlan, match="the sample must be"):
        noisy_passages(VECTORS, count=count, seed=seed)


def test_a_higher_recall_takes_more_effort() -> None:
    questions = noisy_passages(VECTORS, count=400, seed=4)
    efforts = [
        tuned(BUILT[Kind.IVF_FLAT], EXACT, questions, k=10, recall_ppm=target).plan.effort
        for target in (500_000, 900_000, 990_000)
    ]
    assert efforts == sorted(set(efforts))


def test_noisy_passages_are_unit_vectors_near_theirs_and_the_same_for_the_same_seed() -> None:
    questions = noisy_passages(VECTORS, count=500, seed=1, noise=0.5)
    assert np.linalg.norm(questions.vectors, axis=1) == pytest.approx(1, abs=1e-6)
    nearest = (questions.vectors @ VECTORS.T).max(axis=1)
    assert nearest.mean() == pytest.approx(1 / np.sqrt(1 + 0.5**2), abs=0.02)
    assert (noisy_passages(VECTORS, count=500, seed=1, noise=0.5).vectors == questions.vectors).all()
    assert not (noisy_passages(VECTORS, count=500, seed=2, noise=0.5).vectors == questions.vectors).all()
    assert len(noisy_passages(VECTORS[:7], count=500, seed=1).vectors) == 7


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="needs faiss-gpu and an NVIDIA GPU")
@pytest.mark.parametrize("kind", [Kind.IVF_FLAT, Kind.IVF_SQ8])
def test_a_gpu_finds_what_the_cpu_finds(kind: Kind) -> None:
    plan = replace(PLANS[kind], device=Device.GPU)
    index = ApproximateIndex.build(VECTORS, plan, exact=EXACT).with_effort(plan.nlist)
    assert index.search(QUERIES, k=10) == EXACT.search(QUERIES, k=10, allowed=None)
    again = ApproximateIndex.from_bytes(index.to_bytes(), index.plan, exact=EXACT, recall=None)
    assert again.search(QUERIES, k=10) == index.search(QUERIES, k=10)


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_a_plan_for_one_says_what_to_install() -> None:
    with pytest.raises(UnusablePlan, match="extra `gpu`"):
        ApproximateIndex.build(VECTORS, replace(PLANS[Kind.IVF_FLAT], device=Device.GPU), exact=EXACT)
