"""How much each passage of an answer counts in the split of its price: integers, which the receipt carries (rule L4).

A passage whose words an earlier one of the same answer had already counts nothing: near-duplicates earn once. Scores
are quantized as they left, so whoever holds the answer recomputes the weight from it.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from enum import StrEnum
from typing import Final

RANK_WEIGHTS: Final = tuple(840 // (rank + 1) for rank in range(10))  # 840 = lcm(1…8): one over the rank, in integers
LAST_RANK_WEIGHT: Final = RANK_WEIGHTS[-1]
SCORE_UNIT: Final = 10**6  # a score's decimals beyond these do not count
WEIGHT_MAX: Final = 10**12  # a score of a million; BM25 and cosines stay far below


class Attribution(StrEnum):
    """By what the owners' part of a price is split."""

    EQUAL = "equal"
    RANK = "rank"
    SCORE = "score"


def weights_of(by: Attribution, scores: Sequence[float], identities: Sequence[Hashable]) -> tuple[int, ...]:
    """Return each passage's weight, the first one's never 0.

    Args:
        scores: as they leave, in the order of the answer.
        identities: what two passages have in common where they are the same words.
    """
    known: set[Hashable] = set()
    weights = []
    for rank, (score, identity) in enumerate(zip(scores, identities, strict=True)):
        weights.append(0 if identity in known else weight_of(by, rank, score))
        known.add(identity)
    return tuple(weights)


def weight_of(by: Attribution, rank: int, score: float) -> int:
    """Return the weight of the passage at `rank`, 0 the best, that is no repetition."""
    match by:
        case Attribution.EQUAL:
            return 1
        case Attribution.RANK:
            return rank_weight(rank)
        case Attribution.SCORE:
            return score_weight(score)


def rank_weight(rank: int) -> int:
    """Return the integer weight of the passage at `rank`."""
    return RANK_WEIGHTS[rank] if rank < len(RANK_WEIGHTS) else LAST_RANK_WEIGHT


def score_weight(score: float) -> int:
    """Return a score's weight: in millionths, rounded down; at least 1, since a cosine may be negative."""
    return int(min(WEIGHT_MAX, max(1, score * SCORE_UNIT)))
