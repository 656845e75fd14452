"""An enclave whose vectors are drawn from its texts' hashes, so that its size is not bound by what a model embeds.

Run as a module it is `coffer`, with this engine in place of the real one: everything else is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from cli import wiring
from cli.home import Settings
from enclave.engine import LocalEngine
from enclave.found import Engine
from vault.envelope import Passage

DIMENSION = 384
PASSAGE_WORDS = 160  # about a kilobyte
WORDS = ("archive", "block", "charter", "digest", "enclave", "filter", "graph", "header", "index", "journal", "kernel")


class SyntheticEmbedder:
    """An `Embedder` without a model: near-random directions, which are easier to tell apart than real texts."""

    dimension = DIMENSION
    dtype = "float32"

    def __init__(self, model_hash: bytes) -> None:
        self.model_hash = model_hash
        self.settings_hash = bytes(32)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), DIMENSION)."""
        return vectors_of(texts)

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), DIMENSION)."""
        return vectors_of(texts)


def vectors_of(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return a unit row for each text, the same for the same text."""
    rows = np.empty((len(texts), DIMENSION), dtype=np.float32)
    for row, text in zip(rows, texts, strict=True):
        np.random.default_rng(crc32(text.encode())).standard_normal(out=row, dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def random_vectors(count: int, *, seed: int) -> NDArray[np.float32]:
    """Return unit rows of random directions, shape (count, DIMENSION)."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def passage(number: int) -> Passage:
    """Return one passage of about a kilobyte, unlike any other."""
    words = " ".join(WORDS[(number * 7 + i * (1 + number % 5)) % len(WORDS)] for i in range(PASSAGE_WORDS))
    text = f"{number} {words}"
    return Passage(f"document-{number // 20}", 0, len(text), text)


def make_engine(settings: Settings) -> Engine:
    """Return the real engine over synthetic vectors."""
    embedder = SyntheticEmbedder(wiring.model_of(settings)[1])
    return LocalEngine(embedder, wiring.index_maker(settings), wiring.open_storage(settings))


def main() -> None:
    """Run `coffer`."""
    from benchmarks import synthetic
    from cli.entry import main as coffer

    wiring.make_engine = synthetic.make_engine  # by its importable name, for the engine's process
    coffer()


if __name__ == "__main__":
    main()
