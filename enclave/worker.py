"""The engine in a process of its own: it holds keys, passages and index, and ending it is what wipes them.

Parent and child speak over an anonymous socket pair that only they hold, one call at a time. The child is told what to
build by a function it imports by name. The parent holds the keys only while it hands them over, and questions and
answers only in transit.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import send_handle
from typing import Any

from enclave.crossing import crossed, crossing_asks
from enclave.found import Answer, Ask, Dataset, IndexFacts, Recall
from enclave.messages import Messages
from enclave.worker_process import EngineFactory, plain, serve
from storage.cid import Cid
from vault.errors import ServiceUnavailable, VaultError

END_TIMEOUT_S = 5.0


class WorkerEngine:
    """An engine in a child process, spoken to from one event loop."""

    def __init__(self, factory: EngineFactory) -> None:
        """Start the child; `factory` must be importable by name, or a partial of such."""
        context = multiprocessing.get_context("spawn")
        self._link, far = Messages.pair()
        self._process = context.Process(target=serve, args=(far, factory), name="coffer-engine", daemon=True)
        self._process.start()
        far.close()
        self._turn = asyncio.Lock()
        self._number = 0
        self.indexes: dict[Cid, IndexFacts] = {}

    @property
    def is_alive(self) -> bool:
        """Say whether the child still runs."""
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Return the child's process id."""
        return self._process.pid

    async def open(
        self,
        datasets: Sequence[Dataset],
        progress: Callable[[int, int], None],
        *,
        beside: WorkerEngine | None = None,
    ) -> dict[Cid, Cid]:
        """Fetch, verify, decrypt, embed and index; see `enclave.found.Engine.open`.

        Args:
            beside: lends the vectors of passages that it has embedded, straight from process to process.
        """
        crossing = [plain(dataset) for dataset in datasets]
        made: dict[Cid, Cid]
        if beside is None:
            made = await self._ask("open", crossing, progress=progress)
            self.indexes = await self._ask("indexes")
            return made
        near, far = multiprocessing.Pipe()
        with near, far:
            with contextlib.suppress(ServiceUnavailable):  # then this one embeds all of them
                await beside._ask("lend", handing=near)
            near.close()
            made = await self._ask("open", crossing, progress=progress, handing=far)
        self.indexes = await self._ask("indexes")
        return made

    async def search(self, asks: Sequence[Ask | Recall]) -> list[Answer | VaultError]:
        """Return for each ask the nearest passages among its datasets; see `enclave.found.Engine.search`."""
        return crossed(await self._ask("search", crossing_asks(asks)))

    async def ended(self) -> None:
        """Return when the child has ended."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()

        loop.add_reader(self._process.sentinel, _set, over)
        try:
            await over
        finally:
            loop.remove_reader(self._process.sentinel)

    def end(self) -> None:
        """End the child, and with it every key, passage and vector it held."""
        self._process.kill()
        self._process.join(END_TIMEOUT_S)
        if not self._turn.locked():  # otherwise a call still waits for it; that one sees the end of the stream
            self._link.close()

    async def retire(self) -> None:
        """End the child; what it held may take a while to free, which this does not wait for on the event loop."""
        ended = asyncio.ensure_future(self.ended())
        self._process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended, END_TIMEOUT_S)
        self.end()

    async def _ask(
        self,
        method: str,
        *arguments: Any,
        progress: Callable[[int, int], None] | None = None,
        handing: Connection | None = None,
    ) -> Any:
        """Make one call and return its value; calls take turns, and what a cancelled one left behind is dropped.

        Args:
            handing: a connection that the child gets along with the call.
        """
        async with self._turn:
            self._number += 1
            try:
                self._link.send((self._number, method, arguments, handing is not None))
                if handing is not None:
                    send_handle(self._link, handing.fileno(), None)
                while True:
                    await self._readable()
                    number, kind, value = self._link.receive()
                    if number == self._number and kind == "progress":
                        if progress is not None:
                            progress(*value)
                    elif number == self._number:
                        break
            except (EOFError, OSError) as error:
                raise ServiceUnavailable("the enclave's engine has ended; nothing was charged, ask again") from error
        if kind == "error":
            raise value
        return value

    async def _readable(self) -> None:
        """Wait on the event loop itself: a thread would cost two more wake-ups a query on busy cores."""
        loop, number = asyncio.get_running_loop(), self._link.fileno()
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(number, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(number)
            os.set_blocking(number, True)  # uvloop makes it non-blocking, and messages are read and written whole


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
