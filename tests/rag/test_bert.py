"""Our BERT against sentence-transformers': the same vectors, from every kind of folder we claim to understand."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rag import bert
from rag.bert import Bert
from rag.embed import MINILM_SHA256, BertEmbedder, SentenceTransformerEmbedder, is_same_embedding, open_embedder
from rag.model import Embedder
from tests.rag import tiny_model

SAMPLES = [
    "",
    "a",
    "The cat sat on the mat.",
    "vault " * 300,
    "x" * 70_000,
    "word " * 254,
    "\x00\x01\x1f control \x7f",
    "日本語のテキスト mixed with English",
    "é́́" * 1000,
    "[SEP] in the [CLS] text [MASK]",
    "a" * 99 + " " + "b" * 101,
    "🙂 emoji \u202e and direction marks",
    *(f"number {number} " + "and so on " * (number * 7 % 23) for number in range(20)),
]


@pytest.fixture(scope="module")
def ours(minilm: Path) -> BertEmbedder:
    return BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")


@pytest.fixture(scope="module")
def half(minilm: Path) -> BertEmbedder:
    return BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16")


def farthest(one: Any, other: Any) -> float:
    """Return the largest difference of any two numbers in the same place."""
    return float(np.abs(one - other).max())


def test_float32_gives_the_vectors_of_sentence_transformers(
    ours: BertEmbedder, embedder: SentenceTransformerEmbedder
) -> None:
    assert farthest(ours.embed_passages(SAMPLES), embedder.embed_passages(SAMPLES)) < 1e-5
    assert farthest(ours.embed_queries(SAMPLES), embedder.embed_queries(SAMPLES)) < 1e-5


def test_bfloat16_is_as_close_to_float32_as_the_stated_bound(ours: BertEmbedder, half: BertEmbedder) -> None:
    exact, rounded = ours.embed_passages(SAMPLES), half.embed_passages(SAMPLES)
    assert (exact * rounded).sum(axis=1).min() > 0.9995
    assert all(is_same_embedding(one, other) for one, other in zip(exact, rounded, strict=True))
    assert not is_same_embedding(exact[1], exact[2])
    assert not is_same_embedding(exact[1], exact[1][:5])


def test_a_vector_of_no_numbers_is_never_the_same() -> None:
    broken = np.full(4, np.nan, dtype=np.float32)
    assert not is_same_embedding(broken, broken)


@pytest.mark.skipif(not bert._packs(torch.float32), reason="batch invariance is measured with oneDNN on x86 only")
@pytest.mark.parametrize("name", ["ours", "half"])
def test_the_same_text_gives_the_same_bytes_whatever_is_beside_it(name: str, request: pytest.FixtureRequest) -> None:
    embedder: BertEmbedder = request.getfixturevalue(name)
    together = embedder.embed_passages(SAMPLES)
    alone = np.concatenate([embedder.embed_passages([text]) for text in SAMPLES])
    assert alone.tobytes() == together.tobytes()
    assert embedder.embed_passages(SAMPLES[::-1])[::-1].tobytes() == together.tobytes()
    assert embedder.embed_passages(SAMPLES[5:14]).tobytes() == together[5:14].tobytes()


def test_without_packed_weights_the_vectors_are_the_same_up_to_rounding(
    ours: BertEmbedder, minilm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bert, "_packs", lambda dtype: False)
    plain = BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")
    assert farthest(plain.embed_passages(SAMPLES), ours.embed_passages(SAMPLES)) < 1e-5


def test_padded_and_packed_agree_and_padding_has_no_part_in_a_vector() -> None:
    encoder = Bert(tiny_model.SHAPE, tiny_model.tensors(), dtype="float32", device="cpu")
    texts = [torch.arange(length) % len(tiny_model.VOCABULARY) for length in (1, 5, 17, 17, 30)]
    ids = torch.full((5, 32), 9)
    mask = torch.zeros((5, 32), dtype=torch.bool)
    for place, text in enumerate(texts):
        ids[place, : len(text)] = text
        mask[place, : len(text)] = True
    with torch.inference_mode():
        padded, packed = encoder.padded(ids, mask), encoder.packed(texts)
    for place, text in enumerate(texts):
        assert packed[place].shape == (len(text), 32)
        assert farthest(padded[place, : len(text)].numpy(), packed[place].numpy()) < 1e-5


@pytest.mark.parametrize(
    "pooling",
    [
        {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"word_embedding_dimension": 32, "pooling_mode_max_tokens": True},
        {"word_embedding_dimension": 32, "pooling_mode_cls_token": False},
        {"embedding_dimension": 32, "pooling_mode": "cls", "include_prompt": True},
        {"embedding_dimension": 32, "pooling_mode": ["max"], "include_prompt": True},
    ],
)
@pytest.mark.parametrize(
    ("prompts", "query", "passage"),
    [
        (None, "", ""),
        ({"prompts": {"query": "q: ", "document": "d: ", "passage": "p: "}}, "q: ", "d: "),
        ({"prompts": {"query": "query: ", "passage": "passage: "}}, "query: ", "passage: "),
        ({"prompts": {"query": None, "document": "", "corpus": "c: "}, "default_prompt_name": None}, "", ""),
        ({"prompts": {"usual": "u: "}, "default_prompt_name": "usual"}, "", ""),
    ],
)
def test_pooling_and_prompts_are_those_of_the_model(
    tmp_path: Path, pooling: dict[str, Any], prompts: dict[str, Any] | None, query: str, passage: str
) -> None:
    digest = tiny_model.write_model(tmp_path / "model", pooling=pooling, prompts=prompts)
    texts = ["hello world", "", "a", "the quick brown fox"]
    theirs = plain(tmp_path / "model")
    for kind in (BertEmbedder, SentenceTransformerEmbedder):
        ours = kind(tmp_path / "model", expected_hash=digest, dtype="float32")
        assert farthest(ours.embed_queries(texts), unit(theirs.encode(texts, prompt=query))) < 1e-5
        assert farthest(ours.embed_passages(texts), unit(theirs.encode(texts, prompt=passage))) < 1e-5
        assert (farthest(ours.embed_queries(texts), ours.embed_passages(texts)) > 1e-3) == (query != passage)


def plain(folder: Path) -> Any:
    """Return what sentence-transformers itself makes of a folder."""
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own old settings
        return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def unit(rows: Any) -> Any:
    """Return rows at length 1."""
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_weights_saved_with_a_head_and_in_half_precision_are_read(tmp_path: Path) -> None:
    whole = tiny_model.tensors()
    first = tiny_model.write_model(tmp_path / "plain", weights=whole)
    headed = {f"bert.{name}": tensor for name, tensor in whole.items()}
    headed |= {"cls.predictions.bias": torch.zeros(3), "bert.pooler.dense.bias": torch.zeros(32)}
    headed["bert.embeddings.position_ids"] = torch.arange(40)[None, :]
    second = tiny_model.write_model(tmp_path / "headed", weights=headed)
    third = tiny_model.write_model(tmp_path / "half", weights={name: one.half() for name, one in whole.items()})
    rows = [
        BertEmbedder(tmp_path / name, expected_hash=digest, dtype="float32").embed_queries(["hello"])
        for name, digest in (("plain", first), ("headed", second), ("half", third))
    ]
    assert rows[0].tobytes() == rows[1].tobytes()
    assert 0 < farthest(rows[0], rows[2]) < 1e-2


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"hidden_act": "gelu_new"}, None),
        ({}, {"word_embedding_dimension": 32, "pooling_mode_weightedmean_tokens": True}),
        ({}, {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}),
    ],
)
def test_what_we_do_not_compute_goes_to_sentence_transformers(
    tmp_path: Path, config: dict[str, Any], pooling: dict[str, Any] | None
) -> None:
    digest = tiny_model.write_model(tmp_path / "model", config=config, pooling=pooling)
    opened = open_embedder(tmp_path / "model", expected_hash=digest, dtype="float32")
    assert isinstance(opened, SentenceTransformerEmbedder)
    assert farthest(opened.embed_queries(["hello"]), unit(plain(tmp_path / "model").encode_query(["hello"]))) < 1e-5


def test_the_pinned_model_is_opened_by_our_own_encoder(minilm: Path) -> None:
    opened: Embedder = open_embedder(minilm, expected_hash=MINILM_SHA256)
    assert isinstance(opened, BertEmbedder)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU; not run on one by its author")
def test_a_gpu_gives_the_same_vectors_with_and_without_graphs(minilm: Path, ours: BertEmbedder) -> None:
    gpu = BertEmbedder(minilm, expected_hash=MINILM_SHA256, device="cuda")
    expected = ours.embed_passages(SAMPLES)
    for _ in range(2):  # the second time every graph is there already
        assert all(map(is_same_embedding, gpu.embed_passages(SAMPLES), expected))
        alone = np.concatenate([gpu.embed_queries([text]) for text in SAMPLES])
        assert all(map(is_same_embedding, alone, expected))
