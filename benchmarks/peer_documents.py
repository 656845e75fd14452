"""Chroma in this process, as people use it: vectors and documents in one collection, on disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.harness import tell
from benchmarks.peer_engines import CHROMA_BATCH, EF_CONSTRUCTION, K, M, chroma_client

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EF_SEARCH = 100  # Chroma's own default


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An engine that returns texts."""

    name: str
    ask: Callable[[NDArray[np.float32]], object]  # one query, shape (dimension,)


@contextmanager
def chroma_with_documents(vectors: NDArray[np.float32], texts: Sequence[str]) -> Iterator[Peer | None]:
    """Yield Chroma over vectors with their texts; nothing where there are no texts, or it is not installed."""
    if not texts:
        yield None
        return
    if find_spec("chromadb") is None:
        tell("chromadb is not installed, so the rows against it are missing; see the extra `peers`")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="coffer-bench-", ignore_cleanup_errors=True) as folder:
        tell(f"adding {len(texts):,} passages to Chroma")
        graph = {"space": "ip", "max_neighbors": M, "ef_construction": EF_CONSTRUCTION, "ef_search": EF_SEARCH}
        collection = chroma_client(folder).create_collection(
            "passages", configuration={"hnsw": graph}, embedding_function=None
        )
        for start in range(0, len(vectors), CHROMA_BATCH):
            part = vectors[start : start + CHROMA_BATCH]
            rows = range(start, start + len(part))
            collection.add(
                ids=[str(row) for row in rows], embeddings=part, documents=list(texts[start : start + len(part)])
            )

        def ask(query: NDArray[np.float32]) -> object:
            return collection.query(query_embeddings=query[None], n_results=K, include=["distances", "documents"])

        yield Peer(name=f"Chroma {version('chromadb')} in process, with documents", ask=ask)
