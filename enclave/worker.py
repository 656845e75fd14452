"""The engine in a process of its own: it holds keys, passages and index, and ending it is what wipes them.

Parent and child speak over an anonymous socket pair that only they hold, one call at a time. The child is told what to
build by a function it imports by name. The parent holds the keys only while it hands them over, and questions and
answers only in transit.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

from enclave.found import Answer, Dataset, Engine, Found
from enclave.hardening import die_with_parent, harden
from storage.cid import Cid
from storage.errors import StorageError
from vault.errors import ServiceUnavailable, VaultError
from vault.keys import SecretKey
from vault.manifest import Manifest

EngineFactory = Callable[[], Engine]
END_TIMEOUT_S = 5.0


class WorkerEngine:
    """An engine in a child process, spoken to from one event loop."""

    def __init__(self, factory: EngineFactory) -> None:
        """Start the child; `factory` must be importable by name, or a partial of such."""
        context = multiprocessing.get_context("spawn")
        self._link, far = context.Pipe()
        self._process = context.Process(target=_serve, args=(far, factory), name="coffer-engine", daemon=True)
        self._process.start()
        far.close()
        self._turn = asyncio.Lock()
        self._number = 0

    @property
    def is_alive(self) -> bool:
        """Say whether the child still runs."""
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Return the child's process id."""
        return self._process.pid

    async def open(self, datasets: Sequence[Dataset], progress: Callable[[int, int], None]) -> None:
        """Fetch, verify, decrypt, embed and index; replaces what was open before."""
        plain = [(dataset.manifest.encoded(), dataset.key.reveal()) for dataset in datasets]
        await self._ask("open", plain, progress=progress)

    async def search(self, text: str, datasets: Sequence[Cid], k: int) -> Answer:
        """Return the `k` nearest passages among the datasets given."""
        answer: Answer = await self._ask("search", text, list(datasets), k)
        return answer

    async def passages(self, places: Sequence[tuple[Cid, int]], vector: bytes) -> tuple[Found, ...]:
        """Return passages by place with the scores that a search with `vector` gave them."""
        found: tuple[Found, ...] = await self._ask("passages", list(places), vector)
        return found

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

    async def _ask(self, method: str, *arguments: Any, progress: Callable[[int, int], None] | None = None) -> Any:
        """Make one call and return its value; calls take turns, and what a cancelled one left behind is dropped."""
        async with self._turn:
            self._number += 1
            try:
                self._link.send((self._number, method, arguments))
                while True:
                    await self._readable()
                    number, kind, value = self._link.recv()
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


def _serve(link: multiprocessing.connection.Connection, factory: EngineFactory) -> None:
    harden()
    die_with_parent()
    # Idle OpenMP threads would spin on the cores that the front process and its clients need (read when torch loads).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("JOBLIB_MULTIPROCESSING", "0")  # its semaphore would outlive a killed child
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the terminal is the parent's to handle
    engine = factory()
    gc.freeze()  # what the imports made stays: collecting over it would stop a query now and then
    with contextlib.suppress(EOFError, KeyboardInterrupt):
        while True:
            number, method, arguments = link.recv()
            try:
                link.send((number, "done", _do(engine, link, number, method, arguments)))
            except (VaultError, StorageError) as error:
                link.send((number, "error", type(error)(str(error))))
            except Exception as error:  # noqa: BLE001  # its message could hold plaintext; its type cannot
                link.send((number, "error", ServiceUnavailable(f"the engine failed with {type(error).__name__}")))


def _do(
    engine: Engine, link: multiprocessing.connection.Connection, number: int, method: str, arguments: tuple[Any, ...]
) -> Any:
    if method == "open":
        datasets = [Dataset(manifest=Manifest.from_bytes(body), key=SecretKey(key)) for body, key in arguments[0]]
        engine.open(datasets, lambda done, total: link.send((number, "progress", (done, total))))
        return None
    if method == "search":
        return engine.search(*arguments)
    return engine.passages(*arguments)
