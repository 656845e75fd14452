"""The cross-encoder's plumbing, over a small real model with random weights that is made here."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import BertForSequenceClassification

from rag.errors import UnknownModel
from rag.rerank import DEPTH_MAX, PINNED, CrossEncoder
from tests.rag.tiny_reranker import WORDS, write_model

QUESTION = "wing lift"
PASSAGES = ["wing lift plate", "heat", "drag drag drag drag flow", "", "lift " * 400]


def pins(folder: Path) -> dict[str, bytes]:
    return {name: hashlib.sha256((folder / name).read_bytes()).digest() for name in PINNED}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross-encoder")
    write_model(folder)
    return folder


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(model, tmp_path / "model"))


def by_transformers(model: Path, question: str, passage: str) -> float:
    """Score one pair with nothing of ours."""
    reference = BertForSequenceClassification.from_pretrained(model).eval()
    words = [[WORDS.index(word) for word in text.split()] for text in (question, passage)]
    ids = [2, *words[0], 3, *words[1], 3]
    kinds = [0] * (len(words[0]) + 2) + [1] * (len(words[1]) + 1)
    with torch.inference_mode():
        logits = reference(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([kinds])).logits
    return float(logits[0, 0])


def test_scores_are_those_of_transformers_alone(model: Path) -> None:
    scores = CrossEncoder(model, expected=pins(model)).scores(QUESTION, PASSAGES[:4])
    expected = [by_transformers(model, QUESTION, passage) for passage in PASSAGES[:4]]
    assert scores == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 3) for score in scores}) == 4  # the model does tell them apart


def test_a_passage_is_cut_to_what_the_model_reads(model: Path) -> None:
    (score,) = CrossEncoder(model, expected=pins(model)).scores(QUESTION, [PASSAGES[4]])
    assert score == pytest.approx(by_transformers(model, QUESTION, "lift " * (128 - 3 - 2)), abs=1e-5)


def test_the_same_candidates_score_alike_in_any_order(model: Path) -> None:
    reranker = CrossEncoder(model, expected=pins(model))
    many = [f"{WORDS[4 + at % 6]} {WORDS[4 + at % 5]} " * (1 + at % 7) for at in range(50)]
    scores = reranker.scores(QUESTION, many)
    assert scores == reranker.scores(QUESTION, many)
    assert reranker.scores(QUESTION, many[::-1])[::-1] == pytest.approx(scores, abs=1e-5)
    assert reranker.scores(QUESTION, []) == []


def test_more_passages_than_the_bound_are_refused(model: Path) -> None:
    with pytest.raises(ValueError, match="at most"):
        CrossEncoder(model, expected=pins(model)).scores(QUESTION, ["wing"] * (DEPTH_MAX + 1))


@pytest.mark.parametrize("name", sorted(PINNED))
def test_one_changed_file_is_enough_to_refuse(copy: Path, name: str) -> None:
    expected = pins(copy)
    with (copy / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(UnknownModel, match="SHA-256"):
        CrossEncoder(copy, expected=expected)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_a_missing_file_is_refused(copy: Path, name: str) -> None:
    expected = pins(copy)
    (copy / name).unlink()
    with pytest.raises(UnknownModel):
        CrossEncoder(copy, expected=expected)


def test_pickled_weights_are_never_read(copy: Path) -> None:
    expected = pins(copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UnknownModel, match="never loaded"):
        CrossEncoder(copy, expected=expected)


def test_code_in_the_folder_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_bytes())
    config["auto_map"] = {"AutoModelForSequenceClassification": "evil.Model"}
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "evil.py").write_text("raise SystemExit")
    with pytest.raises(UnknownModel, match="code of its own"):
        CrossEncoder(copy, expected=pins(copy))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 70_000, b"\xff"])
def test_a_configuration_that_is_none_is_refused(copy: Path, content: bytes) -> None:
    (copy / "config.json").write_bytes(content)
    with pytest.raises(UnknownModel):
        CrossEncoder(copy, expected=pins(copy))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_files_that_do_not_parse_are_refused(copy: Path, name: str) -> None:
    (copy / name).write_bytes(b"\x00" * 100)
    with pytest.raises(UnknownModel, match="cannot be loaded"):
        CrossEncoder(copy, expected=pins(copy))


def test_a_model_with_several_labels_is_no_reranker(tmp_path: Path) -> None:
    write_model(tmp_path, labels=3)
    with pytest.raises(UnknownModel, match="3 labels"):
        CrossEncoder(tmp_path, expected=pins(tmp_path))


def test_a_model_without_its_head_is_refused_instead_of_drawn_at_random(tmp_path: Path) -> None:
    write_model(tmp_path, headless=True)
    with pytest.raises(UnknownModel, match="lacks weights"):
        CrossEncoder(tmp_path, expected=pins(tmp_path))


def test_weights_that_give_no_number_are_found_out(copy: Path) -> None:
    broken = BertForSequenceClassification.from_pretrained(copy)
    with torch.no_grad():
        broken.classifier.bias.fill_(float("nan"))
    broken.save_pretrained(copy)
    with pytest.raises(UnknownModel, match="no numbers"):
        CrossEncoder(copy, expected=pins(copy)).scores(QUESTION, PASSAGES[:1])


def test_every_file_has_to_be_pinned(model: Path) -> None:
    expected = pins(model)
    del expected["config.json"]
    with pytest.raises(ValueError, match="pin"):
        CrossEncoder(model, expected=expected)
    with pytest.raises(ValueError, match="32 bytes"):
        CrossEncoder(model, expected={**pins(model), "config.json": b"short"})
