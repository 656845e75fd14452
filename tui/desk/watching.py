"""What goes on right now: what an enclave counts and times, what this home asked, what its licenses have left."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """How often questions spent how long in one stage."""

    name: str
    bounds: tuple[float, ...]  # seconds, ascending; the last is infinity
    counts: tuple[int, ...]  # questions within each bound, cumulative
    total_s: float

    @property
    def count(self) -> int:
        """Return how many were timed."""
        return self.counts[-1] if self.counts else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """What an enclave has counted since it began."""

    at: float  # monotonic seconds of whoever asked
    outcomes: tuple[tuple[str, int], ...]  # by name
    passages: int
    under_way: int
    stages: tuple[StageTimes, ...]

    def __post_init__(self) -> None:
        """Refuse what does not add up."""
        for stage in self.stages:
            rises = all(one <= later for one, later in pairwise(stage.counts))
            if len(stage.bounds) != len(stage.counts) or not rises or list(stage.bounds) != sorted(set(stage.bounds)):
                raise ValueError(f"the times of stage {stage.name} do not add up")


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedHere:
    """A question that this home asked, by its receipt: never its words."""

    at: int
    license: str  # CID
    passages: int
    price: int
    currency: str
    budget_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetFacts:
    """How much of one dataset, or in all, a license has seen and may see."""

    license: str  # CID
    credential: str  # its file's name
    what: str  # a dataset's title, or empty: all of the policy's datasets
    seen: int
    passages_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """What the open credentials of this home have left."""

    parts: tuple[BudgetFacts, ...]
    sealed: tuple[str, ...]  # credentials that are not open, so nothing is known of them
    problems: tuple[str, ...]  # why others did not answer


class WatchingDesk(Protocol):
    """Says what goes on."""

    def metrics_address(self) -> str:
        """Return where the enclave's metrics are read; empty where nobody said."""
        ...

    def counters(self) -> Counters:
        """Read the enclave's metrics; they are its operator's word, not evidence."""
        ...

    def asked(self) -> tuple[AskedHere, ...]:
        """Return the last questions of this home, the newest first."""
        ...

    def budgets(self) -> Budgets:
        """Ask what each open credential has left."""
        ...
