"""Questions that retrieval refuses: what a dataset lacks, vectors of another kind, numbers out of bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.errors import DimensionMismatch, RagError, UnknownModel, UnusableVector
from rag.faiss_index import FaissFlatIndex
from rag.filters import Equals
from rag.model import K_MAX
from rag.neighbors import NEIGHBORS_MAX
from rag.parts import Part, Source
from rag.request import MalformedRequest, Mode, Request, UnsupportedRequest
from rag.retrieve import Answer, Ask, retrieve
from tests.rag.retrieval_parts import (
    DIMENSION,
    OTHER,
    PART,
    VECTOR,
    VECTORS,
    answer,
)

BARE = Part(index=FaissFlatIndex(VECTORS))
LACKING: dict[str, Request] = {
    "keyword search": Request(k=1, text="wing", mode=Mode.KEYWORD),
    "keyword search in hybrid": Request(k=1, text="wing", vector=VECTOR, mode=Mode.HYBRID),
    "filters": Request(k=1, vector=VECTOR, filter=Equals(key="a", value=1)),
    "neighbors": Request(k=1, vector=VECTOR, neighbors=1),
    "dropping repetitions": Request(k=1, vector=VECTOR, dedupe=True),
    "diversity": Request(k=1, vector=VECTOR, diversity=1),
    "reranking": Request(k=1, text="wing", vector=VECTOR, rerank=1),
    "questions as text": Request(k=1, text="wing"),
}


@pytest.mark.parametrize("name", LACKING)
def test_what_a_dataset_lacks_is_refused_and_the_rest_of_the_batch_answered(name: str) -> None:
    good = Ask(request=Request(k=3, vector=VECTOR), sources=(Source(part=BARE),))
    bad = Ask(request=LACKING[name], sources=(Source(part=PART), Source(part=BARE)))
    refusal, other = retrieve([bad, good])
    assert isinstance(refusal, UnsupportedRequest)
    assert name.removesuffix(" in hybrid") in str(refusal)
    assert isinstance(other, Answer)
    assert len(other.found) == 3


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (np.zeros(DIMENSION + 1, dtype=np.float32), DimensionMismatch),
        (np.full(DIMENSION, np.nan, dtype=np.float32), UnusableVector),
        (np.full(DIMENSION, 1e30, dtype=np.float32), UnusableVector),
    ],
)
def test_a_vector_that_cannot_be_searched_by_fails_alone(vector: NDArray[np.float32], error: type[RagError]) -> None:
    good = Ask(request=Request(k=3, vector=VECTOR), sources=(Source(part=PART),))
    refusal, other = retrieve([Ask(request=Request(k=3, vector=vector), sources=(Source(part=PART),)), good])
    assert type(refusal) is error
    assert isinstance(other, Answer)


class Broken:
    """A `Reranker` whose scores are no numbers."""

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        raise UnknownModel("no numbers")


def test_a_reranker_that_fails_fails_its_own_questions_only() -> None:
    asks = [
        Ask(request=Request(k=3, text="wing", vector=VECTOR, rerank=rerank), sources=(Source(part=PART),))
        for rerank in (5, 0)
    ]
    refusal, other = retrieve(asks, reranker=Broken())
    assert isinstance(refusal, UnknownModel)
    assert isinstance(other, Answer)


MALFORMED: dict[str, dict[str, Any]] = {
    "k of 0": {"k": 0},
    "k over the bound": {"k": K_MAX + 1},
    "no question": {"vector": None},
    "hybrid by vector alone": {"mode": Mode.HYBRID},
    "keywords by vector alone": {"mode": Mode.KEYWORD},
    "reranking by vector alone": {"rerank": 10},
    "several vectors": {"vector": VECTORS},
    "vector of float64": {"vector": VECTOR.astype(np.float64)},
    "reranking fewer than k": {"text": "wing", "rerank": 4},
    "reranking too many": {"text": "wing", "rerank": 101},
    "diversity over the bound": {"diversity": 1001},
    "negative diversity": {"diversity": -1},
    "diversity of too many": {"diversity": 1, "k": 101},
    "too many neighbors": {"neighbors": NEIGHBORS_MAX + 1},
    "negative neighbors": {"neighbors": -1},
    "weight of 0": {"weights": (0, 1)},
    "weight over the bound": {"weights": (1, 1001)},
    "three weights": {"weights": (1, 1, 1)},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_request_out_of_bounds_is_refused(name: str) -> None:
    valid: dict[str, Any] = {"k": 5, "vector": VECTOR}
    Request(**valid)
    with pytest.raises(MalformedRequest):
        Request(**{**valid, **MALFORMED[name]})


def test_parts_of_different_datasets_do_not_go_together() -> None:
    with pytest.raises(ValueError, match="120 rows"):
        Part(index=PART.index, keywords=OTHER.keywords)


def test_a_request_shows_nothing_of_itself() -> None:
    request = Request(k=5, text="hush", vector=VECTOR, filter=Equals(key="hush", value="hush"))
    shown = repr(request) + repr(answer(replace(request, filter=None)))
    assert "hush" not in shown
    assert "vector" not in shown
