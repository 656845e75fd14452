"""What a model's folder says about making sentence vectors: pooling and prompts, as sentence-transformers writes them.

The files are modules.json, 1_Pooling/config.json, config_sentence_transformers.json and sentence_bert_config.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from rag.errors import UnknownModel
from rag.weights import SETTINGS_BYTES_MAX, read_file

Pooling = Literal["cls", "max", "mean"]

PROMPT_CHARS_MAX = 1024
# In the order in which sentence-transformers adds them up when several are on.
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
PASSAGE_PROMPTS = ("document", "passage", "corpus")  # the first that is there


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceSettings:
    """How token vectors become one vector, and what is put before a text."""

    pooling: Pooling
    query_prompt: str
    passage_prompt: str


def sentence_settings(folder: Path, *, dimension: int) -> SentenceSettings | None:
    """Return the settings of a model whose token vectors have this dimension; None for kinds we do not compute.

    Raises: UnknownModel: a file that cannot be understood, or that contradicts the dimension.
    """
    if bool(read_settings(folder / "sentence_bert_config.json", missing={}).get("do_lower_case")):
        return None
    pooling = _pooling(folder, dimension)
    query, passage = prompts_of(folder)
    kind, includes_prompt = pooling
    if kind not in get_args(Pooling) or ((query or passage) and not includes_prompt):
        return None
    return SentenceSettings(pooling=kind, query_prompt=query, passage_prompt=passage)


def prompts_of(folder: Path) -> tuple[str, str]:
    """Return what the model wants before a query and before a passage; mostly nothing.

    A prompt named "passage", as E5's, counts, though sentence-transformers 6 passes it over. A default prompt, which it
    applies to neither queries nor documents, does not.

    Raises: UnknownModel: the file cannot be understood.
    """
    path = folder / "config_sentence_transformers.json"
    prompts = read_settings(path, missing={}).get("prompts") or {}
    if not isinstance(prompts, dict):
        raise UnknownModel(f"{path} names prompts that cannot be understood; install the model again")
    query = prompts.get("query")
    passage = next((prompts[name] for name in PASSAGE_PROMPTS if prompts.get(name) is not None), None)
    for prompt in (query, passage):
        if prompt is not None and (not isinstance(prompt, str) or len(prompt) > PROMPT_CHARS_MAX):
            raise UnknownModel(f"{path} holds a prompt that is no text of at most {PROMPT_CHARS_MAX} characters")
    return query or "", passage or ""


def read_settings(path: Path, *, missing: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a small JSON object from a model's folder, or `missing` where the file is not there.

    Raises: UnknownModel: unreadable, over `SETTINGS_BYTES_MAX`, or no JSON object.
    """
    if missing is not None and not path.exists():
        return missing
    encoded = read_file(path, bytes_max=SETTINGS_BYTES_MAX)
    try:
        settings = json.loads(encoded)
    except (ValueError, RecursionError) as error:
        raise UnknownModel(f"{path} cannot be understood; install the model again") from error
    if not isinstance(settings, dict):
        raise UnknownModel(f"{path} is no JSON object; install the model again")
    return settings


def _pooling(folder: Path, dimension: int) -> tuple[Any, bool]:
    """Return the kind and whether a prompt's tokens count; without modules.json it is the mean of all."""
    part = _pooling_folder(folder / "modules.json")
    if part is None:
        return "mean", True
    path = folder / part / "config.json"
    settings = read_settings(path)
    stated = settings.get("embedding_dimension", settings.get("word_embedding_dimension", dimension))
    if stated != dimension:
        raise UnknownModel(f"{path} pools vectors of another dimension than the model's {dimension}")
    kind = settings.get("pooling_mode")
    if kind is None:
        active = [name for flag, name in POOLING_FLAGS.items() if settings.get(flag)] or ["mean"]
        kind = active[0] if len(active) == 1 else active
    if isinstance(kind, list) and len(kind) == 1:
        kind = kind[0]
    return kind if isinstance(kind, str) else None, bool(settings.get("include_prompt", True))


def _pooling_folder(modules: Path) -> str | None:
    """Return where modules.json, which `verify_model` has read, keeps the pooling part's settings."""
    if not modules.exists():
        return None
    try:
        parts = json.loads(read_file(modules, bytes_max=SETTINGS_BYTES_MAX))
        return next((str(part["path"]) for part in parts if str(part["type"]).endswith(".Pooling")), None)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownModel(f"{modules} cannot be understood; install the model again") from error
