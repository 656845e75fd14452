"""What the settings make of an enclave's engine, and that evidence binds each of them (rule E3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import wiring
from cli.home import settings_from
from rag.approximate import ApproximateIndex
from rag.embed import MINILM, MINILM_SHA256
from rag.errors import UnknownModel
from rag.index_plan import UnusablePlan
from rag.rerank import CrossEncoder, reranker_digest
from rag.weights import model_path, settings_digest
from tests.people import seeded
from tests.rag import tiny_model, tiny_reranker
from vault.errors import MalformedObject


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reranker")
    tiny_reranker.write_model(folder)
    return folder


def configuration(tmp_path: Path, **settings: Any) -> Any:
    from storage.cid import RAW, Cid

    return wiring.enclave_configuration(settings_from(home=tmp_path, **settings), Cid.of(RAW, b"genesis"))


def test_every_setting_that_changes_answers_is_in_the_configuration(tmp_path: Path, reranker: Path) -> None:
    pinned = {"reranker": str(reranker), "reranker_sha256": reranker_digest(reranker).hex()}
    settings: list[dict[str, Any]] = [
        {"dtype": "float32"},
        {"dtype": "bfloat16"},
        {"dtype": "float32", "index": "hnsw"},
        {"dtype": "float32", "index": "ivf-flat"},
        {"dtype": "float32", "index": "hnsw", "index_recall": "99%"},
        {"dtype": "float32", "index": "hnsw", "index_from": 50_000},
        {"dtype": "float32", **pinned},
    ]
    made = [configuration(tmp_path, **one) for one in settings]
    assert len({one.cid() for one in made}) == len(made)
    assert made[0].model_settings == settings_digest(model_path(MINILM))
    assert (made[0].reranker, made[-1].reranker) == (b"", reranker_digest(reranker))
    assert configuration(tmp_path, dtype="float32", index_recall="99%").cid() == made[0].cid()  # of no use to exact


def test_a_models_tokenizer_pooling_and_prompts_are_bound_with_it(tmp_path: Path) -> None:
    digest = tiny_model.write_model(tmp_path / "model")
    model = {"model": str(tmp_path / "model"), "model_sha256": digest.hex(), "dtype": "float32"}
    before = configuration(tmp_path, **model)
    for file in ("tokenizer.json", "config.json", "1_Pooling/config.json", "special_tokens_map.json"):
        path = tmp_path / "model" / file
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes((kept or b"{}") + b" ")
        assert configuration(tmp_path, **model).model_settings != before.model_settings
        path.unlink() if kept is None else path.write_bytes(kept)
    assert configuration(tmp_path, **model) == before
    assert before.model_settings != settings_digest(model_path(MINILM))
    assert before.model != MINILM_SHA256


def test_a_reranker_has_to_be_pinned_and_the_message_says_how(tmp_path: Path, reranker: Path) -> None:
    actual = reranker_digest(reranker).hex()
    with pytest.raises(UnknownModel, match=f"set reranker_sha256 to {actual}"):
        configuration(tmp_path, reranker=str(reranker))
    for wrong in ("xyz", seeded("another").hex()):
        with pytest.raises(UnknownModel):
            configuration(tmp_path, reranker=str(reranker), reranker_sha256=wrong)
    with pytest.raises(UnknownModel, match="cannot be read"):
        configuration(tmp_path, reranker=str(tmp_path), reranker_sha256=actual)
    settings = settings_from(home=tmp_path, reranker=str(reranker), reranker_sha256=actual)
    assert isinstance(wiring.make_reranker(settings), CrossEncoder)
    assert wiring.make_reranker(settings_from(home=tmp_path)) is None


def test_a_large_dataset_gets_the_index_of_the_settings(tmp_path: Path) -> None:
    make = wiring.index_maker(settings_from(home=tmp_path, index="hnsw", index_from=1000))
    vectors = np.random.default_rng(0).standard_normal((1000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert isinstance(make(vectors), ApproximateIndex)
    assert not isinstance(make(vectors[:999]), ApproximateIndex)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"index": "hnsw", "index_recall": "0%"}, UnusablePlan),
        ({"index": "hnsw", "index_recall": "100%"}, MalformedObject),
        ({"index": "hnsw", "device": "cuda"}, UnusablePlan),
        ({"index": "quick"}, MalformedObject),
        ({"index_from": 10}, MalformedObject),
        ({"device": "abacus"}, MalformedObject),
    ],
)
def test_settings_that_make_no_engine_are_refused(
    tmp_path: Path, settings: dict[str, Any], expected: type[Exception]
) -> None:
    with pytest.raises(expected):
        configuration(tmp_path, dtype="float32", **settings)
