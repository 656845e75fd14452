"""Rates and times out of counters that are read again and again."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from itertools import pairwise
from typing import Final

from tui.desk.watching import Counters, StageTimes

WINDOW_S: Final = 60.0
KEPT: Final = 120  # readings


class Readings:
    """The last readings of one enclave; one that has started anew begins from nothing."""

    def __init__(self) -> None:
        self._kept: deque[Counters] = deque(maxlen=KEPT)

    def add(self, now: Counters) -> Counters | None:
        """Take a reading; return what was counted since the one before, None where there was none."""
        before = self._kept[-1] if self._kept else None
        came = since(before, now) if before is not None else None
        if came is None:
            self._kept.clear()
        self._kept.append(now)
        return came

    @property
    def latest(self) -> Counters | None:
        """Return the last reading."""
        return self._kept[-1] if self._kept else None

    def window(self, seconds: float = WINDOW_S) -> tuple[Counters, float] | None:
        """Return what was counted in the last seconds, and how many those were; None before there are two readings."""
        if len(self._kept) < 2:
            return None
        now = self._kept[-1]
        first = next(one for one in self._kept if now.at - one.at <= seconds)
        if first is now:
            first = self._kept[-2]
        came = since(first, now)
        return (came, now.at - first.at) if came is not None and now.at > first.at else None

    def questions(self) -> list[int]:
        """Return the questions between readings, the oldest first."""
        return [max(0, total(now) - total(before)) for before, now in pairwise(self._kept)]


def total(counters: Counters) -> int:
    """Return how many questions ended."""
    return sum(count for _, count in counters.outcomes)


def refusals(counters: Counters) -> list[tuple[str, int]]:
    """Return refusals by reason in words, the most frequent first."""
    found = [
        (name.removeprefix("refused_").replace("_", " "), count)
        for name, count in counters.outcomes
        if name.startswith("refused_") and count
    ]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def since(before: Counters, now: Counters) -> Counters | None:
    """Return what was counted between two readings; None where the enclave has started anew between them."""
    known, stages = dict(before.outcomes), {stage.name: stage for stage in before.stages}
    outcomes = tuple((name, count - known.pop(name, 0)) for name, count in now.outcomes)
    if known or now.passages < before.passages or any(count < 0 for _, count in outcomes):
        return None
    came = []
    for stage in now.stages:
        earlier = stages.pop(stage.name, None)
        if earlier is None:
            came.append(stage)
            continue
        counts = tuple(one - other for one, other in zip(stage.counts, earlier.counts, strict=False))
        falls = any(one > later for one, later in pairwise(counts))
        if stage.bounds != earlier.bounds or falls or any(count < 0 for count in counts):
            return None
        came.append(replace(stage, counts=counts, total_s=max(0.0, stage.total_s - earlier.total_s)))
    if stages:
        return None
    return replace(now, outcomes=outcomes, passages=now.passages - before.passages, stages=tuple(came))


def quantile(stage: StageTimes, part: float) -> float | None:
    """Return within how many seconds `part` of the questions were through, as Prometheus's histogram_quantile does.

    Between two bounds it is taken as spread evenly; beyond the last finite bound, that bound is returned.
    """
    if not stage.count:
        return None
    rank = part * stage.count
    below, lower = 0, 0.0
    for bound, count in zip(stage.bounds, stage.counts, strict=True):
        if count >= rank and count > below:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        below, lower = count, bound
    return lower
