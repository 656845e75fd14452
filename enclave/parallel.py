"""Asking several custodians at once, without waiting long for one that never answers."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from vault.errors import ServiceUnavailable, VaultError

PATIENCE_S: Final = 20.0  # for all; a client's own calls end before
GRACE_S: Final = 1.0  # for the others, once enough have answered

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


class Asked(Generic[Answer]):
    """What came of one round: answers and failures by number, and whether somebody is still to answer."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.failures: dict[int, VaultError] = {}
        self.is_cut_short = False


class Round:
    """Makes calls, one at a time per number: whoever still owes an answer is not asked again before it gave it."""

    def __init__(self) -> None:
        self._owing: set[int] = set()

    def ask(
        self,
        calls: Mapping[int, Callable[[], Answer]],
        *,
        is_enough: Callable[[Mapping[int, Answer]], bool],
        grace_s: float = GRACE_S,
        patience_s: float = PATIENCE_S,
    ) -> Asked[Answer]:
        """Make all calls at once; return when all have ended, or `grace_s` after enough have, or after `patience_s`.

        What a call raises that is no `VaultError` is one custodian's failure too, so that none of them, by an answer
        that nobody foresaw, ends what the others would have made; the log names its type, never its message.
        """
        asked: Asked[Answer] = Asked()
        ended: queue.SimpleQueue[tuple[int, Answer | BaseException]] = queue.SimpleQueue()
        waiting = {number for number, call in calls.items() if self._start(number, call, ended)}
        for number in calls.keys() - waiting:
            asked.failures[number] = ServiceUnavailable("a custodian has not answered an earlier question yet")
        until = time.monotonic() + patience_s
        while waiting:
            try:
                number, outcome = ended.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            waiting.discard(number)
            if isinstance(outcome, VaultError):
                asked.failures[number] = outcome
            elif isinstance(outcome, Exception):
                log.error("a bug in asking custodian %d: %s", number, type(outcome).__name__)
                asked.failures[number] = ServiceUnavailable("a custodian could not be asked; the log names the error")
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                asked.answers[number] = outcome
                if is_enough(asked.answers):
                    until = min(until, time.monotonic() + grace_s)
        for number in waiting:
            asked.failures[number] = ServiceUnavailable("a custodian did not answer in time")
        asked.is_cut_short = bool(calls.keys() - asked.answers.keys() - _refusing(asked.failures))
        return asked

    def _start(
        self,
        number: int,
        call: Callable[[], Answer],
        ended: queue.SimpleQueue[tuple[int, Answer | BaseException]],
    ) -> bool:
        if number in self._owing:
            return False
        self._owing.add(number)

        def work() -> None:
            outcome: Answer | BaseException
            try:
                outcome = call()
            except BaseException as error:  # noqa: BLE001  # it is raised, or judged, by whoever waits
                outcome = error
            self._owing.discard(number)  # before anybody learns of the outcome, and may ask again at once
            ended.put((number, outcome))

        try:
            threading.Thread(target=work, name=f"custodian {number}", daemon=True).start()
        except RuntimeError:  # no more threads
            self._owing.discard(number)
            raise
        return True


def _refusing(failures: Mapping[int, VaultError]) -> set[int]:
    return {number for number, error in failures.items() if not isinstance(error, ServiceUnavailable)}
