"""How well an approximate index answers on the corpus itself, and how hard it must look to reach a recall.

Half of the queries choose the parameter, the other half measure: what is stated was not fitted to what it is stated on.
Real questions are the best queries. Where there are none, passages with noise stand in; they lie where the corpus lies,
as questions need not, so their recall is an estimate of what people will see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import TYPE_CHECKING

import numpy as np

from rag.approximate import ApproximateIndex
from rag.index_plan import EF_MAX, NPROBE_MAX, PPM, QUERIES_MAX, SEED_MAX, Kind, MeasuredRecall, UnusablePlan
from rag.model import Hit, Index
from rag.scoring import checked_matrix, norms

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Length of the noise added to a unit vector: as hard as claims are among SciFact's abstracts, and harder than they are
# among its sentences, so that what is stated holds for questions of either kind; see docs/benchmarks.md.
NOISE = 1.8
CONFIDENCE_Z = 1.645  # one-sided 95 % of a normal distribution
EFFORT_STEP = 1.25  # from one effort tried to the next
EF_LEAST = 8
PARTS = 2  # choosing, measuring
TUNING_QUERIES_MIN = 2 * PARTS


@dataclass(frozen=True, slots=True)
class Questions:
    """Queries with which recall is measured, and where they come from, as a receipt's reader is told."""

    vectors: NDArray[np.float32]
    source: str

    def __post_init__(self) -> None:
        if not 1 <= len(self.vectors) <= QUERIES_MAX:
            raise UnusablePlan(f"recall is measured with 1 to {QUERIES_MAX} queries, got {len(self.vectors)}")


def given_questions(vectors: NDArray[np.float32], dimension: int) -> Questions:
    """Return queries that a person brought. Raises DimensionMismatch, UnusableVector, UnusablePlan."""
    return Questions(checked_matrix(vectors, dimension), "given")


def noisy_passages(vectors: NDArray[np.float32], *, count: int, seed: int, noise: float = NOISE) -> Questions:
    """Return passages with Gaussian noise, as unit vectors: drawn by the seed, without one being drawn twice.

    Args:
        count: how many; with fewer passages, each is drawn once.
        noise: expected length of the noise, beside a vector of length 1.
    Raises: UnusablePlan: a sample of none or too many; UnusableVector.
    """
    vectors = checked_matrix(vectors, None)
    if not 1 <= count <= QUERIES_MAX or not 0 <= seed <= SEED_MAX:
        raise UnusablePlan(f"the sample must be 1 to {QUERIES_MAX}, its seed 0 to {SEED_MAX}")
    random = np.random.default_rng(seed)
    rows = random.choice(len(vectors), min(count, len(vectors)), replace=False)
    chosen = vectors[rows].astype(np.float64)
    lengths = norms(vectors[rows])[:, None]
    noisy = chosen / np.where(lengths > 0, lengths, 1)
    noisy += random.standard_normal(noisy.shape) * (noise / sqrt(noisy.shape[1]))
    noisy /= np.linalg.norm(noisy, axis=1, keepdims=True)
    return Questions(noisy.astype(np.float32), f"passages with noise {noise:.2f}, seed {seed}")


def measured_recall(index: Index, exact: Index, questions: Questions, *, k: int) -> MeasuredRecall:
    """Return the share of the exact answers' hits that an index finds.

    A hit that ties with the last exact one counts as found: of passages with equal scores any will do.

    Raises: UnusablePlan: the index is empty.
    """
    return _counted(index, _floors(exact, questions.vectors, k), questions, k)


def tuned(index: ApproximateIndex, exact: Index, questions: Questions, *, k: int, recall_ppm: int) -> ApproximateIndex:
    """Return the index with the least effort that reaches a recall, and with the recall measured on other queries.

    The bound that 95 % confidence puts under the recall must reach it, on every other query; the rest then measure.
    Where no effort is enough, the greatest is taken, and its recall says so.

    Raises: UnusablePlan: fewer than `TUNING_QUERIES_MIN` queries.
    """
    if len(questions.vectors) < TUNING_QUERIES_MIN:
        given = len(questions.vectors)
        raise UnusablePlan(f"choosing and measuring takes {TUNING_QUERIES_MIN} queries at least, got {given}")
    choosing = Questions(questions.vectors[::PARTS], questions.source)
    measuring = Questions(questions.vectors[1::PARTS], questions.source)
    floors = _floors(exact, choosing.vectors, k)
    efforts = _efforts(index)
    least, most = 0, len(efforts) - 1
    while least < most:
        middle = (least + most) // 2
        reached = _counted(index.with_effort(efforts[middle]), floors, choosing, k).lower_ppm
        least, most = (least, middle) if reached >= recall_ppm else (middle + 1, most)
    chosen = index.with_effort(efforts[least])
    return chosen.with_recall(measured_recall(chosen, exact, measuring, k=k))


def _efforts(index: ApproximateIndex) -> list[int]:
    """Return the efforts worth trying, ascending: a step apart, and as far as there are cells or rows."""
    plan = index.plan
    is_graph = plan.kind is Kind.HNSW
    value, most = (EF_LEAST, EF_MAX) if is_graph else (1, min(plan.nlist, NPROBE_MAX))
    efforts = []
    while value < most:
        efforts.append(value)
        value = max(value + 1, int(value * EFFORT_STEP))
    return [*efforts, most]


def _floors(exact: Index, queries: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """Return for each query how many hits the exact answer has, and the last one's score."""
    answers = exact.search(queries, k=k, allowed=None)
    return [(len(hits), hits[-1].score if hits else 0.0) for hits in answers]


def _counted(index: Index, floors: Sequence[tuple[int, float]], questions: Questions, k: int) -> MeasuredRecall:
    answers: list[list[Hit]] = index.search(questions.vectors, k=k, allowed=None)
    found = [sum(hit.score >= floor for hit in hits) for hits, (_, floor) in zip(answers, floors, strict=True)]
    wanted = sum(count for count, _ in floors)
    if wanted == 0:
        raise UnusablePlan("the index is empty; there is no recall to measure")
    return MeasuredRecall(
        k=k,
        queries=len(found),
        found=sum(found),
        wanted=wanted,
        lower_ppm=_lower_ppm(found, wanted),
        source=questions.source,
    )


def _lower_ppm(found: Sequence[int], wanted: int) -> int:
    """Return the recall less `CONFIDENCE_Z` standard errors; the queries, not the hits, are the independent draws.

    One more query, which misses one hit, is imagined: a small sample without a miss must not claim certainty.
    """
    shares = [one * len(found) / wanted for one in found]
    shares.append(1 - min(len(found) / wanted, 1))
    mean = fsum(shares) / len(shares)
    variance = fsum((share - mean) ** 2 for share in shares) / (len(shares) - 1)
    bound = mean - CONFIDENCE_Z * sqrt(variance / len(shares))
    return min(max(int(bound * PPM), 0), sum(found) * PPM // wanted)
