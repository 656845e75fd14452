"""A small embedder and engines around it: deterministic, fast, and the same interfaces as the real ones.

A text's vector is the normalized sum of one pseudo-random vector per word, so texts that share words are near.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hashlib import shake_256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enclave.crossing import crossed, crossed_asks, crossing, crossing_asks
from enclave.engine import LocalEngine
from enclave.found import Answer, Ask, Dataset, IndexFacts, Recall
from rag.faiss_index import FaissFlatIndex
from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.model import Blobs
from tests.people import seeded
from vault.errors import ServiceUnavailable, VaultError
from vault.question import PLAIN, Options

DIMENSION = 64


class ToyEmbedder:
    """An `Embedder` without a model."""

    dimension = DIMENSION
    dtype = "float32"
    model_hash = seeded("model")
    settings_hash = seeded("settings")

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([_vector(text) for text in texts])

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        vectors = self.embed_queries(texts)
        if progress is not None:
            progress(len(texts))
        return vectors


def _vector(text: str) -> NDArray[np.float32]:
    total = np.zeros(DIMENSION, dtype=np.float64)
    for word in text.lower().replace(".", " ").split() or [text]:
        total += np.frombuffer(shake_256(word.encode()).digest(DIMENSION), dtype=np.uint8) - 127.5
    vector: NDArray[np.float32] = (total / np.linalg.norm(total)).astype(np.float32)
    return vector


def toy_engine(blobs: Blobs) -> LocalEngine:
    """Return a real engine over a toy embedder."""
    return LocalEngine(ToyEmbedder(), FaissFlatIndex, blobs)


def toy_engine_in(folder: Path) -> LocalEngine:
    """Return a real engine over the blocks in a folder; a child process imports this by name."""
    return toy_engine(DirectoryBlobs(folder))


class InProcessEngine:
    """An `AsyncEngine` in this process, told and telling what crosses. `hold` makes searches wait until `let_go`."""

    def __init__(self, blobs: Blobs, engine: LocalEngine | None = None) -> None:
        self._engine = engine or toy_engine(blobs)
        self._ended = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._may_open = asyncio.Event()
        self._may_open.set()
        self.searches = 0

    @property
    def indexes(self) -> dict[Cid, IndexFacts]:
        return self._engine.indexes()

    @property
    def is_alive(self) -> bool:
        return not self._ended.is_set()

    async def ended(self) -> None:
        await self._ended.wait()

    async def open(
        self,
        datasets: Sequence[Dataset],
        progress: Callable[[int, int], None],
        *,
        beside: InProcessEngine | None = None,
    ) -> dict[Cid, Cid]:
        await self._may_open.wait()
        self._require_alive()
        return self._engine.open(datasets, progress, beside._engine.lender() if beside is not None else None)

    async def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]:
        self.searches += sum(isinstance(ask, Ask) for ask in asks)
        await self._free.wait()
        self._require_alive()
        return crossed(crossing(self._engine.search(crossed_asks(crossing_asks(asks)))))

    def end(self) -> None:
        self._engine.close()
        self._ended.set()
        self._free.set()
        self._may_open.set()

    async def retire(self) -> None:
        self.end()

    def hold(self) -> None:
        self._free.clear()

    def hold_opening(self) -> InProcessEngine:
        """Have `open` wait until `let_open`."""
        self._may_open.clear()
        return self

    def let_open(self) -> None:
        self._may_open.set()

    def let_go(self) -> None:
        self._free.set()

    def _require_alive(self) -> None:
        if self._ended.is_set():
            raise ServiceUnavailable("the enclave's engine has ended; nothing was charged, ask again")


class GatedEngine(LocalEngine):
    """An engine whose searches first read a named pipe to its end, while there is one at `gate`."""

    def __init__(self, folder: Path, gate: Path) -> None:
        super().__init__(ToyEmbedder(), FaissFlatIndex, DirectoryBlobs(folder))
        self._gate = gate

    def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]:
        if self._gate.exists():
            self._gate.read_bytes()
        return super().search(asks)


def ask(text: str, *datasets: Cid, k: int, vector: bytes = b"", options: Options = PLAIN) -> Ask:
    """Return an ask of an engine."""
    return Ask(text=text, vector=vector, datasets=datasets, k=k, options=options)


def answered(answers: Sequence[Answer | VaultError]) -> Answer:
    """Return the only answer, or raise why there is none."""
    (answer,) = answers
    if isinstance(answer, VaultError):
        raise answer
    return answer


def refused(answers: Sequence[Answer | VaultError], kind: type[VaultError]) -> bool:
    """Say whether all of the asks were refused for that reason."""
    return bool(answers) and all(type(answer) is kind for answer in answers)
