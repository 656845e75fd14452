"""Our whole path against plain sentence-transformers and plain FAISS, over the head of a judged collection."""

from __future__ import annotations

from pathlib import Path

import faiss
import pytest
from sentence_transformers import SentenceTransformer

from rag.beir import BeirCorpus, load
from rag.embed import MINILM_SHA256, BertEmbedder
from rag.evaluate import Metrics, evaluate
from rag.faiss_index import FaissFlatIndex
from tests.shared_data import shared

DOCUMENTS = 120
DEPTH = 100
EXPECTED_NDCG = 0.60964  # plain sentence-transformers 6.2, torch 2.13 and faiss-cpu 1.15.1 gave this on the same 120


@pytest.fixture(scope="module")
def head() -> BeirCorpus:
    """Cranfield's first documents, and the queries that one of them answers."""
    corpus = load(shared("corpora/cranfield"))
    documents = corpus.documents[:DOCUMENTS]
    kept = {identifier for identifier, _ in documents}
    qrels = {
        query: {document: grade for document, grade in grades.items() if document in kept}
        for query, grades in corpus.qrels.items()
    }
    return BeirCorpus(documents, corpus.queries, {query: grades for query, grades in qrels.items() if grades})


@pytest.fixture(scope="module")
def plain(head: BeirCorpus, minilm: Path) -> Metrics:
    """The reference, with nothing of ours but the metrics."""
    model = SentenceTransformer(str(minilm), device="cpu", local_files_only=True)
    vectors = model.encode([document.text for _, document in head.documents], show_progress_bar=False)
    queries = model.encode([head.queries[query] for query in head.qrels], show_progress_bar=False)
    index = faiss.IndexFlatIP(384)
    index.add(vectors)
    _, rows = index.search(queries, DEPTH)
    return scored(head, [[int(row) for row in found] for found in rows])


@pytest.fixture(scope="module")
def embedder(minilm: Path) -> BertEmbedder:
    return BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="float32")


def scored(head: BeirCorpus, rankings: list[list[int]]) -> Metrics:
    names = [[head.documents[row][0] for row in ranking] for ranking in rankings]
    return evaluate(dict(zip(head.qrels, names, strict=True)), head.qrels)


def ours(head: BeirCorpus, embedder: BertEmbedder) -> Metrics:
    index = FaissFlatIndex(embedder.embed_passages([document.text for _, document in head.documents]))
    queries = embedder.embed_queries([head.queries[query] for query in head.qrels])
    found = index.search(queries, k=DEPTH, allowed=None)
    return scored(head, [[hit.index for hit in hits] for hits in found])


def test_float32_ranks_as_the_plain_libraries_do(head: BeirCorpus, plain: Metrics, embedder: BertEmbedder) -> None:
    metrics = ours(head, embedder)
    assert metrics.queries == plain.queries == 78
    for name in ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10"):
        # Batches differ, so a near-tie may turn: one query by one rank, no more.
        assert getattr(metrics, name) == pytest.approx(getattr(plain, name), abs=1 / metrics.queries), name
    assert metrics.ndcg_at_10 == pytest.approx(EXPECTED_NDCG, abs=0.005)


def test_bfloat16_costs_at_most_a_hundredth(head: BeirCorpus, plain: Metrics, minilm: Path) -> None:
    metrics = ours(head, BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16"))
    assert metrics.ndcg_at_10 == pytest.approx(plain.ndcg_at_10, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "ndcg", "recall"), [("scifact", 0.64508, 0.78333), ("cranfield", 0.50899, 0.45446)])
def test_float32_reproduces_the_published_scores(name: str, ndcg: float, recall: float, embedder: BertEmbedder) -> None:
    metrics = ours(load(shared(f"corpora/{name}")), embedder)
    assert (round(metrics.ndcg_at_10, 5), round(metrics.recall_at_10, 5)) == (ndcg, recall)


@pytest.mark.slow
def test_bfloat16_costs_at_most_a_five_hundredth_of_the_published_score(minilm: Path) -> None:
    half = BertEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16")
    assert ours(load(shared("corpora/scifact")), half).ndcg_at_10 >= 0.998 * 0.64508
