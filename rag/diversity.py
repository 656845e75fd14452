"""Maximal marginal relevance: answers that are near the question and far from one another.

Carbonell and Goldstein, SIGIR 1998. Lambda is a number of thousandths, similarities are float64 in one fixed order, so
the same candidates give the same choice on every machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rag.scoring import exact_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAMBDA_MAX = 1000  # relevance alone; 0 is diversity alone
CHOICES_MAX = 100
CANDIDATES_MAX = 1000


def diversified(relevance: NDArray[np.float64], vectors: NDArray[np.float32], *, k: int, thousandths: int) -> list[int]:
    """Return the places of `k` candidates, each the best given those before it.

    A candidate is worth lambda * relevance - (1 - lambda) * its largest similarity to one already chosen; the first
    choice is the most relevant. Equal worth goes to the earlier candidate.

    Args:
        relevance: shape (n,), on the scale of the similarities; n at most `CANDIDATES_MAX`.
        vectors: the candidates' own, shape (n, dimension); their inner products are the similarities.
        k: 1 to `CHOICES_MAX`; with fewer candidates, all of them are chosen.
        thousandths: lambda, 0 to `LAMBDA_MAX`.
    """
    if relevance.shape != vectors.shape[:1] or len(relevance) > CANDIDATES_MAX:
        raise ValueError(f"{relevance.shape} relevances and {vectors.shape} vectors are not those of 0 to 1000 rows")
    if not 1 <= k <= CHOICES_MAX or not 0 <= thousandths <= LAMBDA_MAX:
        raise ValueError(f"k must be 1 to {CHOICES_MAX} and lambda 0 to {LAMBDA_MAX} thousandths")
    left = np.ones(len(relevance), dtype=np.bool_)
    nearest = np.full(len(relevance), -np.inf)
    chosen: list[int] = []
    worth = relevance
    for _ in range(min(k, len(relevance))):
        at = int(np.argmax(np.where(left, worth, -np.inf)))  # the first of equals
        chosen.append(at)
        left[at] = False
        nearest = np.maximum(nearest, exact_scores(vectors, vectors[at]))
        worth = thousandths * relevance - (LAMBDA_MAX - thousandths) * nearest
    return chosen
