"""The engine: opened datasets, their vectors and the search over them. It runs in the process that ends with the lease.

A query searches only rows of the datasets its permit names: the mask is applied before ranking, so a passage outside it
influences neither what is found nor how it scores (rule O4).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from enclave.found import Answer, Dataset, Found
from rag.model import Embedder, Index
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from storage.unixfs import read_file
from vault.envelope import SEGMENT_BYTES_MAX, SIZE_FLOOR, open_segment, passage_salts, passage_text
from vault.errors import AccessDenied, TamperedSegment
from vault.manifest import Manifest, corpus_tree
from vault.merkle import Tree

SEALED_BYTES_MAX = SEGMENT_BYTES_MAX + SIZE_FLOOR


@dataclass(slots=True)
class _Opened:
    manifest: Manifest
    first: int  # row of its first passage
    bodies: list[bytes]
    salts: list[bytes]
    leaves: Tree


class LocalEngine:
    """An engine in this process."""

    def __init__(self, embedder: Embedder, index_of: Callable[[NDArray[np.float32]], Index], blobs: Blobs) -> None:
        self._embedder = embedder
        self._index_of = index_of
        self._blobs = blobs
        self._opened: dict[Cid, _Opened] = {}
        self._index: Index | None = None

    def open(self, datasets: Sequence[Dataset], progress: Callable[[int, int], None]) -> None:
        """Fetch, verify, decrypt, embed and index. Raises `TamperedSegment` or a `StorageError`."""
        opened: dict[Cid, _Opened] = {}
        texts: list[str] = []
        for dataset in datasets:
            if dataset.manifest.model != self._embedder.model_hash:
                raise AccessDenied("a dataset was chunked for another embedding model than this enclave's")
            bodies = fetched_passages(self._blobs, dataset)
            tree = corpus_tree(dataset.key, bodies)
            if tree.root() != dataset.manifest.corpus_root:
                raise TamperedSegment("the passages are not the ones the owner committed to")
            salts = list(islice(passage_salts(dataset.key), len(bodies)))
            opened[dataset.manifest.cid()] = _Opened(dataset.manifest, len(texts), bodies, salts, tree)
            texts.extend(passage_text(body) for body in bodies)
        total = len(texts)
        progress(0, total)
        vectors = self._embedder.embed_passages(texts, progress=lambda done: progress(done, total))
        self._index = self._index_of(vectors)
        self._opened = opened

    def search(self, text: str, datasets: Sequence[Cid], k: int) -> Answer:
        """Return the `k` nearest passages among the datasets given."""
        index = self._index
        if index is None or not all(cid in self._opened for cid in datasets):
            raise AccessDenied("a dataset of the permit is not open in this enclave")
        started = time.perf_counter()
        vectors = self._embedder.embed_queries([text])
        embedded = time.perf_counter()
        (hits,) = index.search(vectors, k=k, allowed=self._allowed(datasets))
        searched = time.perf_counter()
        return Answer(
            found=tuple(self._found(hit.index, hit.score) for hit in hits),
            vector=np.ascontiguousarray(vectors[0], dtype="<f4").tobytes(),
            embed_s=embedded - started,
            search_s=searched - embedded,
        )

    def passages(self, places: Sequence[tuple[Cid, int]], vector: bytes) -> tuple[Found, ...]:
        """Return passages by place with the scores that a search with `vector` gave them."""
        index = self._index
        if index is None or not all(cid in self._opened for cid, _ in places):
            raise AccessDenied("a dataset of that answer is no longer open in this enclave")
        rows = np.array([self._opened[cid].first + at for cid, at in places], dtype=np.int64)
        scores = index.scores(np.frombuffer(vector, dtype="<f4"), rows)
        return tuple(self._found(int(row), score) for row, score in zip(rows, scores, strict=True))

    def close(self) -> None:
        """Drop the references; only the end of the process takes the bytes from memory."""
        self._opened = {}
        self._index = None

    def _allowed(self, datasets: Sequence[Cid]) -> NDArray[np.bool_] | None:
        if len(set(datasets)) == len(self._opened):
            return None
        allowed = np.zeros(sum(len(opened.bodies) for opened in self._opened.values()), dtype=np.bool_)
        for cid in datasets:
            opened = self._opened[cid]
            allowed[opened.first : opened.first + len(opened.bodies)] = True
        return allowed

    def _found(self, row: int, score: float) -> Found:
        cid, opened = next(
            (cid, opened)
            for cid, opened in self._opened.items()
            if opened.first <= row < opened.first + len(opened.bodies)
        )
        index = row - opened.first
        body = opened.bodies[index]
        return Found(
            manifest=cid,
            index=index,
            score=score,
            body=body,
            text=passage_text(body),
            salt=opened.salts[index],
            commitment=opened.leaves.leaf(index),
            path=opened.leaves.path(index),
            owner=opened.manifest.owner,
        )


def fetched_passages(blobs: Blobs, dataset: Dataset) -> list[bytes]:
    """Return a dataset's encoded passages in order: every block checked, every segment authenticated."""
    manifest = dataset.manifest
    bodies: list[bytes] = []
    for index, segment in enumerate(manifest.segments):
        try:
            sealed = read_file(blobs, segment.root, bytes_max=SEALED_BYTES_MAX)
        except StorageError as error:
            raise type(error)(f"segment {index} of dataset {manifest.title or manifest.cid()}: {error}") from error
        opened = open_segment(
            dataset.key,
            sealed,
            genesis=manifest.genesis,
            dataset=manifest.dataset,
            version=manifest.version,
            index=index,
        )
        if len(opened) != segment.passages or len(sealed) != segment.sealed_bytes:
            raise TamperedSegment(f"segment {index} does not hold what the manifest says")
        bodies.extend(opened)
    return bodies
