"""What our embedders share: a verified folder, torch's threads, and the model's own prompts before texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from rag.embedding_options import Dtype, default_dtype, set_threads, verify_options
from rag.weights import settings_digest, verify_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray


class PromptedEmbedder(ABC):
    """An `Embedder` over a folder of safetensors weights whose hash is pinned. One thread at a time may use it."""

    dimension: int
    _query_prompt: str
    _passage_prompt: str

    def __init__(
        self, path: Path, *, expected_hash: bytes, dtype: Dtype | None, batch: int, threads: int | None, device: str
    ) -> None:
        verify_options(dtype=dtype, batch=batch, threads=threads, device=device)
        self.model_hash = verify_model(path, expected_hash)
        self.settings_hash = settings_digest(path)
        self.dtype: str = dtype or default_dtype(device)
        self._threads = threads
        set_threads(threads)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension), of texts with the model's own prompt for queries, if any."""
        return self._embed(texts, self._query_prompt, None)

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension); an empty text has a vector too.

        Args:
            progress: called after each batch with the number of texts embedded so far.
        """
        return self._embed(texts, self._passage_prompt, progress)

    @abstractmethod
    def _embed(self, texts: Sequence[str], prompt: str, progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        """Return unit rows of texts with this prompt before each."""
