"""An adaptive crawler: it asks what has brought most of late, and learns from every text that it is given.

Four ways of asking compete, as arms of a bandit (UCB1; Auer, Cesa-Bianchi and Fischer, 2002): words of a returned text;
its rarest words; a step outward from a returned text whose surroundings are least known; and a direction far from all
asked before, drawn from how the returned texts' vectors are spread. The model is public, so it embeds for itself.
"""

from __future__ import annotations

import math
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

RECENT: Final = 40  # questions of an arm whose yield counts
DRAWS: Final = 64
WINDOW_WORDS: Final = (6, 24)
ARMS: Final = ("follow", "rare", "outward", "spread")
Row = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: by text, or by vector."""

    text: str = ""
    vector: bytes = b""


@dataclass(slots=True)
class Crawler:
    """What one attacker knows, whoever it asks as."""

    embed: Callable[[str], Row]
    seed: int = 7
    texts: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    questions: int = 0
    _counts: Counter[str] = field(default_factory=Counter)
    _followed: Counter[int] = field(default_factory=Counter)
    _asked: list[Row] = field(default_factory=list)
    _gains: dict[str, deque[int]] = field(default_factory=lambda: {arm: deque(maxlen=RECENT) for arm in ARMS})
    _arm: str = ARMS[0]
    _random: random.Random = field(init=False)
    _numbers: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 -- an attack to be repeated, not a secret
        self._numbers = np.random.default_rng(self.seed)

    def next(self) -> Question:
        """Return the next question."""
        self.questions += 1
        if not self.texts:
            return Question(text=self._random.choice(("disease", "gene", "history", "method", "water", "market")))
        self._arm = max(ARMS, key=self._worth)
        asking = {"follow": self._follow, "rare": self._rare, "outward": self._outward, "spread": self._spread}
        return asking[self._arm]()

    def _worth(self, arm: str) -> float:
        gains = self._gains[arm]
        if not gains:
            return math.inf
        total = sum(map(len, self._gains.values())) + 1
        return sum(gains) / len(gains) + math.sqrt(2 * math.log(total) / len(gains))

    def learn(self, texts: tuple[str, ...]) -> int:
        """Take in an answer; return how many texts were new."""
        new = [text for text in texts if text not in self.known]
        for text in new:
            self.known.add(text)
            self.texts.append(text)
            self.rows.append(self.embed(text))
            self._counts.update(set(text.lower().split()))
        self._gains[self._arm].append(len(new))
        return len(new)

    def _follow(self) -> Question:
        place = min(range(len(self.texts)), key=lambda at: (self._followed[at], -at))
        self._followed[place] += 1
        words = self.texts[place].split()
        width = min(self._random.randint(*WINDOW_WORDS), len(words))
        start = self._random.randint(0, len(words) - width)
        return Question(text=" ".join(words[start : start + width]) or "text")

    def _rare(self) -> Question:
        words = [word for word in self._random.choice(self.texts).lower().split() if len(word) > 4]
        rare = sorted(set(words), key=lambda word: (self._counts[word], word))[:12]
        return Question(text=" ".join(self._random.sample(rare, min(2, len(rare)))) or "text")

    def _outward(self) -> Question:
        rows = np.stack(self.rows[-2_000:])
        picked = rows[self._numbers.choice(len(rows), min(DRAWS, len(rows)), replace=False)]
        near = np.sort(picked @ rows.T, axis=1)[:, -6:-1] if len(rows) > 6 else picked @ rows.T
        lonely = picked[int(np.argmin(near.mean(axis=1)))]
        around = rows[np.argsort(rows @ lonely)[-6:-1]].mean(axis=0) if len(rows) > 6 else rows.mean(axis=0)
        return self._by(lonely + self._numbers.uniform(0.2, 1.0) * (lonely - around))

    def _spread(self) -> Question:
        rows = np.stack(self.rows[-2_000:])
        centered = rows - rows.mean(axis=0)
        weights = self._numbers.standard_normal((DRAWS, len(rows))).astype(np.float32)
        drawn = rows.mean(axis=0) + weights @ centered / math.sqrt(len(rows))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        if not self._asked:
            return self._by(drawn[0])
        near = drawn @ np.stack([*self._asked[-1_000:]]).T
        return self._by(drawn[int(np.argmin(near.max(axis=1)))])

    def _by(self, row: Row) -> Question:
        unit = (row / np.linalg.norm(row)).astype("<f4")
        self._asked.append(unit)
        return Question(vector=unit.tobytes())
