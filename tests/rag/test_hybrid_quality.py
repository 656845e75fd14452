"""How good keyword and hybrid search are on judged collections: no worse than what was measured once.

Anserini publishes nDCG@10 0.679 (one field) and 0.665 (title and text apart) for BM25 on SciFact, with Porter's stemmer
and stop words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.beir import BeirCorpus, load
from rag.embed import SentenceTransformerEmbedder
from rag.evaluate import Metrics, evaluate
from rag.faiss_index import FaissFlatIndex
from rag.keyword import KeywordIndex
from rag.model import Embedder
from rag.parts import Part, Source
from rag.request import Mode, Request
from rag.retrieve import Answer, Ask, retrieve
from tests.shared_data import shared

DEPTH = 100
HEAD = 100  # of Cranfield's documents, for the quick test


def head(corpus: BeirCorpus, documents: int) -> BeirCorpus:
    """Return the first documents, and the queries that one of them answers."""
    kept = dict(corpus.documents[:documents])
    qrels = {
        query: {document: grade for document, grade in grades.items() if document in kept}
        for query, grades in corpus.qrels.items()
    }
    return BeirCorpus(list(kept.items()), corpus.queries, {query: of for query, of in qrels.items() if of})


def measured(corpus: BeirCorpus, embedder: Embedder) -> dict[Mode, Metrics]:
    texts = [document.text for _, document in corpus.documents]
    part = Part(index=FaissFlatIndex(embedder.embed_passages(texts)), keywords=KeywordIndex(texts))
    queries = [query for query, grades in corpus.qrels.items() if any(grade > 0 for grade in grades.values())]
    vectors = embedder.embed_queries([corpus.queries[query] for query in queries])
    return {mode: evaluate(run(corpus, part, queries, vectors, mode), corpus.qrels) for mode in Mode}


def run(
    corpus: BeirCorpus, part: Part, queries: Sequence[str], vectors: NDArray[np.float32], mode: Mode
) -> dict[str, list[str]]:
    asks = [
        Ask(
            request=Request(k=DEPTH, text=corpus.queries[query], vector=vector, mode=mode),
            sources=(Source(part=part),),
        )
        for query, vector in zip(queries, vectors, strict=True)
    ]
    rankings = {}
    for query, answer in zip(queries, retrieve(asks), strict=True):
        assert isinstance(answer, Answer)
        rankings[query] = [corpus.documents[found.row][0] for found in answer.found]
    return rankings


def test_on_the_head_of_cranfield_hybrid_does_not_lose_to_dense(embedder: SentenceTransformerEmbedder) -> None:
    found = measured(head(load(shared("corpora/cranfield")), HEAD), embedder)
    assert found[Mode.HYBRID].ndcg_at_10 >= found[Mode.DENSE].ndcg_at_10
    assert found[Mode.HYBRID].recall_at_100 >= found[Mode.DENSE].recall_at_100


@pytest.mark.parametrize(("name", "least"), [("cranfield", 0.495), ("scifact", 0.668)])
def test_keywords_alone_are_as_good_as_published_ones(name: str, least: float) -> None:
    corpus = load(shared(f"corpora/{name}"))
    queries = [query for query, grades in corpus.qrels.items() if any(grade > 0 for grade in grades.values())]
    index = KeywordIndex(document.text for _, document in corpus.documents)
    hits = index.search([corpus.queries[query] for query in queries], k=DEPTH)
    rankings = [[corpus.documents[hit.index][0] for hit in of] for of in hits]
    assert evaluate(dict(zip(queries, rankings, strict=True)), corpus.qrels).ndcg_at_10 >= least


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cranfield", "scifact"])
def test_on_whole_collections_hybrid_does_not_lose_to_dense(
    name: str, embedder: SentenceTransformerEmbedder, record_property: Callable[[str, object], None]
) -> None:
    found = measured(load(shared(f"corpora/{name}")), embedder)
    for mode, metrics in found.items():
        record_property(f"{name} {mode}", str(metrics))
    assert found[Mode.HYBRID].ndcg_at_10 >= found[Mode.DENSE].ndcg_at_10
    assert found[Mode.HYBRID].recall_at_100 >= found[Mode.DENSE].recall_at_100
