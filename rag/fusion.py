"""Reciprocal rank fusion: one ranking of several, by ranks alone (Cormack, Clarke and Buettcher, SIGIR 2009).

A row scores the sum of weight / (constant + rank) over the rankings that have it, ranks from 1. The sums are compared
as whole numbers over one common denominator, so two rows are equal exactly where the fractions are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import lcm
from typing import Any, Generic, Protocol, TypeVar

CONSTANT = 60  # the paper's
CONSTANT_MAX = 1000
WEIGHT_MAX = 1000
RANKS_MAX = 1000
RANKINGS_MAX = 16


class Orderable(Protocol):
    """What breaks ties: a row, or a row with the number of its dataset."""

    def __lt__(self, other: Any, /) -> bool: ...
    def __hash__(self) -> int: ...


T = TypeVar("T", bound=Orderable)


@dataclass(frozen=True, slots=True)
class Fused(Generic[T]):
    """A row and its fused score, rounded once."""

    row: T
    score: float


def fused(
    rankings: Sequence[Sequence[T]], *, k: int, weights: Sequence[int] | None = None, constant: int = CONSTANT
) -> list[Fused[T]]:
    """Return the `k` best rows of some rankings together, by descending score, ties by ascending row.

    Args:
        rankings: each best first, without repetition, at most `RANKS_MAX` long.
        weights: of each ranking, whole numbers 1 to `WEIGHT_MAX`; None weighs all alike.
        constant: how little the first ranks count against the later ones, 1 to `CONSTANT_MAX`.
    """
    weights = [1] * len(rankings) if weights is None else weights
    _require_bounded(rankings, weights, constant)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    denominator, parts = _parts(constant)
    sums: dict[T, int] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for row, part in zip(ranking, parts, strict=False):
            sums[row] = sums.get(row, 0) + weight * part
    order = sorted(sums)
    order.sort(key=sums.__getitem__, reverse=True)  # stable: equal sums keep the order of their rows
    return [Fused(row, sums[row] / denominator) for row in order[:k]]


def _require_bounded(rankings: Sequence[Sequence[T]], weights: Sequence[int], constant: int) -> None:
    if len(rankings) > RANKINGS_MAX or any(len(ranking) > RANKS_MAX for ranking in rankings):
        raise ValueError(f"at most {RANKINGS_MAX} rankings of {RANKS_MAX} rows are fused")
    if any(len(set(ranking)) != len(ranking) for ranking in rankings):
        raise ValueError("a ranking names a row twice")
    if len(weights) != len(rankings) or not all(type(one) is int and 1 <= one <= WEIGHT_MAX for one in weights):
        raise ValueError(f"each ranking needs a weight that is a whole number, 1 to {WEIGHT_MAX}")
    if not 1 <= constant <= CONSTANT_MAX:
        raise ValueError(f"the constant must be 1 to {CONSTANT_MAX}, got {constant}")


@lru_cache(maxsize=8)
def _parts(constant: int) -> tuple[int, tuple[int, ...]]:
    """Return the common denominator of 1 / (constant + rank) for all ranks, and the numerators: some 200 KB."""
    denominator = lcm(*range(constant + 1, constant + RANKS_MAX + 1))
    return denominator, tuple(denominator // (constant + rank) for rank in range(1, RANKS_MAX + 1))
