"""A BERT encoder's tensors from one safetensors file: read once, hashed, and each of the shape config.json implies.

The format: https://github.com/huggingface/safetensors#format (a bounded JSON header, then plain numbers, no code).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from rag.errors import UnknownModel
from rag.weights import WEIGHTS, read_file

if TYPE_CHECKING:
    from torch import Tensor

    from rag.bert_config import BertConfig

WEIGHTS_BYTES_MAX = 2 << 30  # BERT-large in float32 has 1.3 GB
PREFIX = "bert."  # before every name where the file was saved with a head on top
# Not part of the encoder: heads and the tanh pooler, which sentence vectors do not use, and plain counting.
UNUSED_PREFIXES = ("pooler.", "cls.")
UNUSED = "embeddings.position_ids"


def bert_weights(folder: Path, config: BertConfig, expected_sha256: bytes) -> dict[str, Tensor]:
    """Return the encoder's tensors by name, in the number format of the file.

    Raises: UnknownModel: another hash than expected, no safetensors, too large, or a tensor that is missing, not
        expected, of another shape than the config implies, or that holds something else than finite numbers.
    """
    path = folder / WEIGHTS
    tensors = _tensors(path, _verified(path, expected_sha256))
    shapes = config.shapes()
    if missing := sorted(shapes.keys() - tensors.keys()):
        raise UnknownModel(f"{path} lacks {len(missing)} tensors that its config.json implies, {missing[0]!r} first")
    if extra := sorted(tensors.keys() - shapes.keys()):
        raise UnknownModel(f"{path} holds {len(extra)} tensors that its config.json does not imply, {extra[0]!r} first")
    for name, shape in shapes.items():
        _verify_tensor(path, name, tensors[name], shape)
    return tensors


def _verified(path: Path, expected_sha256: bytes) -> bytes:
    """Return the file's bytes: what is hashed is what is used, whatever happens to the file in between."""
    encoded = read_file(path, bytes_max=WEIGHTS_BYTES_MAX)
    actual = hashlib.sha256(encoded).digest()
    if actual != expected_sha256:
        raise UnknownModel(f"{path} has SHA-256 {actual.hex()}, expected {expected_sha256.hex()}")
    return encoded


def _tensors(path: Path, encoded: bytes) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(encoded)
    except (SafetensorError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UnknownModel(f"{path} cannot be loaded; install the model again") from error
    named = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    if len(named) != len(tensors):
        raise UnknownModel(f"{path} holds a tensor twice, with and without the prefix {PREFIX!r}")
    return {name: tensor for name, tensor in named.items() if name != UNUSED and not name.startswith(UNUSED_PREFIXES)}


def _verify_tensor(path: Path, name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    import torch

    if tuple(tensor.shape) != shape:
        raise UnknownModel(f"{path} holds {name!r} of shape {tuple(tensor.shape)}, its config.json implies {shape}")
    if tensor.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise UnknownModel(f"{path} holds {name!r} as {tensor.dtype}; float32, float16 or bfloat16 is needed")
    if not bool(torch.isfinite(tensor).all()):
        raise UnknownModel(f"{path} holds {name!r} with something that is no finite number")
