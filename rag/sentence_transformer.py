"""Texts to unit vectors with sentence-transformers, for encoders other than BERT, and to compare ours with.

From one verified folder, without network, pickle or its code. sentence-transformers is imported when the first
embedder is built, not with this module.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.embedding_options import BATCH, TOKENS_MAX, Dtype, set_threads
from rag.errors import DimensionMismatch, UnknownModel
from rag.model_settings import prompts_of
from rag.pooling import unit
from rag.prompted_embedder import PromptedEmbedder
from rag.weights import WEIGHTS
from rag.wordpieces import CHARS_MAX, encodable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray


class SentenceTransformerEmbedder(PromptedEmbedder):
    """An `Embedder` over a folder of safetensors weights whose hash is pinned. One thread at a time may use it."""

    def __init__(
        self,
        path: Path,
        *,
        expected_hash: bytes,
        dtype: Dtype | None = None,
        batch: int = BATCH,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Verify the weights, then load them.

        Args:
            path: the model's folder, from `model_path`.
            expected_hash: SHA-256 of its model.safetensors.
            dtype: None means `default_dtype()`.
            batch: texts embedded at once, 1 to `BATCH_MAX`; more need more memory and are no faster.
            threads: CPU threads of torch in whichever thread embeds; None leaves torch's own choice.
            device: "cpu" or "cuda".
        Raises: UnknownModel.
        """
        super().__init__(path, expected_hash=expected_hash, dtype=dtype, batch=batch, threads=threads, device=device)
        self._query_prompt, self._passage_prompt = prompts_of(path)
        self._batch = batch
        self._model = _load(path, self.dtype, device)
        self.dimension = _dimension(self._model)

    def _embed(self, texts: Sequence[str], prompt: str, progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        """Embed the longest texts first, so that a batch wastes little on padding and memory peaks at once."""
        import numpy as np

        set_threads(self._threads)
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            rows[chosen] = self._model.encode(
                [encodable(texts[index][:CHARS_MAX]) for index in chosen],
                prompt=prompt,
                batch_size=self._batch,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            if progress is not None:
                progress(start + len(chosen))
        return unit(rows)


def _load(path: Path, dtype: str, device: str) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported; below it is asked for again
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import torch

    try:
        from sentence_transformers import SentenceTransformer
        from tqdm import tqdm
        from transformers.utils import logging
    except ImportError as error:
        raise UnknownModel(f"{path} is no BERT, and other models need: pip install sentence-transformers") from error

    logging.disable_progress_bar()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore in the system, which would outlive a killed process
    try:
        model = SentenceTransformer(
            str(path),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": getattr(torch, dtype), "use_safetensors": True},
        )
    except (OSError, ValueError, KeyError) as error:
        raise UnknownModel(f"{path / WEIGHTS} cannot be loaded; install the model again") from error
    model.max_seq_length = TOKENS_MAX
    return model.eval()


def _dimension(model: Any) -> int:
    dimension = model.get_embedding_dimension()
    if not isinstance(dimension, int) or dimension < 1:
        raise DimensionMismatch(f"the model states the dimension {dimension!r}; a whole number from 1 is needed")
    return dimension
