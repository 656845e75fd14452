"""Where an enclave stands, for whoever asks about its health."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from enclave.pace import Pace
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    LedgerTampered,
    NotYet,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    StaleState,
)
from vault.wire import told


class State(Enum):
    """Where an enclave stands."""

    WAITING = "waiting"
    OPENING = "opening"
    SERVING = "serving"
    STOPPED = "stopped"


@dataclass(slots=True)
class Status:
    """How far the enclave has come."""

    state: State = State.WAITING
    done: int = 0
    total: int = 0
    epoch: int = 0
    reason: str = ""
    pace: Pace = field(default_factory=Pace)

    def note(self, done: int, total: int, at: float) -> None:
        """Take note of how many passages are open, at a moment of a steady clock."""
        self.done, self.total = done, total
        self.pace.note(done, total, at)


_NEUTRAL: Final[tuple[tuple[type[Exception], str], ...]] = (
    (NotYet, "another instance holds this ledger, or the custodians are catching up; ask again later"),
    (StaleState, "its leases are not in force; ask again shortly"),
    (RateExceeded, "its custodians are busy; ask again shortly"),
    (RecordsUnavailable, "it cannot use its records; ask again later"),
    (ForkedHistory, "what it remembers and what was anchored contradict each other; its operator has to act"),
    (LedgerTampered, "its ledger was tampered with; its operator has to act"),
    (ServiceUnavailable, "too few of its custodians answer, or its engine is started anew; ask again shortly"),
)


def shown(error: Exception) -> str:
    """Return why an enclave does not serve, for anyone: in full what the DAO decided, else one sentence.

    Details name addresses and advise operators, so they are for the enclave's own log.
    """
    if isinstance(error, AccessDenied):
        return told(error)
    return next((words for kind, words in _NEUTRAL if isinstance(error, kind)), "its operator has to act")
