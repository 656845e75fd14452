"""A BERT of a few kilobytes with random weights, in the layout that sentence-transformers reads, to break at will."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from rag.bert_config import BertConfig

UNKNOWN = "[UNK]"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS), ":"]
CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": len(VOCABULARY),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
SHAPE = BertConfig(
    vocabulary=len(VOCABULARY), hidden=32, layers=2, heads=4, intermediate=48, positions=40, kinds=2, epsilon=1e-12
)
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def tensors() -> dict[str, torch.Tensor]:
    """Return the weights, the same each time."""
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in SHAPE.shapes().items()}


def write_model(
    folder: Path,
    *,
    config: dict[str, Any] | None = None,
    weights: dict[str, torch.Tensor] | None = None,
    pooling: dict[str, Any] | None = None,
    prompts: dict[str, Any] | None = None,
) -> bytes:
    """Write a whole model's folder and return the SHA-256 of its weights."""
    (folder / "1_Pooling").mkdir(parents=True)
    pooling = pooling or {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    _write(folder / "config.json", CONFIG | (config or {}))
    _write(folder / "modules.json", MODULES)
    _write(folder / "1_Pooling" / "config.json", pooling)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
    if prompts is not None:
        _write(folder / "config_sentence_transformers.json", prompts)
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    tokenizer().save(str(folder / "tokenizer.json"))
    save_file(tensors() if weights is None else weights, folder / "model.safetensors", {"format": "pt"})
    return hash_of(folder)


def hash_of(folder: Path) -> bytes:
    """Return the SHA-256 of a folder's weights."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).digest()


def tokenizer(*, framed: bool = True, vocabulary: list[str] = VOCABULARY) -> Tokenizer:
    """Return a WordPiece tokenizer of single letters."""
    places = {token: place for place, token in enumerate(vocabulary)}
    made = Tokenizer(models.WordPiece(places, unk_token=UNKNOWN))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
    if framed:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return made


def _write(path: Path, settings: object) -> None:
    path.write_text(json.dumps(settings))
