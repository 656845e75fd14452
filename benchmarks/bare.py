"""The bare engine, in a process of its own that is set up as the enclave's engine is: the same threads, waiting alike.

In the asking process it would be a weak opponent and a bad neighbor. Idle OpenMP threads spin there by default: on
busy cores a search waits for a thread that waits for a core, and for milliseconds after each search such a thread takes
the time of whoever is measured next.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enclave.worker_process import have_threads_sleep

if TYPE_CHECKING:
    from numpy.typing import NDArray

_made: dict[str, Any] = {}  # of the child: its index and, where it embeds, its embedder


class BareEngine:
    """Index, and perhaps embedder, of one child process."""

    def __init__(self, child: ProcessPoolExecutor) -> None:
        self._child = child

    def ask(self, query: NDArray[np.float32], *, k: int) -> float:
        """Search for one query, and return the milliseconds that the search itself took."""
        return self._child.submit(_searched_ms, query[None], k).result()

    def rate(self, batches: Sequence[NDArray[np.float32]], *, k: int) -> float:
        """Return queries a second, one batch after the other."""
        taken_ms = [self._child.submit(_searched_ms, batch, k).result() for batch in batches]
        return sum(map(len, batches)) / (sum(taken_ms) / 1000)

    def text_rate(self, batches: Sequence[Sequence[str]], *, k: int) -> float:
        """Return questions a second, each embedded and searched for, one batch after the other."""
        return self._child.submit(_text_rate, batches, k).result()


@contextmanager
def bare_engine(vectors: NDArray[np.float32]) -> Iterator[BareEngine]:
    """Lend the engine over these vectors."""
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as folder:
        path = Path(folder) / "vectors.npy"
        np.save(path, vectors)
        with _child() as child:
            child.submit(_open_vectors, str(path)).result()
            yield BareEngine(child)


@contextmanager
def bare_text_engine(texts: Sequence[str]) -> Iterator[BareEngine]:
    """Lend the engine over these texts, with the embedder that settings name."""
    with _child() as child:
        child.submit(_open_texts, texts).result()
        yield BareEngine(child)


def _child() -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=have_threads_sleep)


def _open_vectors(path: str) -> None:
    from rag.chosen import made_index

    _made["index"] = made_index(np.load(path))


def _open_texts(texts: Sequence[str]) -> None:
    from cli import wiring
    from cli.home import settings_from
    from rag.chosen import made_index

    embedder = wiring.make_embedder(settings_from())
    _made.update(embedder=embedder, index=made_index(embedder.embed_passages(texts)))


def _searched_ms(queries: NDArray[np.float32], k: int) -> float:
    started = time.perf_counter()
    _made["index"].search(queries, k=k, allowed=None)
    return 1000 * (time.perf_counter() - started)


def _text_rate(batches: Sequence[Sequence[str]], k: int) -> float:
    started = time.perf_counter()
    for batch in batches:
        _made["index"].search(_made["embedder"].embed_queries(batch), k=k, allowed=None)
    return sum(map(len, batches)) / (time.perf_counter() - started)
