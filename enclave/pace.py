"""How fast passages are being opened, and how long the rest will take: by the last half minute, since texts differ."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_S: Final = 30.0
NOTED_MAX: Final = 256  # moments of a window; a busy embedder tells of more
LEAST_S: Final = 0.5  # a shorter time says nothing


class Pace:
    """What was done at which moments."""

    def __init__(self) -> None:
        self._noted: deque[tuple[float, int]] = deque()
        self._total = 0

    def note(self, done: int, total: int, at: float) -> None:
        """Take note of how far it has come; fewer done than before, or another total, is something else that began."""
        if self._noted and (done < self._noted[-1][1] or total != self._total):
            self._noted.clear()
        self._total = total
        if len(self._noted) > 1 and at - self._noted[-2][0] < WINDOW_S / NOTED_MAX:
            self._noted.pop()
        self._noted.append((at, done))
        while len(self._noted) > 2 and at - self._noted[1][0] >= WINDOW_S:
            self._noted.popleft()

    def per_second(self) -> float:
        """Return the passages of a second; 0 where nobody knows yet, or nothing is left to do."""
        if len(self._noted) < 2 or self._noted[-1][1] >= self._total:
            return 0.0
        (began, first), (at, done) = self._noted[0], self._noted[-1]
        return (done - first) / (at - began) if at - began >= LEAST_S else 0.0

    def seconds_left(self) -> float:
        """Return how long the rest takes at this pace; 0 where nobody knows yet, or nothing is left to do."""
        pace = self.per_second()
        return (self._total - self._noted[-1][1]) / pace if pace else 0.0
