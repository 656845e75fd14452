"""A BERT encoder in a few lines of torch: one product for queries, keys and values, fused attention, no padding on CPU.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018); the order of the sums and norms is the
one of Hugging Face's `BertModel`, and no dropout is left in it.

On the CPU the tokens of all texts lie one after another in one matrix, and attention runs text by text. So nothing is
computed for padding, and no row's sums depend on what lies beside it: the same text gives the same bytes whatever the
batch around it (measured with oneDNN on x86, tested; not a promise of oneDNN). The padded form serves the GPU.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rag.errors import UnknownModel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import Tensor

    from rag.bert_config import BertConfig

    Linear = Callable[[Tensor], Tensor]
    Attend = Callable[[Tensor], Tensor]

ROWS_MULTIPLE = 8  # so that few sizes of matrices occur, and oneDNN has its kernel ready


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    qkv: Linear
    attended: Callable[[Tensor, Tensor], Tensor]  # projected, with the residual added
    attended_norm: tuple[Tensor, Tensor]
    inner: Linear  # with GELU
    outer: Callable[[Tensor, Tensor], Tensor]
    outer_norm: tuple[Tensor, Tensor]


class Bert:
    """Token ids to token vectors. Its weights are read-only; one thread at a time may use it."""

    def __init__(self, config: BertConfig, tensors: Mapping[str, Tensor], *, dtype: str, device: str) -> None:
        """Take the encoder's tensors, as `bert_weights` returns them, to a device in a number format."""
        import torch

        self.config = config
        self.device = torch.device(device)
        self.dtype: torch.dtype = getattr(torch, dtype)
        self._tensors = tensors
        try:
            kinds = self._tensor("embeddings.token_type_embeddings.weight", torch.float32)
            self._words = self._tensor("embeddings.word_embeddings.weight")
            places = self._tensor("embeddings.position_embeddings.weight", torch.float32)
            self._places = (places + kinds[0]).to(self.dtype)  # all tokens are of kind 0
            self._norm = self._pair("embeddings.LayerNorm")
            self._layers = [self._layer(f"encoder.layer.{number}.") for number in range(config.layers)]
        except RuntimeError as error:
            raise UnknownModel(
                f"the model cannot be loaded on {device} as {dtype}: out of memory, or no such device"
            ) from error
        del self._tensors

    def packed(self, texts: Sequence[Tensor]) -> list[Tensor]:
        """Return each text's token vectors, shape (tokens, hidden), from its ids.

        The texts may differ in length, and each has at least one token; equal lengths side by side are faster.
        """
        import torch
        from torch.nn import functional

        lengths = [len(text) for text in texts]
        total = sum(lengths)
        spare = -total % ROWS_MULTIPLE
        ids = torch.cat([*texts, texts[0].new_zeros(spare)])
        places = torch.cat([torch.arange(length) for length in [*lengths, spare]])
        groups = [(length, len(list(same))) for length, same in groupby(lengths)]

        def attend(qkv: Tensor) -> Tensor:
            attended = torch.zeros(qkv.shape[0], self.config.hidden, dtype=qkv.dtype)
            start = 0
            for length, count in groups:
                end = start + length * count
                query, key, value = self._heads(qkv[start:end].view(count, length, -1))
                found = functional.scaled_dot_product_attention(query, key, value)
                attended[start:end] = found.transpose(1, 2).reshape(end - start, -1)
                start = end
            return attended

        vectors = self._encode(functional.embedding(ids, self._words), places, attend)
        return list(torch.split(vectors[:total], lengths))

    def padded(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return token vectors, shape (texts, tokens, hidden), of ids and a mask of that shape: True where a token is.

        Every row of the mask has a True. Made of tensors alone, so that a CUDA graph can record it.
        """
        import torch
        from torch.nn import functional

        count, length = ids.shape

        def attend(qkv: Tensor) -> Tensor:
            query, key, value = self._heads(qkv.view(count, length, -1))
            found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None, :])
            return found.transpose(1, 2).reshape(count * length, -1)

        words = functional.embedding(ids, self._words).view(count * length, -1)
        places = torch.arange(length, device=ids.device).repeat(count)
        return self._encode(words, places, attend).view(count, length, -1)

    def _encode(self, words: Tensor, places: Tensor, attend: Attend) -> Tensor:
        from torch.nn import functional

        vectors = self._normed(words + functional.embedding(places, self._places), self._norm)
        for layer in self._layers:
            vectors = self._normed(layer.attended(attend(layer.qkv(vectors)), vectors), layer.attended_norm)
            vectors = self._normed(layer.outer(layer.inner(vectors), vectors), layer.outer_norm)
        return vectors

    def _heads(self, qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count, length, _ = qkv.shape
        heads = qkv.view(count, length, 3, self.config.heads, -1).permute(2, 0, 3, 1, 4)
        return heads[0], heads[1], heads[2]

    def _normed(self, vectors: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        from torch.nn import functional

        return functional.layer_norm(vectors, (self.config.hidden,), *pair, self.config.epsilon)

    def _layer(self, name: str) -> _Layer:
        import torch

        parts = [self._pair(f"{name}attention.self.{part}") for part in ("query", "key", "value")]
        weight, bias = (torch.cat(pieces) for pieces in zip(*parts, strict=True))
        packs = self.device.type == "cpu" and _packs(self.dtype)
        linear, add = (_packed_linear, _packed_add) if packs else (_plain_linear, _plain_add)
        return _Layer(
            qkv=linear(weight, bias),
            attended=add(*self._pair(f"{name}attention.output.dense")),
            attended_norm=self._pair(f"{name}attention.output.LayerNorm"),
            inner=linear(*self._pair(f"{name}intermediate.dense"), gelu=True),
            outer=add(*self._pair(f"{name}output.dense")),
            outer_norm=self._pair(f"{name}output.LayerNorm"),
        )

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        return self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")

    def _tensor(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        return self._tensors[name].to(device=self.device, dtype=dtype or self.dtype).contiguous()


def _packs(dtype: torch.dtype) -> bool:
    """Say whether oneDNN holds weights in its own layout here, as `torch.compile` has it do: half the time or less."""
    import torch

    known = hasattr(torch.ops.mkldnn, "_linear_pointwise") and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    usual = platform.machine() in ("x86_64", "AMD64") and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return known and usual and (dtype == torch.float32 or bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


def _packed_linear(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Linear:
    import torch

    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, None)
    # The last argument chooses GELU's form: "none" is the exact one with the error function.
    fused: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")
    return lambda rows: ops._linear_pointwise(rows, packed, bias, *fused)


def _packed_add(weight: Tensor, bias: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    import torch

    ops: Any = torch.ops.mkldnn
    packed = ops._reorder_linear_weight(weight, None)
    return lambda rows, residual: ops._linear_pointwise.binary(rows, residual, packed, bias, "add")


def _plain_linear(weight: Tensor, bias: Tensor, *, gelu: bool = False) -> Linear:
    from torch.nn import functional

    if gelu:
        return lambda rows: functional.gelu(functional.linear(rows, weight, bias))
    return lambda rows: functional.linear(rows, weight, bias)


def _plain_add(weight: Tensor, bias: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
    from torch.nn import functional

    return lambda rows, residual: functional.linear(rows, weight, bias) + residual
