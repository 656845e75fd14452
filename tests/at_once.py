"""Making calls at the very same time, to see that one wins."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make all calls at the same time; return what each returned or raised."""
    barrier = Barrier(len(calls))

    def outcome(call: Callable[[], Any]) -> Any:
        barrier.wait(timeout=10)
        try:
            return call()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def winners(outcomes: list[Any], *, refused_with: type[Exception]) -> int:
    assert all(not isinstance(outcome, Exception) or type(outcome) is refused_with for outcome in outcomes), outcomes
    return sum(not isinstance(outcome, Exception) for outcome in outcomes)
