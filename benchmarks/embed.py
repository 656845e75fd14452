"""Embedding on the CPU against sentence-transformers as it comes, in float32, and the ranking that either gives."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import result, row, seconds_in_turn, tell
from benchmarks.sentences import SCIFACT
from rag.beir import load
from rag.embed import MINILM, MINILM_SHA256, TOKENS_MAX, BertEmbedder, default_dtype, model_path
from rag.evaluate import RECALL_DEPTH, Metrics, evaluate

if TYPE_CHECKING:
    from rag.beir import BeirCorpus
    from rag.model import Embedder

SAMPLE = 48  # documents a round, from all over the collection
ROUNDS = 3
QUERIES = 40  # one at a time, a round
QUERY_ROUNDS = 3
PASSAGES_GOAL = 2.5
QUERY_GOAL = 2.2
QUALITY_GOAL = 0.998
PUBLISHED_NDCG = 0.64508  # MTEB's results for all-MiniLM-L6-v2, revision 8b3219a


def run() -> dict[str, Any]:
    """Measure passages, single queries and SciFact's nDCG@10; the last embeds all of it, which takes a minute.

    What float32 ranks is `coffer eval`'s: the published score, digit for digit.
    """
    from sentence_transformers import SentenceTransformer

    folder, corpus = model_path(MINILM), load(SCIFACT)
    fast, exact = _embedder(default_dtype()), _embedder("float32")
    plain = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    plain.max_seq_length = TOKENS_MAX
    texts = [document.text for _, document in corpus.documents][:: len(corpus.documents) // SAMPLE][:SAMPLE]
    questions = [corpus.queries[query] for query in corpus.qrels][:QUERIES]

    tell(f"embedding {len(texts)} passages, {ROUNDS} rounds of three encoders")
    passages = seconds_in_turn(
        lambda: fast.embed_passages(texts),
        lambda: exact.embed_passages(texts),
        lambda: plain.encode(texts, show_progress_bar=False),
        rounds=ROUNDS,
    )
    tell("embedding single queries")
    turns = [cycle(questions) for _ in range(3)]
    queries = seconds_in_turn(
        lambda: fast.embed_queries([next(turns[0])]),
        lambda: exact.embed_queries([next(turns[1])]),
        lambda: plain.encode([next(turns[2])], show_progress_bar=False),
        rounds=QUERIES * QUERY_ROUNDS,
    )
    against = "sentence-transformers, float32"
    rows = []
    for place, embedder in enumerate((fast, exact)):
        goals = (PASSAGES_GOAL, QUERY_GOAL) if embedder is fast else (None, None)
        speeds = len(texts) / passages[place], len(texts) / passages[2]
        times = queries[place] * 1e3, queries[2] * 1e3
        named = f"passages of SciFact, {embedder.dtype}"
        rows.append(row(named, "passages/s", speeds[0], against, speeds[1], goal=goals[0], less=False))
        named = f"one query, {embedder.dtype}, with its tokens"
        rows.append(row(named, "ms", times[0], against, times[1], goal=goals[1], less=True))
    tell(f"ranking all {len(corpus.documents):,} documents")
    scores = _quality(fast, corpus)
    named = f"ranking of SciFact, {fast.dtype}"
    published = "MTEB's published score"
    rows.append(row(named, "nDCG@10", scores.ndcg_at_10, published, PUBLISHED_NDCG, goal=QUALITY_GOAL, less=False))
    return result("embed", rows)


def _embedder(dtype: Any) -> Embedder:
    return BertEmbedder(model_path(MINILM), expected_hash=MINILM_SHA256, dtype=dtype)


def _quality(embedder: Embedder, corpus: BeirCorpus) -> Metrics:
    """Return the scores of an exact search over all documents."""
    names = [name for name, _ in corpus.documents]
    documents = embedder.embed_passages([document.text for _, document in corpus.documents])
    questions = embedder.embed_queries([corpus.queries[query] for query in corpus.qrels])
    products = questions.astype(np.float64) @ documents.astype(np.float64).T
    best = np.argsort(-products, axis=1, kind="stable")[:, :RECALL_DEPTH]
    rankings = [[names[place] for place in ranking] for ranking in best]
    return evaluate(dict(zip(corpus.qrels, rankings, strict=True)), corpus.qrels)
