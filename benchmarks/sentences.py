"""Real vectors to search: every sentence of SciFact's abstracts, and its claims as queries, embedded once and kept.

They are kept in the user's cache folder, named by what they were made from, so that a changed corpus, model or number
format is embedded anew.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cli import wiring
from cli.home import settings_from
from rag.beir import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.beir import BeirCorpus

SCIFACT = Path(__file__).resolve().parents[1].parent / "shared" / "corpora" / "scifact"
SENTENCE_CHARS_MIN = 20  # shorter ones are headings and remains of abbreviations
_BOUNDARY = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9(\"'])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentences:
    """Texts with their unit vectors, row by row, and queries of another hand."""

    texts: list[str]
    vectors: NDArray[np.float32]
    queries: NDArray[np.float32]


def sentences(folder: Path = SCIFACT) -> Sentences:
    """Return a BEIR corpus by sentences; the first run embeds them, which takes minutes.

    Raises: MalformedCorpus: the folder is not there.
    """
    corpus = load(folder)
    texts = sentences_of(corpus)
    settings = settings_from()
    digest, dtype = wiring.model_of(settings)[1], wiring.dtype_of(settings)
    named = hashlib.sha256("\0".join([digest.hex(), dtype, *texts, *corpus.queries.values()]).encode())
    cached = cache_folder() / f"{folder.name}-{named.hexdigest()[:16]}.npz"
    if not cached.is_file():
        embedder = wiring.make_embedder(settings)
        vectors = embedder.embed_passages(texts)
        queries = embedder.embed_queries(list(corpus.queries.values()))
        _keep(cached, vectors, queries)
    with np.load(cached, allow_pickle=False) as arrays:
        return Sentences(texts=texts, vectors=arrays["vectors"], queries=arrays["queries"])


def sentences_of(corpus: BeirCorpus) -> list[str]:
    """Return the distinct sentences of all documents, in order."""
    found = (part.strip() for _, document in corpus.documents for part in _BOUNDARY.split(document.text))
    return list(dict.fromkeys(part for part in found if len(part) >= SENTENCE_CHARS_MIN))


def cache_folder() -> Path:
    """Return where vectors are kept between runs, by the XDG Base Directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coffer" / "benchmarks"


def _keep(path: Path, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    """Write beside, then rename: a run that is interrupted leaves no half file under the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npz")
    np.savez(beside, vectors=vectors, queries=queries)
    beside.replace(path)
