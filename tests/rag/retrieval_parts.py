"""Small datasets prepared for retrieval, and stand-ins that count or rank in ways that are easy to check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.faiss_index import FaissFlatIndex
from rag.keyword import KeywordIndex
from rag.metadata import MetadataIndex
from rag.model import Hit
from rag.neighbors import Neighborhoods, Place
from rag.parts import Part, Source
from rag.request import Request
from rag.retrieve import Answer, Ask, retrieve

DIMENSION = 16
WORDS = ["wing", "flow", "heat", "drag", "lift", "plate", "shock", "wave"]


class Counting(FaissFlatIndex):
    """The real index, and how often it was searched with how many questions."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        super().__init__(vectors)
        self.searches: list[tuple[int, int]] = []

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        self.searches.append((len(queries), k))
        return super().search(queries, k=k, allowed=allowed)


class Shortest:
    """A `Reranker` that likes short passages, and the question's own text best."""

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        return [100.0 if passage == question else -float(len(passage)) for passage in passages]


class ByLetters:
    """An `Embedder` of letter counts."""

    dimension = DIMENSION
    dtype = "float32"
    model_hash = b"\x00" * 32
    settings_hash = b"\x00" * 32

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counted = np.array([[text.count(chr(97 + at)) + 0.1 for at in range(DIMENSION)] for text in texts])
        return (counted / np.linalg.norm(counted, axis=1, keepdims=True)).astype(np.float32)

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        return self.embed_queries(texts)


def unit_rows(count: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made_up(count: int, seed: int) -> tuple[list[str], NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, size=rng.integers(3, 30))) + f" id{row}" for row in range(count)]
    texts[count // 2] = texts[1].upper()  # a repetition
    vectors = unit_rows(count, seed + 1)
    vectors[count // 2] = vectors[1]
    return texts, vectors


def part_of(texts: list[str], vectors: NDArray[np.float32]) -> Part:
    return Part(
        index=Counting(vectors),
        keywords=KeywordIndex(texts),
        metadata=MetadataIndex([{"time": row, "owner": "ab"[row % 2]} for row in range(len(texts))]),
        neighborhoods=Neighborhoods([Place(f"d{row // 10}", row * 10, row * 10 + 10) for row in range(len(texts))]),
        text=texts.__getitem__,
        vectors=vectors.__getitem__,
    )


TEXTS, VECTORS = made_up(120, 1)
OTHERS, OTHER_VECTORS = made_up(70, 8)
PART, OTHER = part_of(TEXTS, VECTORS), part_of(OTHERS, OTHER_VECTORS)
VECTOR = unit_rows(1, 5)[0]


def counting(part: Part) -> list[tuple[int, int]]:
    assert isinstance(part.index, Counting)
    return part.index.searches


def answered(asks: Sequence[Ask], **given_: Any) -> list[Answer]:
    answers = retrieve(asks, **given_)
    good = [answer for answer in answers if isinstance(answer, Answer)]
    assert len(good) == len(asks), answers
    return good


def answer(request: Request, *sources: Source, **given_: Any) -> Answer:
    return answered([Ask(request=request, sources=sources or (Source(part=PART),))], **given_)[0]


def pairs(of: Answer) -> list[tuple[int, float]]:
    assert {one.source for one in of.found} <= {0}
    return [(one.row, one.score) for one in of.found]
