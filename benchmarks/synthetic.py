"""An enclave whose vectors are given, so that its size is not bound by what a model embeds.

A passage begins with its number, and `COFFER_BENCH_VECTORS` names a NumPy file whose row of that number is its vector.

Run as a module it is `coffer`, with this engine in place of the real one: everything else is the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from cli import wiring
from cli.home import Settings
from enclave.engine import LocalEngine
from enclave.found import Engine
from vault.envelope import Passage

DIMENSION = 384
VECTORS_VARIABLE = "COFFER_BENCH_VECTORS"
PASSAGE_WORDS = 160  # about a kilobyte
WORDS = ("archive", "block", "charter", "digest", "enclave", "filter", "graph", "header", "index", "journal", "kernel")


class SyntheticEmbedder:
    """An `Embedder` without a model: it looks vectors up by the numbers that texts begin with."""

    dimension = DIMENSION
    dtype = "float32"

    def __init__(self, model_hash: bytes) -> None:
        self.model_hash = model_hash
        self.settings_hash = bytes(32)
        self._vectors: NDArray[np.float32] = np.load(os.environ[VECTORS_VARIABLE], mmap_mode="r")

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), DIMENSION)."""
        return self._vectors[[int(text.split(" ", 1)[0]) for text in texts]]

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), DIMENSION)."""
        return self._vectors[[int(text.split(" ", 1)[0]) for text in texts]]


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
