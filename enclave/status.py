"""Where an enclave stands, for whoever asks about its health."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


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
