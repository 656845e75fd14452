"""Our whole path against plain sentence-transformers and plain FAISS, over the head of a judged collection."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from rag.beir import BeirCorpus, load
from rag.embed import MINILM_SHA256, SentenceTransformerEmbedder
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


def scored(head: BeirCorpus, rankings: list[list[int]]) -> Metrics:
    names = [[head.documents[row][0] for row in ranking] for ranking in rankings]
    return evaluate(dict(zip(head.qrels, names, strict=True)), head.qrels)


def ours(head: BeirCorpus, embedder: SentenceTransformerEmbedder) -> Metrics:
    index = FaissFlatIndex(embedder.embed_passages([document.text for _, document in head.documents]))
    queries = embedder.embed_queries([head.queries[query] for query in head.qrels])
    found = index.search(queries, k=DEPTH, allowed=np.ones(index.count, dtype=np.bool_))
    return scored(head, [[hit.index for hit in hits] for hits in found])


def test_float32_ranks_as_the_plain_libraries_do(
    head: BeirCorpus, plain: Metrics, embedder: SentenceTransformerEmbedder
) -> None:
    metrics = ours(head, embedder)
    assert metrics.queries == plain.queries == 78
    for name in ("ndcg_at_10", "recall_at_10", "recall_at_100", "mrr_at_10"):
        # Batches differ, so a near-tie may turn: one query by one rank, no more.
        assert getattr(metrics, name) == pytest.approx(getattr(plain, name), abs=1 / metrics.queries), name
    assert metrics.ndcg_at_10 == pytest.approx(EXPECTED_NDCG, abs=0.005)


def test_bfloat16_costs_at_most_a_hundredth(head: BeirCorpus, plain: Metrics, minilm: Path) -> None:
    metrics = ours(head, SentenceTransformerEmbedder(minilm, expected_hash=MINILM_SHA256, dtype="bfloat16"))
    assert metrics.ndcg_at_10 == pytest.approx(plain.ndcg_at_10, abs=0.01)
