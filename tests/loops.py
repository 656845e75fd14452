"""An event loop in a thread, and a sleep that tests end by hand: what runs services in the process of a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

WAIT_S = 20.0  # until a test is given up, never waited out when things work
Result = TypeVar("Result")


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="services", daemon=True)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, Result]) -> Future[Result]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.start(work).result(WAIT_S)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(WAIT_S)
        self.loop.close()


class Naps:
    """The sleep of an instance: it lasts until the test ends it, and the test can wait for it to begin."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sleepers: list[asyncio.Future[None]] = []
        self._begun = 0
        self._is_over = False

    async def __call__(self, _: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._sleepers.append(woken)
            self._begun += 1
            self._changed.notify_all()
        try:
            await woken
        finally:
            with self._changed:
                self._sleepers.remove(woken)

    def end(self) -> int:
        """End every nap; return how many had begun."""
        with self._changed:
            for sleeper in self._sleepers:
                sleeper.get_loop().call_soon_threadsafe(lambda woken=sleeper: woken.done() or woken.set_result(None))
            return self._begun

    def wait(self, after: int, ready: Callable[[], bool]) -> None:
        """Wait until a nap later than the first `after` has begun, and `ready` holds."""
        with self._changed:
            held = self._changed.wait_for(
                lambda: self._is_over or (self._begun > after and bool(self._sleepers) and ready()), WAIT_S
            )
        assert held, "the instance did not come to rest"

    def over(self, _: object) -> None:
        """Note that the instance has ended: it will not nap again."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
