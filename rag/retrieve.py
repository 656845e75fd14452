"""A question to its passages: permission and filter, dense and keyword search, fusion, reranking, and what follows.

What is not allowed is out before anything is ranked: every stage works on what the stage before it let through, keyword
statistics count the rows that the permit allows, no fewer and no more, and answers in one batch do not depend on one
another (rules O3, O4, R5).
Of several datasets the hits come together as if they were one, each under its own permission.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

import numpy as np

from rag.diversity import diversified
from rag.errors import RagError
from rag.fusion import fused
from rag.keyword import query_from
from rag.model import K_MAX
from rag.near_duplicates import distinct
from rag.parts import Part, Source
from rag.request import Mode, Request, UnsupportedRequest
from rag.scoring import checked_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.allowed import Allowed
    from rag.filters import Filter
    from rag.model import Embedder, Hit
    from rag.rerank import Reranker

POOL = 4  # candidates for each hit wanted, where later stages choose among them
FUSED_DEPTH = 100  # hits of either search that fusion reads at least


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ask:
    """A question and where it may search. Equal scores go to the earlier source, then to the earlier row."""

    request: Request
    sources: tuple[Source, ...]


@dataclass(slots=True)  # as `rag.model.Hit`: made with every hit
class Found:
    """A passage that answers, and the score of the last stage that scored it.

    That is the reranker's where it was asked for, else the inner product, BM25's, or the fused ranks' by mode.
    """

    source: int  # its place in `Ask.sources`
    row: int
    score: float
    neighbors: tuple[int, ...] = ()  # rows of the same source, in reading order


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What was found, best first, or in the order of choice where diversity was asked for; and the vector asked by."""

    found: tuple[Found, ...]
    vector: NDArray[np.float32] | None = field(repr=False)  # None where keywords alone were searched


@dataclass(slots=True)
class _Candidate:
    """A hit of a source, with the score of the stage that ranked it last."""

    source: int
    row: int
    score: float


@dataclass(frozen=True, slots=True)
class _Scoped:
    """A question's vector, and for each source the rows that permit and filter leave."""

    ask: Ask
    vector: NDArray[np.float32] | None
    allowed: tuple[Allowed | None, ...]


def retrieve(
    asks: Sequence[Ask], *, embedder: Embedder | None = None, reranker: Reranker | None = None
) -> list[Answer | RagError]:
    """Answer a batch: what searches the same rows for as many hits shares one search of the index.

    Args:
        embedder: embeds the questions that bring no vector; None where all bring one.
        reranker: None where none is offered.
    Returns: for each ask its answer, or why it has none: UnsupportedRequest, DimensionMismatch, UnusableVector, or
        UnknownModel where the reranker fails.
    """
    if len(asks) == 1 and len(asks[0].sources) == 1 and asks[0].request.is_plain:
        return [_nearest(asks[0])]
    refusals = [_refusal(ask, embedder, reranker) for ask in asks]
    good = [ask for ask, refusal in zip(asks, refusals, strict=True) if refusal is None]
    scoped = [
        _Scoped(ask, vector, allowed)
        for ask, vector, allowed in zip(good, _vectors(good, embedder), _allowed(good), strict=True)
    ]
    answers = iter([_answer_or_error(one, hits, reranker) for one, hits in zip(scoped, _dense(scoped), strict=True)])
    return [next(answers) if refusal is None else refusal for refusal in refusals]


def _nearest(ask: Ask) -> Answer | RagError:
    """Answer a plain question to one source, alone: by the index, without the stages that others go through."""
    (source,), request = ask.sources, ask.request
    if request.vector is None:
        raise ValueError("a plain question brings its vector")
    try:
        (hits,) = source.part.index.search(request.vector[None], k=request.k, allowed=source.permitted)
    except RagError as error:
        return error
    return Answer(found=tuple([Found(source=0, row=hit.index, score=hit.score) for hit in hits]), vector=request.vector)


def pool_of(request: Request) -> int:
    """Return how many candidates a request's first stage gathers of each source."""
    wanted = max(request.k, request.rerank)
    if request.diversity is not None or request.dedupe:
        wanted = max(wanted, POOL * request.k)
    if request.mode is Mode.HYBRID:
        wanted = max(wanted, FUSED_DEPTH)
    return min(wanted, K_MAX)


def _refusal(ask: Ask, embedder: Embedder | None, reranker: Reranker | None) -> RagError | None:
    """Return why an ask cannot be answered, if so."""
    request, parts = ask.request, [source.part for source in ask.sources]
    if request.is_plain:
        return _unusable(request, parts)
    lacking = {
        "keyword search": request.mode is not Mode.DENSE and any(part.keywords is None for part in parts),
        "filters": request.filter is not None and any(part.metadata is None for part in parts),
        "neighbors": request.neighbors > 0 and any(part.neighborhoods is None for part in parts),
        "dropping repetitions": request.dedupe and any(part.text is None for part in parts),
        "diversity": request.diversity is not None and any(part.vectors is None for part in parts),
        "reranking": request.rerank > 0 and (reranker is None or any(part.text is None for part in parts)),
        "questions as text": request.mode is not Mode.KEYWORD and request.vector is None and embedder is None,
    }
    for what, is_lacking in lacking.items():
        if is_lacking:
            return UnsupportedRequest(f"{what}: not offered for a dataset that was asked")
    return _unusable(request, parts)


def _unusable(request: Request, parts: Sequence[Part]) -> RagError | None:
    """Return why a question's vector cannot be searched with, if it brings one."""
    vector = request.vector
    if vector is None:
        return None
    try:
        for dimension in {part.index.dimension for part in parts}:
            checked_matrix(vector[None], dimension)
    except RagError as error:
        return error
    return None


def _vectors(asks: Sequence[Ask], embedder: Embedder | None) -> list[NDArray[np.float32] | None]:
    """Return each question's vector, or None where keywords alone are searched; all texts are embedded at once."""
    vectors = [None if ask.request.mode is Mode.KEYWORD else ask.request.vector for ask in asks]
    texts = {
        number: ask.request.text
        for number, ask in enumerate(asks)
        if ask.request.mode is not Mode.KEYWORD and vectors[number] is None and ask.request.text is not None
    }
    if texts and embedder is not None:
        for number, vector in zip(texts, embedder.embed_queries(list(texts.values())), strict=True):
            vectors[number] = vector
    return vectors


def _allowed(asks: Sequence[Ask]) -> list[tuple[Allowed | None, ...]]:
    """Return for each question and source what permit and filter leave, the same object where they are the same."""
    known: dict[tuple[int, int, Filter], Allowed | None] = {}
    scopes = []
    for ask in asks:
        scope = []
        for source in ask.sources:
            filter_, metadata = ask.request.filter, source.part.metadata
            if filter_ is None or metadata is None:
                scope.append(source.permitted)
                continue
            key = (id(metadata), id(source.permitted), filter_)
            if key not in known:
                known[key] = metadata.allowed(filter_, within=source.permitted)
            scope.append(known[key])
        scopes.append(tuple(scope))
    return scopes


def _dense(scoped: Sequence[_Scoped]) -> list[list[_Candidate]]:
    """Return each question's hits by vector, of all its sources; none where keywords alone are searched."""
    together: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
    for number, one in enumerate(scoped):
        for place, (source, allowed) in enumerate(zip(one.ask.sources, one.allowed, strict=True)):
            if one.vector is not None:
                key = (id(source.part.index), id(allowed), pool_of(one.ask.request))
                together.setdefault(key, []).append((number, place))
    hits: list[list[list[Hit]]] = [[[] for _ in one.ask.sources] for one in scoped]
    for (_, _, depth), members in together.items():
        number, place = members[0]
        queries = np.stack([vector for number, _ in members if (vector := scoped[number].vector) is not None])
        index, allowed = scoped[number].ask.sources[place].part.index, scoped[number].allowed[place]
        for (number, place), found in zip(members, index.search(queries, k=depth, allowed=allowed), strict=True):
            hits[number][place] = found
    return [_merged(of_one, pool_of(one.ask.request)) for one, of_one in zip(scoped, hits, strict=True)]


def _keyword(one: _Scoped) -> list[_Candidate]:
    """Return a question's hits by keyword.

    The statistics are of all that its permit allows of its sources together, whatever its filter leaves of that: else
    scores would count what meets a filter.
    """
    depth = pool_of(one.ask.request)
    searched = [
        (keywords, allowed, source.permitted)
        for source, allowed in zip(one.ask.sources, one.allowed, strict=True)
        if (keywords := source.part.keywords) is not None
    ]
    if not searched:
        return []
    query = query_from(one.ask.request.text or "", plurals=searched[0][0].plurals)
    matches = [keywords.match(query, allowed) for keywords, allowed, _ in searched]
    statistics = reduce(
        add,
        (
            found.statistics if allowed is permitted else keywords.statistics(query, permitted)
            for found, (keywords, allowed, permitted) in zip(matches, searched, strict=True)
        ),
    )
    ranked = [
        keywords.ranked(found, statistics, k=depth) for found, (keywords, _, _) in zip(matches, searched, strict=True)
    ]
    return _merged(ranked, depth)


def _merged(hits: Sequence[Sequence[Hit]], depth: int) -> list[_Candidate]:
    together = [_Candidate(place, hit.index, hit.score) for place, found in enumerate(hits) for hit in found]
    if len(hits) == 1:
        return together  # an index gives its hits in order, and no more than asked for
    together.sort(key=lambda candidate: -candidate.score)  # stable: sources and rows keep their order among equals
    return together[:depth]


def _answer_or_error(one: _Scoped, dense: list[_Candidate], reranker: Reranker | None) -> Answer | RagError:
    try:
        return _answer(one, dense, reranker)
    except RagError as error:
        return error


def _answer(one: _Scoped, dense: list[_Candidate], reranker: Reranker | None) -> Answer:
    request = one.ask.request
    candidates = _ranked(one, dense)
    if request.rerank and reranker is not None:
        candidates = _reranked(one, candidates[: request.rerank], reranker)
    if request.dedupe:
        texts = [_text(one, candidate) for candidate in candidates]
        candidates = [candidates[place] for place in distinct(texts)]
    if request.diversity is not None:
        candidates = _diverse(one, candidates[: POOL * request.k], request.diversity)
    chosen = candidates[: request.k]
    if request.neighbors:
        found = [Found(at.source, at.row, at.score, _neighbors(one, at)) for at in chosen]
    else:
        found = [Found(at.source, at.row, at.score) for at in chosen]
    return Answer(found=tuple(found), vector=one.vector)


def _ranked(one: _Scoped, dense: list[_Candidate]) -> list[_Candidate]:
    request = one.ask.request
    if request.mode is Mode.DENSE:
        return dense
    keyword = _keyword(one)
    if request.mode is Mode.KEYWORD:
        return keyword
    rankings = [[(candidate.source, candidate.row) for candidate in ranking] for ranking in (dense, keyword)]
    best = fused(rankings, k=pool_of(request), weights=request.weights)
    return [_Candidate(*hit.row, hit.score) for hit in best]


def _reranked(one: _Scoped, candidates: list[_Candidate], reranker: Reranker) -> list[_Candidate]:
    scores = reranker.scores(one.ask.request.text or "", [_text(one, candidate) for candidate in candidates])
    again = [_Candidate(at.source, at.row, score) for at, score in zip(candidates, scores, strict=True)]
    return sorted(again, key=lambda candidate: (-candidate.score, candidate.source, candidate.row))


def _diverse(one: _Scoped, candidates: list[_Candidate], thousandths: int) -> list[_Candidate]:
    if not candidates:
        return []
    vectors = np.concatenate([_vector(one, candidate) for candidate in candidates])
    relevance = np.array([candidate.score for candidate in candidates], dtype=np.float64)
    if one.ask.request.mode is not Mode.DENSE or one.ask.request.rerank:
        relevance = _on_unit_scale(relevance)
    chosen = diversified(relevance, vectors, k=one.ask.request.k, thousandths=thousandths)
    return [candidates[place] for place in chosen]


def _on_unit_scale(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring scores that are no inner products between 0 and 1, as far as candidates can be from one another."""
    spread = scores.max() - scores.min()
    return np.ones_like(scores) if spread == 0 else (scores - scores.min()) / spread


def _text(one: _Scoped, candidate: _Candidate) -> str:
    text = one.ask.sources[candidate.source].part.text
    return "" if text is None else text(candidate.row)


def _vector(one: _Scoped, candidate: _Candidate) -> NDArray[np.float32]:
    vectors = one.ask.sources[candidate.source].part.vectors
    if vectors is None:
        raise UnsupportedRequest("diversity: not offered for a dataset that was asked")
    return vectors(np.array([candidate.row], dtype=np.int64))


def _neighbors(one: _Scoped, candidate: _Candidate) -> tuple[int, ...]:
    around, allowed = one.ask.sources[candidate.source].part.neighborhoods, one.allowed[candidate.source]
    reach = one.ask.request.neighbors
    return () if around is None else tuple(around.around(candidate.row, reach=reach, allowed=allowed))
