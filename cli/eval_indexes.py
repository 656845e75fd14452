"""What each kind of index finds of a judged collection, beside the recall that it states of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rag.chosen import PASSAGES_MIN, IndexChoice, K, made_index
from rag.evaluate import evaluate
from rag.index_plan import PPM, Kind
from rag.measure import given_questions, measured_recall

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS = (Kind.HNSW, Kind.IVF_FLAT, Kind.IVF_SQ8)
RECALL_PPM = 950_000  # what settings tune to unless they say otherwise


def indexes_of(
    documents: Sequence[str],
    vectors: NDArray[np.float32],
    queries: Mapping[str, NDArray[np.float32]],
    qrels: Mapping[str, Mapping[str, int]],
    *,
    depth: int,
) -> list[dict[str, Any]]:
    """Return of each kind the recall it states, that of these queries, and its scores; none for a small collection.

    Both recalls come with what 95 % confidence leaves of them: the least of what is stated, the most of what is seen.

    Args:
        documents, vectors: of the collection, row by row.
        queries: the vector of each.
    """
    import numpy as np

    if len(vectors) < PASSAGES_MIN:
        return []
    exact, asked = made_index(vectors), np.stack(list(queries.values()))
    told = []
    for kind in KINDS:
        index = made_index(vectors, IndexChoice(kind=kind, recall_ppm=RECALL_PPM, passages_from=PASSAGES_MIN))
        stated = getattr(index, "recall")  # noqa: B009  # of an approximate index, which these are
        recall = measured_recall(index, exact, given_questions(asked, vectors.shape[1]), k=K)
        found = index.search(asked, k=depth, allowed=None)
        ranking = {query: [documents[hit.index] for hit in hits] for query, hits in zip(queries, found, strict=True)}
        told.append(
            {
                "kind": str(kind),
                "wanted": RECALL_PPM / PPM,
                "stated": stated.recall_ppm / PPM,
                "stated_least": stated.lower_ppm / PPM,
                "recall": recall.recall_ppm / PPM,
                "recall_most": min(PPM, 2 * recall.recall_ppm - recall.lower_ppm) / PPM,
                **scores(ranking, qrels),
            }
        )
    return told


def scores(ranking: Mapping[str, Sequence[str]], qrels: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """Return what a ranking scores, by the names that papers use."""
    metrics = asdict(evaluate(ranking, qrels))
    return {name.replace("_at_", "@"): round(value, 5) for name, value in metrics.items() if name != "queries"}
