"""Texts to unit vectors with sentence-transformers, from one verified folder, without network, pickle or its code.

torch and sentence-transformers are imported when the first embedder is built, not with this module.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from rag.errors import DimensionMismatch, UnknownModel
from rag.weights import MINILM, MINILM_SHA256, WEIGHTS, model_path, verify_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "MINILM",
    "MINILM_SHA256",
    "SentenceTransformerEmbedder",
    "default_dtype",
    "model_path",
    "verify_model",
]

Dtype = Literal["float32", "bfloat16"]

TOKENS_MAX = 256  # with [CLS] and [SEP]; what is beyond is not embedded
BATCH = 16  # measured: 8 to 32 are alike, 128 is slower at 256 tokens
BATCH_MAX = 32
# 256 tokens of real text are some 1,500 characters. Without this cut the tokenizer would first read all of a
# document of 64 MiB to keep its head.
CHARS_MAX = 64 * 1024
THREADS_MAX = 1024


def default_dtype() -> Dtype:
    """Return bfloat16 where this CPU multiplies it in hardware (AVX512-BF16 or AMX), else float32.

    Measured with MiniLM at 256 tokens, 2 cores: 2.5 times float32's speed with AVX512-BF16, 3.7 times with AMX;
    SciFact's nDCG@10 falls by 0.1 %. Without such instructions bfloat16 is slower than float32.
    """
    import torch

    features = torch.cpu.get_capabilities()
    return "bfloat16" if features.get("avx512_bf16") or features.get("amx_bf16") else "float32"


class SentenceTransformerEmbedder:
    """An `Embedder` over a folder of safetensors weights whose hash is pinned. One thread at a time may use it."""

    def __init__(
        self,
        path: Path,
        *,
        expected_hash: bytes,
        dtype: Dtype | None = None,
        batch: int = BATCH,
        threads: int | None = None,
    ) -> None:
        """Verify the weights, then load them on the CPU.

        Args:
            path: the model's folder, from `model_path`.
            expected_hash: SHA-256 of its model.safetensors.
            dtype: None means `default_dtype()`.
            batch: texts embedded at once, 1 to `BATCH_MAX`; more need more memory and are no faster.
            threads: CPU threads of torch, for the whole process; None leaves torch's own choice.
        Raises: UnknownModel.
        """
        if not 1 <= batch <= BATCH_MAX:
            raise ValueError(f"batch must be 1 to {BATCH_MAX}, got {batch}")
        if threads is not None and not 1 <= threads <= THREADS_MAX:
            raise ValueError(f"threads must be 1 to {THREADS_MAX}, got {threads}")
        if dtype is not None and dtype not in get_args(Dtype):
            raise ValueError(f"dtype must be one of {get_args(Dtype)}, got {dtype!r}")
        self.model_hash = verify_model(path, expected_hash)
        self.dtype: str = dtype or default_dtype()
        self._batch = batch
        self._model = _load(path, self.dtype, threads)
        self.dimension: int = _dimension(self._model)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension). A query takes no prefix."""
        return self._embed(texts, None)

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension); an empty text has a vector too.

        Args:
            progress: called after each batch with the number of texts embedded so far.
        """
        return self._embed(texts, progress)

    def _embed(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        """Embed the longest texts first, so that a batch wastes little on padding and memory peaks at once."""
        import numpy as np

        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
        for start in range(0, len(order), self._batch):
            chosen = order[start : start + self._batch]
            vectors = self._model.encode(
                [texts[index][:CHARS_MAX] for index in chosen],
                batch_size=self._batch,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
            rows[chosen] = vectors
            if progress is not None:
                progress(start + len(chosen))
        # The model normalizes in its own dtype, where bfloat16 leaves norms up to 0.4 % from 1.
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        np.divide(rows, norms, out=rows, where=norms > 0)
        return rows


def _load(path: Path, dtype: str, threads: int | None) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported; below it is asked for again
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import torch
    from sentence_transformers import SentenceTransformer
    from tqdm import tqdm
    from transformers.utils import logging

    logging.disable_progress_bar()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore in the system, which would outlive a killed process
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        model = SentenceTransformer(
            str(path),
            device="cpu",
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
