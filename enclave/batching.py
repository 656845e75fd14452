"""Gathering concurrent asks into one call of the engine: one embedding and one pass over memory for all of them.

An idle engine is asked at once, so a lone query waits for nobody; what comes while it works forms the next batch. Asks
are taken in turn from each session, so one that sends a thousand delays another by one batch at most. What cannot be
answered soon is refused at the door, before anything is reserved or counted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from enclave.found import Answer, Ask, AsyncEngine, Recall
from vault.errors import Overloaded, ServiceUnavailable, VaultError

log = logging.getLogger(__name__)
BATCH_MAX = 64  # asks at once: past it a batch takes longer and answers no more a second
WAITING_MAX = 1024  # asks, of all sessions
SESSION_WAITING_MAX = 256  # asks, of one session
BATCH_S = 0.05  # what a full batch is taken to need until one was measured
SMOOTHING = 0.2  # weight of the newest batch in the mean that retry hints are made of


@dataclass(slots=True)
class _Waiting:
    ask: Ask | Recall
    answer: asyncio.Future[Answer | VaultError]


class Batching:
    """The asks on their way to one engine; use it on one event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._queues: OrderedDict[bytes, deque[_Waiting]] = OrderedDict()  # by session; the first is served next
        self._waiting = 0
        self._in_hand = 0
        self._batch_s = BATCH_S
        self._worker: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> int:
        """Return how many asks wait for the engine, or are in its hands."""
        return self._waiting + self._in_hand

    def require_room(self, session: bytes, asks: int) -> None:
        """Raise `Overloaded`, with a hint when to come again, where so many more asks would wait too long."""
        own = len(self._queues.get(session, ()))
        if self._waiting + asks <= WAITING_MAX and own + asks <= SESSION_WAITING_MAX:
            return
        wait_s = self._batch_s * (1 + self._waiting / BATCH_MAX)
        raise Overloaded("the enclave has more queries than it can answer now; nothing was charged", wait_s=wait_s)

    async def search(self, asks: Sequence[Ask | Recall], *, session: bytes) -> list[Answer | VaultError]:
        """Return the answers to one call's asks, in order, or for each why there is none.

        A caller that is cancelled takes with it what the engine has not begun.
        """
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(ask, loop.create_future()) for ask in asks]
        self._queues.setdefault(session, deque()).extend(waiting)
        self._waiting += len(waiting)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        try:
            return [await one.answer for one in waiting]
        finally:
            for one in waiting:
                one.answer.cancel()  # of no consequence for those that are done

    async def close(self) -> None:
        """Tell all who wait that there is no answer for them."""
        if self._worker is not None:
            self._worker.cancel()
            with suppress(asyncio.CancelledError):
                await self._worker
        while batch := self._next_batch():
            _settle(batch, [_stopping()] * len(batch))

    async def _work(self) -> None:
        """Ask the engine until nothing waits."""
        try:
            while batch := self._next_batch():
                await self._answer(batch)
        finally:
            self._worker = None

    async def _answer(self, batch: Sequence[_Waiting]) -> None:
        started = time.perf_counter()
        answers: Sequence[Answer | VaultError]
        self._in_hand = len(batch)
        try:
            answers = await self._engine.search([one.ask for one in batch])
        except VaultError as error:
            answers = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  # a bug: told by its type alone, and nobody behind it waits forever
            log.error("the engine could not be asked: %s", type(error).__name__)  # noqa: TRY400  # it may hold text
            answers = [ServiceUnavailable("the enclave's engine failed; nothing was charged, ask again")] * len(batch)
        except BaseException:
            _settle(batch, [_stopping()] * len(batch))
            raise
        finally:
            self._in_hand = 0
        _settle(batch, answers)
        taken = (time.perf_counter() - started) * BATCH_MAX / max(len(batch), BATCH_MAX // 4)
        self._batch_s += SMOOTHING * (taken - self._batch_s)

    def _next_batch(self) -> list[_Waiting]:
        """Take up to `BATCH_MAX` asks, one of each session in turn, passing over those whose callers went away."""
        batch: list[_Waiting] = []
        while self._queues and len(batch) < BATCH_MAX:
            session, queue = self._queues.popitem(last=False)
            one = queue.popleft()
            self._waiting -= 1
            if queue:
                self._queues[session] = queue  # to the end of the line
            if not one.answer.done():
                batch.append(one)
        return batch


def _stopping() -> VaultError:
    return ServiceUnavailable("the enclave is stopping; nothing was charged, ask again")


def _settle(batch: Sequence[_Waiting], answers: Sequence[Answer | VaultError]) -> None:
    for one, answer in zip(batch, answers, strict=True):
        if not one.answer.done():
            one.answer.set_result(answer)
