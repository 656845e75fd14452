"""An optional cross-encoder that reads question and passage together and orders the first candidates anew.

None ships with Coffer: name a folder with safetensors weights and pin its files. Only transformers' own classes read
it, offline, and no code from the folder runs. Scores are float32 of one machine: the same candidates give the same
scores whatever is asked besides, since each question is a batch of its own, but another machine may differ in the last
digits. So a replay (rule R5) compares them within a bound.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rag.errors import UnknownModel
from rag.weights import SETTINGS_BYTES_MAX, SHA256_BYTES, TOKENIZER, WEIGHTS, verify_model

CONFIG = "config.json"
PINNED = frozenset({WEIGHTS, CONFIG, TOKENIZER})  # everything that is read of the folder
DEPTH_MAX = 100  # candidates of one question
TOKENS_MAX = 512  # of question and passage together; a longer passage is cut, and a question that fills it all
CHARS_MAX = 64 * 1024
BATCH = 16


def reranker_digest(path: Path) -> bytes:
    """Return SHA-256 over the files of a cross-encoder's folder, which pins all of them. Raises `UnknownModel`."""
    pins = reranker_pins(path)
    return hashlib.sha256(b"coffer/reranker/v1" + b"".join(pins[name] for name in sorted(PINNED))).digest()


def reranker_pins(path: Path) -> dict[str, bytes]:
    """Return SHA-256 of each file that is read of a cross-encoder's folder. Raises `UnknownModel`."""
    return {name: _file_digest(path / name) for name in PINNED}


class Reranker(Protocol):
    """Scores passages against a question."""

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return one finite score a passage; higher is better."""
        ...


class CrossEncoder:
    """A `Reranker` over a folder of safetensors weights. One thread at a time may use it."""

    def __init__(self, path: Path, *, expected: Mapping[str, bytes]) -> None:
        """Verify the files, then load the model on the CPU, in float32.

        Args:
            path: the folder.
            expected: SHA-256 of each of `PINNED`, by file name.
        Raises: UnknownModel.
        """
        if set(expected) != PINNED:
            raise ValueError(f"pin the hashes of {', '.join(sorted(PINNED))}")
        self.model_hash = verify_model(path, expected[WEIGHTS])
        for name in (CONFIG, TOKENIZER):
            _verify_file(path / name, expected[name])
        _require_known(path / CONFIG)
        self._model, self._tokenizer = _loaded(path)
        self._pad = self._model.config.pad_token_id or 0
        self._kinds = getattr(self._model.config, "type_vocab_size", 1) > 1

    def scores(self, question: str, passages: Sequence[str]) -> list[float]:
        """Return one score a passage. Raises `UnknownModel` where the model gives one that is no number."""
        if len(passages) > DEPTH_MAX:
            raise ValueError(f"at most {DEPTH_MAX} passages are reranked, got {len(passages)}")
        pairs = [(question[:CHARS_MAX], passage[:CHARS_MAX]) for passage in passages]
        encoded = self._tokenizer.encode_batch(pairs) if pairs else []
        order = sorted(range(len(encoded)), key=lambda place: (-len(encoded[place].ids), place))
        scores = [0.0] * len(encoded)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for place, score in zip(batch, self._scored([encoded[place] for place in batch]), strict=True):
                scores[place] = score
        if not all(map(math.isfinite, scores)):
            raise UnknownModel("the reranking model gives scores that are no numbers; pin another one")
        return scores

    def _scored(self, encoded: Sequence[Any]) -> list[float]:
        import torch

        width = max(len(one.ids) for one in encoded)
        inputs = {"input_ids": self._padded([one.ids for one in encoded], width, self._pad)}
        inputs["attention_mask"] = self._padded([one.attention_mask for one in encoded], width, 0)
        if self._kinds:
            inputs["token_type_ids"] = self._padded([one.type_ids for one in encoded], width, 0)
        with torch.inference_mode():
            logits = self._model(**inputs).logits
        return [float(score) for score in logits[:, 0].tolist()]

    @staticmethod
    def _padded(rows: Sequence[Sequence[int]], width: int, value: int) -> Any:
        import torch

        return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows], dtype=torch.long)


def _loaded(path: Path) -> tuple[Any, Any]:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when huggingface_hub is first imported; below it is asked for again
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import torch
    from tokenizers import Tokenizer
    from transformers import AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            str(path),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
        tokenizer = Tokenizer.from_file(str(path / TOKENIZER))
    except Exception as error:  # tokenizers raises Exception itself, transformers whatever its parsers meet
        raise UnknownModel(f"{path} cannot be loaded as a cross-encoder; export it again") from error
    if report["missing_keys"] or report["mismatched_keys"]:  # transformers would draw them at random
        raise UnknownModel(f"{path / WEIGHTS} lacks weights of its model; a cross-encoder has a classification head")
    if model.config.num_labels != 1:
        raise UnknownModel(f"{path / CONFIG} names {model.config.num_labels} labels; a reranker has one")
    positions = getattr(model.config, "max_position_embeddings", TOKENS_MAX)
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(TOKENS_MAX, positions), strategy="longest_first")
    return model.eval(), tokenizer


def _require_known(config: Path) -> None:
    """Raise for a configuration that names code of its own, before transformers reads it."""
    try:
        if config.stat().st_size > SETTINGS_BYTES_MAX:
            raise UnknownModel(f"{config} is over {SETTINGS_BYTES_MAX} bytes; export the model again")
        settings = json.loads(config.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UnknownModel(f"{config} cannot be understood; export the model again") from error
    if not isinstance(settings, dict) or "auto_map" in settings:
        raise UnknownModel(f"{config} asks for code of its own, and none is run; use a model that transformers knows")


def _verify_file(path: Path, expected: bytes) -> None:
    if len(expected) != SHA256_BYTES:
        raise ValueError(f"a SHA-256 has {SHA256_BYTES} bytes, got {len(expected)}")
    actual = _file_digest(path)
    if actual != expected:
        raise UnknownModel(f"{path} has SHA-256 {actual.hex()}, expected {expected.hex()}; install the pinned model")


def _file_digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise UnknownModel(f"{path} cannot be read; install the model again") from error
