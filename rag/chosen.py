"""The index that a dataset gets where it is served, as settings say: exact, or approximate for a large one.

An approximate index is built and tuned on the dataset's own passages, always in the same way, so that the settings,
which evidence binds, say all of it. How well it answers was measured on passages with noise, and goes with the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from rag.index_plan import PPM, Device, Kind, UnusablePlan
from rag.plan import LATENCY_US_MAX, MEMORY_BYTES_MAX, Wanted, plan_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.model import Index

EXACT_NAME: Final = "tiles/float64-rescored"
PASSAGES_MIN: Final = 1000  # with fewer there is nothing to tune on, and nothing to gain
K: Final = 10  # hits that recall is measured for
QUERIES: Final = 400  # noisy passages; half choose the effort, half measure
SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChoice:
    """What is built of a dataset's vectors. Raises `UnusablePlan` for what cannot be."""

    kind: Kind = Kind.EXACT
    recall_ppm: int = 950_000  # that an approximate index is tuned to
    passages_from: int = 100_000  # smaller datasets are searched exactly
    device: str = "cpu"  # or a GPU, as torch names it

    def __post_init__(self) -> None:
        if self.kind is Kind.EXACT:
            return
        if not 1 <= self.recall_ppm < PPM:
            raise UnusablePlan(
                "an approximate index has a recall between 0 % and 100 %, exclusive; exact search has all"
            )
        if self.passages_from < PASSAGES_MIN:
            raise UnusablePlan(f"fewer than {PASSAGES_MIN} passages are always searched exactly")
        if self.device != "cpu":
            raise UnusablePlan("on a GPU every dataset is searched exactly; take the index `exact` there")

    @property
    def name(self) -> str:
        """Return what the evidence binds of it. The device is not among it: exact answers are the same on each."""
        if self.kind is Kind.EXACT:
            return EXACT_NAME
        return f"{self.kind}/recall-{self.recall_ppm}/from-{self.passages_from}/{EXACT_NAME}"


EXACT: Final = IndexChoice()


def made_index(vectors: NDArray[np.float32], choice: IndexChoice = EXACT) -> Index:
    """Return the index of a dataset's vectors, shape (count, dimension). Raises `UnusablePlan`, `UnusableVector`."""
    from rag.exact import TileIndex

    if choice.device != "cpu":
        return dispatched(vectors, choice.device)
    exact = TileIndex(vectors)
    if choice.kind is Kind.EXACT or len(vectors) < choice.passages_from:
        return exact
    return _approximate(vectors, exact, choice)


def dispatched(vectors: NDArray[np.float32], device: str) -> Index:
    """Return an exact index on a device, which one thread alone makes and uses."""
    from rag.dispatch import Dispatcher
    from rag.exact import TileIndex

    return Dispatcher(partial(TileIndex, vectors, device=device))


def _approximate(vectors: NDArray[np.float32], exact: Index, choice: IndexChoice) -> Index:
    from rag.approximate import ApproximateIndex
    from rag.measure import noisy_passages, tuned

    wanted = Wanted(
        count=len(vectors),
        dimension=exact.dimension,
        memory_bytes=MEMORY_BYTES_MAX,
        recall_ppm=choice.recall_ppm,
        k=K,
        device=Device.CPU,
        latency_us=LATENCY_US_MAX,
    )
    built = ApproximateIndex.build(vectors, plan_for(choice.kind, wanted), exact=exact)
    questions = noisy_passages(vectors, count=QUERIES, seed=SEED)
    return tuned(built, exact, questions, k=K, recall_ppm=choice.recall_ppm)
