"""What an answer may look like: how many owners stand behind it, how exact scores are, what is blacked out."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from vault.codec import Length, Record, record
from vault.dataset import DATASETS_MAX
from vault.errors import MalformedObject

SCORE_DECIMALS_MAX = 9  # a cosine of float32 vectors has no more that mean anything
PROBES_MAX = 1000  # what an enclave remembers of one budget's questions bounds what it could count


COUNTS_LEAST = 5  # a count told to the passage would say of each whether it meets a filter
COUNTS_MOST = 10**9


class Redaction(StrEnum):
    """What is blacked out of every passage before it leaves."""

    CARD = "card"
    EMAIL = "email"
    PHONE = "phone"


@record
class OutputRules(Record):
    """What every answer under a policy keeps to."""

    owners_min: int  # distinct ones among an answer's passages; an answer with fewer holds no passage at all
    score_decimals: int
    redacts: Annotated[tuple[Redaction, ...], Length(0, len(Redaction))]  # in alphabetical order
    probes_per_hour: int = (
        0  # questions of one budget that hardly differ and come closest to one passage; 0: any number
    )
    counts_from: int = 0  # how many passages meet a filter is told in multiples of this, rounded down; 0: not at all

    def check(self) -> None:
        """Refuse rules that no answer could keep to."""
        if not 1 <= self.owners_min <= DATASETS_MAX:
            raise MalformedObject(f"the least number of owners behind an answer is 1 … {DATASETS_MAX}")
        if self.score_decimals > SCORE_DECIMALS_MAX:
            raise MalformedObject(f"scores keep 0 … {SCORE_DECIMALS_MAX} decimals")
        if self.probes_per_hour > PROBES_MAX:
            raise MalformedObject(f"questions that hardly differ are 1 … {PROBES_MAX} an hour, or 0 for any number")
        if list(self.redacts) != sorted(set(self.redacts)):
            raise MalformedObject("what is redacted stands once each, in alphabetical order")
        if self.counts_from and not COUNTS_LEAST <= self.counts_from <= COUNTS_MOST:
            raise MalformedObject(f"passages are counted in multiples of {COUNTS_LEAST} … {COUNTS_MOST}, or not at all")
        if self.counts_from and self.redacts:
            raise MalformedObject("under rules that redact there are no filters, so there is nothing to count by")

    def told_count(self, matching: Iterable[tuple[bytes, int]]) -> int:
        """Return what is told of how many passages meet a filter: each dataset's owner, and how many of its own do."""
        counts = [(owner, count) for owner, count in matching if count]
        if self.counts_from == 0 or len({owner for owner, _ in counts}) < self.owners_min:
            return 0
        return sum(count for _, count in counts) // self.counts_from * self.counts_from


EVERYTHING = OutputRules(owners_min=1, score_decimals=SCORE_DECIMALS_MAX, redacts=())
"""The rules that hold nothing back."""
