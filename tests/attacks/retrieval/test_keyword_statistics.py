"""O4: a passage outside the allowed set has no influence on what keyword search finds, nor on how it scores."""

from __future__ import annotations

import bm25s
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.errors import RagError
from rag.filters import Equals
from rag.keyword import KeywordIndex
from rag.metadata import MetadataIndex
from rag.model import Hit
from rag.parts import Part, Source
from rag.request import Mode, Request
from rag.retrieve import Ask, retrieve
from rag.scoring import best, exact_scores

WORDS = ["salary", "merger", "wing", "flow", "the", "of"]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join), min_size=1, max_size=15)
questions = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join)


class BruteForce:
    """An `Index` that scores every row."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self.count, self.dimension = vectors.shape

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        rows = np.arange(self.count) if allowed is None else allowed.rows
        return [best(rows, exact_scores(self._vectors[rows], query), k) for query in queries]

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._vectors[rows]

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        return [float(score) for score in exact_scores(self._vectors[rows], query)]


def vectors_of(passages: list[str]) -> NDArray[np.float32]:
    """Vectors that depend on each text alone."""
    counted = np.array([[text.split().count(word) for word in WORDS] + [1, 0] for text in passages], dtype=np.float64)
    return (counted / np.linalg.norm(counted, axis=1, keepdims=True)).astype(np.float32)


def part_of(visible: list[str], hidden: list[str]) -> Part:
    together = visible + hidden
    return Part(
        index=BruteForce(vectors_of(together)),
        keywords=KeywordIndex(together),
        metadata=MetadataIndex([{"owner": "a"}] * len(visible) + [{"owner": "b"}] * len(hidden)),
        text=together.__getitem__,
        vectors=lambda rows: vectors_of(together)[rows],
    )


def found(part: Part, permitted: Allowed | None, **asked: object) -> list[tuple[int, float]]:
    question = str(asked["text"])
    request = Request(**{"k": 5, "vector": vectors_of([question])[0], **asked})  # type: ignore[arg-type]
    (answer,) = retrieve([Ask(request=request, sources=(Source(part=part, permitted=permitted),))])
    assert not isinstance(answer, RagError)
    return [(one.row, one.score) for one in answer.found]


@settings(deadline=None)
@given(texts, st.lists(st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join), max_size=15), questions)
def test_forbidden_passages_move_no_hit_and_no_score_in_any_mode(
    visible: list[str], hidden: list[str], question: str
) -> None:
    alone, beside = part_of(visible, []), part_of(visible, hidden)
    permitted = Allowed(range(len(visible)), total=len(visible) + len(hidden))
    for mode in Mode:
        for options in ({}, {"dedupe": True}, {"diversity": 500}, {"dedupe": True, "diversity": 300}):
            asked = {"text": question, "mode": mode, **options}
            assert found(beside, permitted, **asked) == found(alone, None, **asked)
            by_filter = found(beside, permitted, filter=Equals(key="owner", value="a"), **asked)
            assert by_filter == found(alone, None, **asked)


@settings(deadline=None)
@given(texts, st.lists(st.lists(st.sampled_from(WORDS), max_size=10).map(" ".join), max_size=15), questions)
def test_what_a_filter_leaves_out_moves_no_score_of_what_it_leaves(
    kept: list[str], left_out: list[str], question: str
) -> None:
    """Otherwise the score of a known passage would say how many others meet a filter, where nobody may count."""
    part = part_of(kept, left_out)
    whole = dict(found(part, None, text=question, mode=Mode.KEYWORD, k=100))
    filtered = dict(found(part, None, text=question, mode=Mode.KEYWORD, k=100, filter=Equals(key="owner", value="a")))
    assert filtered == {row: score for row, score in whole.items() if row < len(kept)}


def test_a_question_for_a_forbidden_word_finds_nothing_and_learns_nothing() -> None:
    visible = ["the wing", "the flow", "of the wing"]
    permitted = Allowed(range(3), total=5)
    for hidden in (["merger of salary", "salary"], ["wing", "wing"]):
        part = part_of(visible, hidden)
        assert found(part, permitted, text="salary merger", mode=Mode.KEYWORD) == []
        assert found(part, permitted, text="wing salary", mode=Mode.KEYWORD) == found(
            part_of(visible, []), None, text="wing salary", mode=Mode.KEYWORD
        )


def test_masking_scores_made_from_all_passages_would_tell() -> None:
    """What `bm25s` would do: this is why the statistics are our own."""
    visible = ["the wing", "the flow", "of the wing"]

    def masked(hidden: list[str]) -> list[float]:
        oracle = bm25s.BM25(method="lucene", dtype="float64")
        oracle.index([text.split() for text in visible + hidden], show_progress=False)
        mask = np.array([1.0] * len(visible) + [0.0] * len(hidden))
        return [float(score) for score in oracle.get_scores(["wing"], weight_mask=mask)[: len(visible)]]

    assert masked(["salary", "salary"]) != masked(["wing", "wing"])
