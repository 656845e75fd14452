"""How long a client tries, and what it tries again.

A question is sent again only under its own request id, so what was charged already is not charged twice. It is sent
again where nobody answered, where the enclave forgot the session, and where it asks to come again later: in each of
these, nothing was charged, or the books know it. Every other refusal, and every answer that does not hold, is final.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vault.errors import Overloaded, RateExceeded, RecordsUnavailable, ServiceUnavailable, SessionOver

TIMEOUT_S: Final = 30.0
FIRST_PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 2.0
UNANSWERED: Final = (ServiceUnavailable, RecordsUnavailable, SessionOver)
LATER: Final = (Overloaded, RateExceeded)


def may_be_repeated(error: Exception) -> bool:
    """Say whether what ended so may be asked again, under its own request id."""
    if isinstance(error, RateExceeded):
        return error.wait_s > 0  # otherwise nobody says when to come again, and it may be a minute
    return isinstance(error, UNANSWERED + LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """The deadline of one operation, all its attempts and waits among it."""

    timeout_s: float = TIMEOUT_S
    has_retries: bool = True
    monotonic: Callable[[], float] = time.monotonic

    def begin(self, timeout_s: float | None = None) -> Attempts:
        """Return the attempts of one operation, within `timeout_s` or as long as usual."""
        most = self.timeout_s if timeout_s is None else timeout_s
        if most <= 0:
            raise ValueError("a timeout is longer than nothing")
        return Attempts(self, self.monotonic() + most)


class Attempts:
    """The attempts of one operation."""

    def __init__(self, patience: Patience, until: float) -> None:
        self._patience = patience
        self._until = until
        self._failed = 0

    @property
    def left_s(self) -> float:
        """Return what is left until the deadline; never quite nothing, since gRPC takes that for no deadline."""
        return max(0.001, self._until - self._patience.monotonic())

    def pause_s(self, error: Exception) -> float:
        """Return how long to wait until the next attempt, or raise `error` where there is to be none."""
        if not self._patience.has_retries or not may_be_repeated(error):
            raise error
        self._failed += 1
        pause: float = min(PAUSE_S_MAX, FIRST_PAUSE_S * 2 ** (self._failed - 1))
        if isinstance(error, LATER):
            pause = max(pause, error.wait_s)
        spread = 1 + secrets.randbelow(1000) / 2000  # so that those refused together do not come back together
        pause = pause * spread
        if pause >= self._until - self._patience.monotonic():
            raise error
        return pause

    def succeeded(self) -> None:
        """Note that something was answered: what fails next fails for the first time."""
        self._failed = 0
