"""The shape of a BERT encoder, read from its config.json and believed only within bounds.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers" (2018), with the names that Hugging Face's
`BertConfig` gives its numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import UnknownModel
from rag.model_settings import read_settings

CONFIG = "config.json"
VOCABULARY_MAX = 1 << 20
HIDDEN_MAX = 4096  # BERT-large has 1024
LAYERS_MAX = 48  # BERT-large has 24
POSITIONS_MAX = 1 << 16
INTERMEDIATE_MAX = 1 << 14
KINDS_MAX = 16
EPSILON_MAX = 1e-3

# A setting that changes what is computed must have the one value we compute; where it is missing, it has it.
KNOWN = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BertConfig:
    """Sizes of one encoder: every tensor's shape follows from them."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    intermediate: int
    positions: int
    kinds: int
    epsilon: float

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor the encoder needs, by its name in the weights' file."""
        wide, inner = self.hidden, self.intermediate
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.word_embeddings.weight": (self.vocabulary, wide),
            "embeddings.position_embeddings.weight": (self.positions, wide),
            "embeddings.token_type_embeddings.weight": (self.kinds, wide),
            **_pair("embeddings.LayerNorm", (wide,)),
        }
        for number in range(self.layers):
            layer = f"encoder.layer.{number}."
            for name in ("attention.self.query", "attention.self.key", "attention.self.value"):
                shapes |= _pair(layer + name, (wide, wide))
            shapes |= _pair(layer + "attention.output.dense", (wide, wide))
            shapes |= _pair(layer + "attention.output.LayerNorm", (wide,))
            shapes |= _pair(layer + "intermediate.dense", (inner, wide))
            shapes |= _pair(layer + "output.dense", (wide, inner))
            shapes |= _pair(layer + "output.LayerNorm", (wide,))
        return shapes


def bert_config(folder: Path) -> BertConfig | None:
    """Return the shape that config.json states, or None where it is an encoder of another kind.

    Raises: UnknownModel: the file cannot be understood, or states a BERT that cannot be.
    """
    path = folder / CONFIG
    settings = read_settings(path)
    if "model_type" not in settings or any(settings.get(name, value) != value for name, value in KNOWN.items()):
        return None
    config = BertConfig(
        vocabulary=_number(settings, "vocab_size", VOCABULARY_MAX, path),
        hidden=_number(settings, "hidden_size", HIDDEN_MAX, path),
        layers=_number(settings, "num_hidden_layers", LAYERS_MAX, path),
        heads=_number(settings, "num_attention_heads", HIDDEN_MAX, path),
        intermediate=_number(settings, "intermediate_size", INTERMEDIATE_MAX, path),
        positions=_number(settings, "max_position_embeddings", POSITIONS_MAX, path),
        kinds=_number(settings, "type_vocab_size", KINDS_MAX, path),
        epsilon=_epsilon(settings, path),
    )
    if config.hidden % config.heads:
        raise UnknownModel(f"{path} states {config.heads} heads, which do not divide its hidden size {config.hidden}")
    return config


def _pair(name: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _number(settings: dict[str, Any], name: str, most: int, path: Path) -> int:
    number = settings.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= most:
        raise UnknownModel(f"{path} needs {name}, a whole number from 1 to {most}")
    return number


def _epsilon(settings: dict[str, Any], path: Path) -> float:
    epsilon = settings.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not math.isfinite(epsilon) or not 0 < epsilon <= EPSILON_MAX:
        raise UnknownModel(f"{path} needs layer_norm_eps, a number above 0 and up to {EPSILON_MAX}")
    return epsilon
