"""The engine: opened datasets, their vectors and the search over them. It runs in the process that ends with the lease.

A query searches only the datasets its permit names, of those only what its policy lets be found, and of that only what
its filter leaves: a passage outside influences neither what is found nor how it scores (rule O4). Every dataset version
has an index of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from enclave.asking import filter_of, request_of, vector_of
from enclave.found import Answer, Ask, Dataset, Found, IndexFacts, Recall, Shaping
from enclave.lending import Lender
from enclave.lending import Source as Lending
from enclave.opened import Opened, Progress, opened_passages
from enclave.vectors import prepared_of
from rag.allowed import Allowed
from rag.errors import RagError
from rag.filters import Filter
from rag.model import Embedder, Index
from rag.parts import Source
from rag.rerank import Reranker
from rag.retrieve import Answer as Retrieved
from rag.retrieve import Ask as Retrieval
from rag.retrieve import retrieve
from storage.cid import Cid
from storage.model import Blobs
from vault.errors import AccessDenied, MalformedObject, VaultError
from vault.question import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class _Good:
    """An ask that can be answered, and what it brings."""

    number: int
    ask: Ask
    opened: tuple[Opened, ...]
    sources: tuple[Source, ...]
    permitted: tuple[Allowed | None, ...]  # of each dataset, the rows that the policy lets be found; None: all
    filter: Filter | None
    vector: NDArray[np.float32] | None  # None where its text is to be embedded, or words alone rank

    @property
    def needs_embedding(self) -> bool:
        return self.vector is None and self.ask.options.mode is not Mode.KEYWORD and not self.ask.is_count


class LocalEngine:
    """An engine in this process."""

    def __init__(
        self,
        embedder: Embedder,
        index_of: Callable[[NDArray[np.float32]], Index],
        blobs: Blobs,
        reranker: Reranker | None = None,
    ) -> None:
        self._embedder = embedder
        self._index_of = index_of
        self._blobs = blobs
        self._reranker = reranker
        self._opened: dict[Cid, Opened] = {}

    def open(self, datasets: Sequence[Dataset], progress: Progress, lending: Lending | None = None) -> dict[Cid, Cid]:
        """Fetch, verify, decrypt, embed and index; see `enclave.found.Engine.open`.

        Raises: `TamperedSegment`; `AccessDenied` for a dataset of another model; a `StorageError`.
        """
        if any(dataset.manifest.model != self._embedder.model_hash for dataset in datasets):
            raise AccessDenied("a dataset was chunked for another embedding model than this enclave's")
        total, done = sum(dataset.manifest.passages for dataset in datasets), 0
        progress(done, total)
        opened: dict[Cid, Opened] = {}
        made: dict[Cid, Cid] = {}
        for dataset in datasets:
            passages = opened_passages(self._blobs, dataset)
            prepared, snapshot = prepared_of(
                passages, dataset, self._embedder, self._blobs, partial(_advance, progress, done, total), lending
            )
            opened[passages.cid] = Opened(passages, self._index_of(prepared.vectors), prepared.kin)
            opened[passages.cid].prepare()
            if snapshot is not None:
                made[passages.cid] = snapshot
            done += len(passages.bodies)
            progress(done, total)
        self._opened = opened
        return made

    def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]:
        """Return for each ask what answers it, or why there is nothing; see `enclave.found.Engine.search`."""
        answers: list[Answer | VaultError | None] = [None] * len(asks)
        good: list[_Good] = []
        for number, ask in enumerate(asks):
            try:
                if isinstance(ask, Recall):
                    answers[number] = self._recalled(ask)
                else:
                    good.append(self._good(number, ask))
            except (VaultError, RagError) as error:
                answers[number] = _told(error)
        started = time.perf_counter()
        vectors = self._vectors(good)
        embedded = time.perf_counter()
        found = self._found(good, vectors)
        ended = time.perf_counter()
        for one, vector, passages in zip(good, vectors, found, strict=True):
            answers[one.number] = (
                passages
                if isinstance(passages, VaultError)
                else Answer(
                    found=passages,
                    vector=b"" if vector is None else vector.astype("<f4").tobytes(),
                    embed_s=embedded - started,
                    search_s=ended - embedded,
                    matching=_matching(one),
                )
            )
        return [answer for answer in answers if answer is not None]

    def indexes(self) -> dict[Cid, IndexFacts]:
        """Return how each dataset that is open is searched, by manifest."""
        return {cid: opened.index_facts() for cid, opened in self._opened.items()}

    def lender(self) -> Lender:
        """Return what gives the vectors of what is open now to an engine that opens beside this one."""
        return Lender(self._opened.values())

    def close(self) -> None:
        """Drop the references; only the end of the process takes the bytes from memory."""
        self._opened = {}

    def _recalled(self, recall: Recall) -> Answer:
        """Return an answer's passages by place, in order, without scores."""
        if not all(cid in self._opened for cid, _ in recall.places):
            raise AccessDenied("a dataset of that answer is no longer open in this enclave")
        found = [
            self._opened[cid].found(row, score, recall.shaping)
            for (cid, row), score in zip(recall.places, recall.scores, strict=True)
        ]
        return Answer(found=tuple(found), vector=b"", embed_s=0.0, search_s=0.0)

    def _good(self, number: int, ask: Ask) -> _Good:
        """Return an ask with what it brings, or raise why it cannot be answered."""
        if not all(cid in self._opened for cid in ask.datasets):
            raise AccessDenied("a dataset of the permit is not open in this enclave")
        only = dict(zip(ask.datasets, ask.only, strict=True)) if ask.only else {}
        opened = tuple(self._opened[cid] for cid in sorted(ask.datasets))
        permitted = tuple(one.permitted(only.get(one.passages.cid, b"")) for one in opened)
        sources = (
            Source(part=one.part(ask.options), permitted=allowed)
            for one, allowed in zip(opened, permitted, strict=True)
        )
        return _Good(
            number=number,
            ask=ask,
            opened=opened,
            sources=tuple(sources) if ask.k else (),
            permitted=permitted,
            filter=filter_of(ask),
            vector=vector_of(ask, self._embedder.dimension),
        )

    def _vectors(self, good: Sequence[_Good]) -> list[NDArray[np.float32] | None]:
        """Return each question's vector, or None where words alone rank; all texts are embedded at once."""
        vectors = [one.vector for one in good]
        texts = [place for place, one in enumerate(good) if one.needs_embedding]
        if texts:
            embedded = self._embedder.embed_queries([good[place].ask.text for place in texts])
            for place, vector in zip(texts, embedded, strict=True):
                vectors[place] = vector
        return vectors

    def _found(
        self, good: Sequence[_Good], vectors: Sequence[NDArray[np.float32] | None]
    ) -> list[tuple[Found, ...] | VaultError]:
        """Search for all at once: what asks for the same datasets reads memory once."""
        found: list[tuple[Found, ...] | VaultError] = [()] * len(good)
        asks: dict[int, Retrieval] = {}
        for place, one in enumerate(good):
            if not one.ask.k:
                continue
            try:
                request = request_of(one.ask, vectors[place], one.filter)
            except RagError as error:  # its own: the others' answers do not depend on it
                found[place] = _told(error)
            else:
                asks[place] = Retrieval(request=request, sources=one.sources)
        for place, answer in zip(asks, retrieve([*asks.values()], reranker=self._reranker), strict=True):
            if isinstance(answer, RagError):
                found[place] = _told(answer)
            else:
                found[place] = _passages(good[place].opened, answer, good[place].ask.shaping)
        return found


def _passages(scope: Sequence[Opened], answer: Retrieved, shaping: Shaping) -> tuple[Found, ...]:
    """Return the hits, each with its neighbors after it in reading order, under its score; none twice."""
    if not any([hit.neighbors for hit in answer.found]):
        return tuple([scope[hit.source].found(hit.row, hit.score, shaping) for hit in answer.found])
    scores: dict[tuple[int, int], float] = {(hit.source, hit.row): hit.score for hit in answer.found}
    ordered: dict[tuple[int, int], float] = {}
    for hit in answer.found:
        ordered[hit.source, hit.row] = hit.score
        for row in hit.neighbors:
            if (hit.source, row) not in scores:
                ordered.setdefault((hit.source, row), hit.score)
    return tuple(scope[source].found(row, score, shaping) for (source, row), score in ordered.items())


def _matching(good: _Good) -> tuple[tuple[bytes, int], ...]:
    """Return how many passages of each dataset meet a count's filter, with their owner."""
    if not good.ask.is_count or good.filter is None:
        return ()
    return tuple(
        (one.passages.manifest.owner, one.count(good.filter, within))
        for one, within in zip(good.opened, good.permitted, strict=True)
    )


def _told(error: VaultError | RagError) -> VaultError:
    """Return an error as the service knows it; retrieval's messages quote nothing of a question."""
    return error if isinstance(error, VaultError) else MalformedObject(str(error))


def _advance(progress: Progress, before: int, total: int, done: int) -> None:
    progress(before + done, total)
