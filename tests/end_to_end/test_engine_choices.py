"""What an enclave was set up with, as those who ask it see it: its index and how well it answers, its reranker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from enclave.engine import LocalEngine
from rag.chosen import IndexChoice, made_index
from rag.index_plan import Kind
from rag.rerank import CrossEncoder
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from tests.rag import tiny_reranker
from tests.rag.test_rerank import pins
from tests.toy import InProcessEngine, ToyEmbedder
from vault.codec import encode
from vault.errors import MalformedObject
from vault.question import PLAIN

WORDS = tuple(word for word in tiny_reranker.WORDS if not word.startswith("["))
TEXTS = tuple(
    f"{WORDS[number % len(WORDS)]} {WORDS[number // 7 % len(WORDS)]} station {number}" for number in range(1100)
)
CHOICE = IndexChoice(kind=Kind.HNSW, recall_ppm=900_000, passages_from=1000)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    setting, reranker = world(texts=TEXTS, policy={"passages_max": 10_000}), tmp_path_factory.mktemp("reranker")
    tiny_reranker.write_model(reranker)
    engine = LocalEngine(
        ToyEmbedder(),
        partial(made_index, choice=CHOICE),
        setting.blobs,
        CrossEncoder(reranker, expected=pins(reranker)),
    )
    start = partial(InProcessEngine, setting.blobs, engine)
    with deployed(tmp_path_factory.mktemp("deployment"), setting, start_engine=start) as deployment:
        deployment.add_credit(10_000)
        yield deployment


def test_a_description_says_how_well_an_approximate_index_answers(deployment: Deployment) -> None:
    with deployment.client() as client:
        (dataset,) = client.describe().datasets
    assert (dataset.index, dataset.recall_k, dataset.recall_queries) == ("hnsw", 10, 200)
    assert 900_000 <= dataset.recall_ppm <= 1_000_000
    assert dataset.recall_source.startswith("passages with noise")


def test_a_filtered_question_has_its_exact_answer(deployment: Deployment) -> None:
    """The index was shaped by passages that the filter leaves out."""
    where = encode({"key": "document", "in": [f"{number}.txt" for number in range(0, 1100, 40)]})
    with deployment.client() as client:
        answer = client.search("drag station", k=5, options=replace(PLAIN, where=where))
    vectors = ToyEmbedder().embed_passages([TEXTS[number] for number in range(0, 1100, 40)])
    best = sorted((vectors @ ToyEmbedder().embed_queries(["drag station"])[0]).tolist(), reverse=True)[:5]
    assert [result.score for result in answer.results] == pytest.approx(best, abs=1e-6)


def test_a_question_is_reranked_where_the_enclave_has_a_cross_encoder(deployment: Deployment, tmp_path: Path) -> None:
    with deployment.client() as client:
        plain = client.search("wing lift", k=10)
        again = client.search("wing lift", k=10, options=replace(PLAIN, rerank=True))
    scores = [result.score for result in again.results]
    assert scores == sorted(scores, reverse=True)
    assert [result.index for result in again.results] != [result.index for result in plain.results]
    tiny_reranker.write_model(tmp_path)
    own = CrossEncoder(tmp_path, expected=pins(tmp_path))
    texts = [result.passage.text for result in again.results]
    assert scores == pytest.approx(own.scores("wing lift", texts), abs=1e-4)


def test_one_without_refuses_and_charges_nothing(tmp_path: Path) -> None:
    with deployed(tmp_path) as without:
        without.add_credit(1_000)
        with without.client() as client:
            with pytest.raises(MalformedObject, match="reranking"):
                client.search("tide", k=2, options=replace(PLAIN, rerank=True))
            assert client.account().credit == 1_000
            (dataset,) = client.describe().datasets
            assert (dataset.index, dataset.recall_ppm, dataset.recall_k) == ("exact", 1_000_000, 0)
