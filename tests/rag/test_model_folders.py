"""Folders that lie about their model: each is refused in one sentence, and before its numbers cost anything."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from rag.bert_config import BertConfig, bert_config
from rag.bert_weights import bert_weights
from rag.embed import BertEmbedder, open_embedder
from rag.errors import UnknownModel
from rag.model_settings import SentenceSettings, sentence_settings
from rag.weights import verify_model
from tests.rag import tiny_model
from tests.rag.tiny_model import SHAPE, hash_of, tensors, write_model

Weights = dict[str, torch.Tensor]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "model")
    return tmp_path / "model"


def opened(folder: Path) -> Any:
    return open_embedder(folder, expected_hash=hash_of(folder), dtype="float32")


def test_the_folder_is_fine_before_anything_is_broken(folder: Path) -> None:
    assert isinstance(opened(folder), BertEmbedder)
    assert bert_config(folder) == SHAPE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 0),
        ("num_hidden_layers", -1),
        ("num_hidden_layers", True),
        ("num_hidden_layers", 2.0),
        ("num_hidden_layers", "2"),
        ("num_hidden_layers", None),
        ("num_attention_heads", 5),
        ("num_attention_heads", 64),
        ("num_attention_heads", 0),
        ("hidden_size", 10**12),
        ("hidden_size", 64),
        ("vocab_size", 10**15),
        ("vocab_size", 58),
        ("intermediate_size", 49),
        ("max_position_embeddings", 39),
        ("max_position_embeddings", 10**9),
        ("type_vocab_size", 1),
        ("type_vocab_size", 10**6),
        ("layer_norm_eps", 0.0),
        ("layer_norm_eps", -1e-12),
        ("layer_norm_eps", float("nan")),
        ("layer_norm_eps", float("inf")),
        ("layer_norm_eps", 1.0),
        ("layer_norm_eps", "small"),
    ],
)
def test_a_config_that_lies_is_refused_within_little_memory(tmp_path: Path, field: str, value: object) -> None:
    digest = write_model(tmp_path / "model", config={field: value})
    tracemalloc.start()
    try:
        with pytest.raises(UnknownModel) as refused:
            open_embedder(tmp_path / "model", expected_hash=digest)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["config.json", "1_Pooling/config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 20_000, b" " * 100_000, None])
def test_a_file_that_is_no_settings_is_refused(folder: Path, name: str, content: bytes | None) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(UnknownModel, match=name):
        opened(folder)


def _without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: value for key, value in weights.items() if key != name}


def _with(name: str, tensor: torch.Tensor) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name: tensor}


QUERY = "encoder.layer.1.attention.self.query.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_without(QUERY), f"lacks 1 tensors .*{QUERY}"),
        (_without("embeddings.LayerNorm.bias"), "lacks"),
        (lambda weights: {}, "lacks 37"),
        (_with("encoder.layer.2.output.dense.bias", torch.zeros(32)), "does not imply"),
        (_with("encoder.layer.0.attention.self.distance_embedding.weight", torch.zeros(3)), "does not imply"),
        (_with(f"bert.{QUERY}", torch.zeros(32, 32)), "twice"),
        (_with(QUERY, torch.zeros(32, 33)), r"of shape \(32, 33\)"),
        (_with(QUERY, torch.zeros(1024)), "of shape"),
        (_with(QUERY, torch.zeros(32, 32, 1)), "of shape"),
        (_with("embeddings.word_embeddings.weight", torch.zeros(58, 32)), "of shape"),
        (_with(QUERY, torch.zeros(32, 32, dtype=torch.int8)), "int8"),
        (_with(QUERY, torch.zeros(32, 32, dtype=torch.float64)), "float64"),
        (_with(QUERY, torch.full((32, 32), float("nan"))), "no finite number"),
        (_with(QUERY, torch.full((32, 32), float("-inf"))), "no finite number"),
    ],
)
def test_weights_that_do_not_fit_the_config_are_refused(
    folder: Path, change: Callable[[Weights], Weights], reason: str
) -> None:
    save_file(change(tensors()), folder / "model.safetensors")
    with pytest.raises(UnknownModel, match=reason):
        opened(folder)


@pytest.mark.parametrize("cut", [0, 4, 8, 100, 1000, -1])
def test_weights_cut_short_are_refused(folder: Path, cut: int) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:cut])
    with pytest.raises(UnknownModel):
        opened(folder)


@pytest.mark.parametrize(
    "header",
    [
        b"\xff" * 8 + b"{}",
        (10**6).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}}'[:60],
        (64).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4]}} ' + b"1234",
        (64).to_bytes(8, "little") + b'{"a":{"dtype":"F99","shape":[1],         "data_offsets":[0,4]}} ' + b"1234",
    ],
)
def test_a_header_that_lies_is_refused(folder: Path, header: bytes) -> None:
    (folder / "model.safetensors").write_bytes(header)
    with pytest.raises(UnknownModel):
        opened(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=400), st.integers(0, 4000))
def test_no_weights_end_in_anything_but_our_error(folder: Path, noise: bytes, place: int) -> None:
    whole = bytearray((folder / "model.safetensors").read_bytes())
    whole[place : place + len(noise)] = noise
    broken = folder / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "model.safetensors").write_bytes(bytes(whole))
    try:
        read = bert_weights(broken, SHAPE, hash_of(broken))
    except UnknownModel:
        return
    assert {name: tuple(one.shape) for name, one in read.items()} == SHAPE.shapes()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from([*tiny_model.CONFIG, "position_embedding_type", "is_decoder"]), json_values)
def test_no_config_ends_in_anything_but_our_error(folder: Path, field: str, value: object) -> None:
    (folder / "config.json").write_text(json.dumps(tiny_model.CONFIG | {field: value}))
    try:
        config = bert_config(folder)
    except UnknownModel:
        return
    assert config is None or (isinstance(config, BertConfig) and config.hidden % config.heads == 0)


FILES = ["1_Pooling/config.json", "config_sentence_transformers.json", "sentence_bert_config.json"]
FIELDS = ["pooling_mode", "word_embedding_dimension", "include_prompt", "prompts", "default_prompt_name"]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(FILES), st.dictionaries(st.sampled_from([*FIELDS, "do_lower_case"]), json_values))
def test_no_settings_end_in_anything_but_our_error(folder: Path, name: str, stated: dict[str, object]) -> None:
    write_settings(folder, name, stated)
    try:
        found = sentence_settings(folder, dimension=32)
    except UnknownModel:
        return
    finally:
        (folder / name).unlink()
        write_settings(folder, "1_Pooling/config.json", {"word_embedding_dimension": 32})
    assert found is None or isinstance(found, SentenceSettings)


def write_settings(folder: Path, name: str, stated: object) -> None:
    (folder / name).write_text(json.dumps(stated))


@pytest.mark.parametrize(
    "prompts",
    [
        {"prompts": ["query"]},
        {"prompts": {"query": 5}},
        {"prompts": {"document": ["d"]}},
        {"prompts": {"query": "q" * 1025}},
        {"prompts": {"document": None, "corpus": {}}},
        {"prompts": "query: "},
    ],
)
def test_prompts_that_are_no_texts_are_refused(tmp_path: Path, prompts: dict[str, Any]) -> None:
    write_model(tmp_path / "model", prompts=prompts)
    with pytest.raises(UnknownModel, match=r"config_sentence_transformers\.json"):
        opened(tmp_path / "model")


def test_pooling_of_another_dimension_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "model", pooling={"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True})
    with pytest.raises(UnknownModel, match="another dimension than the model's 32"):
        opened(tmp_path / "model")


@pytest.mark.parametrize(
    ("place", "path"), [(0, "elsewhere"), (0, "../other"), (1, "../1_Pooling"), (1, "/etc"), (1, "a/b"), (1, "..")]
)
def test_parts_outside_the_models_own_folder_are_refused(folder: Path, place: int, path: str) -> None:
    modules = [dict(part) for part in tiny_model.MODULES]
    modules[place]["path"] = path
    write_settings(folder, "modules.json", modules)
    with pytest.raises(UnknownModel, match=r"modules\.json keeps"):
        verify_model(folder, hash_of(folder))


@pytest.mark.parametrize(
    "modules",
    [
        [{"type": "custom_code.Transformer"}],
        [{"type": "sentence_transformers.models.Dense"}],
        [{"type": "sentence_transformers.models.Transformer"}, {"type": "os.path"}],
        [{"path": "no type"}],
        ["no part"],
        5,
    ],
)
def test_parts_of_a_model_of_ones_own_are_judged_too(folder: Path, modules: object) -> None:
    write_settings(folder, "modules.json", modules)
    with pytest.raises(UnknownModel, match=r"modules\.json"):
        verify_model(folder, hash_of(folder))


def test_a_tokenizer_that_knows_more_tokens_than_the_weights_is_refused(folder: Path) -> None:
    more = tiny_model.tokenizer(vocabulary=[*tiny_model.VOCABULARY, "more"])
    more.save(str(folder / "tokenizer.json"))
    with pytest.raises(UnknownModel, match="beyond the 57"):
        opened(folder)


def test_a_tokenizer_that_frames_no_text_is_refused(folder: Path) -> None:
    tiny_model.tokenizer(framed=False).save(str(folder / "tokenizer.json"))
    with pytest.raises(UnknownModel, match="does not frame"):
        opened(folder)


def test_weights_that_overflow_are_refused_before_the_first_question(folder: Path) -> None:
    huge = {name: tensor * 1e38 for name, tensor in tensors().items()}
    save_file({name: tensor.clamp(-3e38, 3e38) for name, tensor in huge.items()}, folder / "model.safetensors")
    with pytest.raises(UnknownModel, match="no numbers"):
        opened(folder)


def test_weights_changed_between_check_and_use_are_refused(folder: Path) -> None:
    expected = hash_of(folder)
    save_file(tensors() | {QUERY: torch.zeros(32, 32)}, folder / "model.safetensors")
    with pytest.raises(UnknownModel, match="expected"):
        bert_weights(folder, SHAPE, expected)
    with pytest.raises(UnknownModel, match="lacks"):
        bert_weights(folder, replace(SHAPE, layers=3), hash_of(folder))
