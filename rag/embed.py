"""Texts to unit vectors with our own BERT encoder, from one verified folder: no network, no pickle, no code of others.

torch is imported when the first embedder is built, not with this module.

The same text gives the same bytes on one machine, with one number of threads and one version of torch, whatever the
batch around it: on x86 with oneDNN that is measured and tested. On other machines, and on a GPU, rounding follows the
batch. So a replay (rule R5) starts at the query's vector, and a text's vector is compared by `is_same_embedding`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rag.bert_config import bert_config
from rag.cuda_graphs import Graphed
from rag.embedding_options import (
    BATCH,
    BATCH_MAX,
    TOKENS_MAX,
    Dtype,
    default_dtype,
    set_threads,
)
from rag.errors import UnknownModel
from rag.model_settings import SentenceSettings, sentence_settings
from rag.pooling import pooled, pooled_padded, unit
from rag.prompted_embedder import PromptedEmbedder
from rag.sentence_transformer import SentenceTransformerEmbedder
from rag.weights import MINILM, MINILM_SHA256, model_path, verify_model
from rag.wordpieces import Wordpieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from rag.bert_config import BertConfig
    from rag.model import Embedder

__all__ = [
    "BATCH_MAX",
    "MINILM",
    "MINILM_SHA256",
    "TOKENS_MAX",
    "BertEmbedder",
    "Dtype",
    "SentenceTransformerEmbedder",
    "default_dtype",
    "is_same_embedding",
    "model_path",
    "open_embedder",
    "verify_model",
]

SAME_COSINE = 0.999  # a text embedded twice, in bfloat16 or float32; measured between the two: 0.9999
NORM_ERROR = 1e-5
GPU_BATCH = 1024
WINDOW = 4096  # texts tokenized and sorted at once; their ids are some 8 MiB
WARM_TOKENS = 64  # most questions are shorter


def open_embedder(
    path: Path,
    *,
    expected_hash: bytes,
    dtype: Dtype | None = None,
    batch: int = BATCH,
    threads: int | None = None,
    device: str = "cpu",
) -> Embedder:
    """Return the embedder for a model's folder: ours for BERT, sentence-transformers' for other encoders.

    Args: those of `BertEmbedder`.
    Raises: UnknownModel.
    """
    verify_model(path, expected_hash)
    kind = SentenceTransformerEmbedder if _known(path) is None else BertEmbedder
    return kind(path, expected_hash=expected_hash, dtype=dtype, batch=batch, threads=threads, device=device)


def is_same_embedding(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Say whether two unit vectors are one text's by one model, up to number formats, machines and batches."""
    import numpy as np

    if one.shape != other.shape or one.ndim != 1:
        return False
    first, second = one.astype(np.float64), other.astype(np.float64)
    norms = float(np.linalg.norm(first)), float(np.linalg.norm(second))
    return all(abs(norm - 1) <= NORM_ERROR for norm in norms) and float(first @ second) >= SAME_COSINE


class BertEmbedder(PromptedEmbedder):
    """An `Embedder` over a folder with a BERT's safetensors whose hash is pinned. One thread at a time may use it."""

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
        """Verify the weights, load them, and embed something, so that the first question finds all warm.

        Args:
            path: the model's folder, from `model_path`.
            expected_hash: SHA-256 of its model.safetensors.
            dtype: None means `default_dtype(device)`.
            batch: texts of 256 tokens embedded at once on the CPU, or as many tokens of shorter ones, 1 to `BATCH_MAX`;
                more need more memory and are no faster.
            threads: CPU threads of torch in whichever thread embeds; None leaves torch's own choice.
            device: "cpu", "cuda" or "cuda:N".
        Raises: UnknownModel.
        """
        from rag.bert import Bert
        from rag.bert_weights import bert_weights

        super().__init__(path, expected_hash=expected_hash, dtype=dtype, batch=batch, threads=threads, device=device)
        known = _known(path)
        if known is None:
            raise UnknownModel(f"{path} is no BERT as this program computes it; open it with sentence-transformers")
        config, self._settings = known
        self._query_prompt, self._passage_prompt = self._settings.query_prompt, self._settings.passage_prompt
        self.dimension = config.hidden
        tokens_max = min(TOKENS_MAX, config.positions)
        self._wordpieces = Wordpieces(path, tokens_max=tokens_max, vocabulary=config.vocabulary)
        self._bert = Bert(config, bert_weights(path, config, expected_hash), dtype=self.dtype, device=device)
        self._on_gpu = device != "cpu"
        self._graphed = Graphed(self._encode_padded, device=device)
        self._tokens_at_once = (GPU_BATCH if self._on_gpu else batch) * TOKENS_MAX
        self._warm_up()

    def _embed(self, texts: Sequence[str], prompt: str, progress: Callable[[int], None] | None) -> NDArray[np.float32]:
        import numpy as np
        import torch

        set_threads(self._threads)
        rows = np.empty((len(texts), self.dimension), dtype=np.float32)
        done = 0
        with torch.inference_mode():
            for start in range(0, len(texts), WINDOW):
                encoded = self._wordpieces.encode(texts[start : start + WINDOW], prompt=prompt)
                for chosen in self._batches([len(ids) for ids in encoded]):
                    tensors = [torch.from_numpy(encoded[index]) for index in chosen]
                    rows[[start + index for index in chosen]] = self._vectors(tensors)
                    done += len(chosen)
                    if progress is not None:
                        progress(done)
        return unit(rows)

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """Yield places in batches, by falling number of tokens: equal ones meet, and memory peaks at once."""
        order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
        start = 0
        while start < len(order):
            count = max(1, self._tokens_at_once // lengths[order[start]])
            yield order[start : start + count]
            start += count

    def _vectors(self, texts: Sequence[Tensor]) -> NDArray[np.float32]:
        """Return a row a text, of any length."""
        import numpy as np

        if self._on_gpu:
            return self._on_device(texts)
        return np.stack([pooled(tokens, self._settings.pooling) for tokens in self._bert.packed(texts)])

    def _on_device(self, texts: Sequence[Tensor]) -> NDArray[np.float32]:
        import numpy as np
        import torch
        from torch.nn.utils.rnn import pad_sequence

        ids = pad_sequence(list(texts), batch_first=True)
        lengths = torch.tensor([len(text) for text in texts])
        mask = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
        rows = self._graphed(ids.to(self._bert.device), mask.to(self._bert.device))
        return np.asarray(rows.cpu().numpy())

    def _encode_padded(self, ids: Tensor, mask: Tensor) -> Tensor:
        return pooled_padded(self._bert.padded(ids, mask), mask, self._settings.pooling)

    def _warm_up(self) -> None:
        """Run every size that questions have, and refuse a model whose vectors are no numbers."""
        import numpy as np
        import torch

        with torch.inference_mode():
            for tokens in range(8, min(WARM_TOKENS, self._bert.config.positions) + 1, 8):
                self._vectors([torch.zeros(tokens, dtype=torch.int64)])
        probe = self.embed_queries(["warm"])
        if not np.isfinite(probe).all() or not probe.any():
            raise UnknownModel("the embedding model gives vectors that are no numbers; pin another one")


def _known(path: Path) -> tuple[BertConfig, SentenceSettings] | None:
    """Return what a BERT's folder states, or None for a model that we do not compute ourselves."""
    config = bert_config(path)
    if config is None:
        return None
    settings = sentence_settings(path, dimension=config.hidden)
    return None if settings is None else (config, settings)
