"""Visiting others again and again: each by a task of its own, so that one that is dead delays nobody.

Who does not answer is left alone for longer and longer; what goes wrong is logged once until something else does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from storage.errors import StorageError
from vault.errors import ForkedHistory, ServiceUnavailable, VaultError


class Client(Protocol):
    """A connection to whom is visited."""

    def close(self) -> None: ...  # noqa: D102


C = TypeVar("C", bound=Client)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long to wait between visits: after one that went well, and after failures, from the first to the most."""

    every_s: float
    backoff_s: float
    backoff_s_max: float


async def each(steps: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Take all steps of a visit, whatever goes wrong with some; raise the first failure at the end.

    Raises: `ServiceUnavailable` at once: who does not answer now is asked no more.
    """
    failure: Exception | None = None
    for step in steps:
        try:
            await step()
        except ServiceUnavailable:
            raise
        except (VaultError, StorageError) as error:
            failure = failure or error
    if failure is not None:
        raise failure


class Visits(Generic[C]):
    """The visits to some addresses; use it on one event loop."""

    def __init__(
        self,
        noun: str,
        addresses: Sequence[str],
        connect: Callable[[str], C],
        visit: Callable[[str, C], Awaitable[None]],
        *,
        pace: Pace,
        log: logging.Logger,
    ) -> None:
        """Prepare them.

        Args:
            noun: what is visited, for messages: "custodian", "board".
            connect: runs in a thread; a ValueError means that something else answers there.
            visit: what to do there; it may raise `VaultError` or `StorageError`.
        """
        self._noun = noun
        self.addresses = tuple(dict.fromkeys(addresses))
        self._connect = connect
        self._visit = visit
        self._pace = pace
        self._log = log
        self._news = {address: asyncio.Event() for address in self.addresses}
        self._clients: dict[str, C] = {}
        self._complaints: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, *, wait_s: float = 0) -> None:
        """Begin, and wait until everyone was visited once, for `wait_s` at the most."""
        loop = asyncio.get_running_loop()
        visited = [loop.create_future() for _ in self.addresses]
        self._tasks = [
            loop.create_task(self._keep_visiting(address, first))
            for address, first in zip(self.addresses, visited, strict=True)
        ]
        if visited and wait_s:
            await asyncio.wait(visited, timeout=wait_s)

    async def run(self) -> None:
        """Go on until cancelled; raises only for a bug."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Stop visiting."""
        for task in self._tasks:
            task.cancel()
        for client in self._clients.values():
            client.close()  # which also ends a call that is under way
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task

    def hurry(self) -> None:
        """Visit everyone at once: there is news."""
        for news in self._news.values():
            news.set()

    async def once(self, address: str) -> None:
        """Visit one address now; raise what goes wrong."""
        await self._visit(address, await self._connected(address))

    def complain(self, name: str, error: Exception) -> None:
        """Log what went wrong with whom or what `name` says, once until something else does; a fork is an error."""
        words = str(error)
        if self._complaints.get(name) != words:
            self._complaints[name] = words
            level = logging.ERROR if isinstance(error, ForkedHistory) else logging.WARNING
            self._log.log(level, "%s: %s", name, words)

    async def _keep_visiting(self, address: str, first: asyncio.Future[None]) -> None:
        name, news, pace = f"{self._noun} {address}", self._news[address], self._pace
        backoff_s = pace.backoff_s
        while True:
            news.clear()
            try:
                await self.once(address)
            except (VaultError, StorageError) as error:
                self.complain(name, error)
                delay_s, backoff_s = backoff_s, min(2 * backoff_s, pace.backoff_s_max)
            else:
                self._complaints.pop(name, None)
                delay_s, backoff_s = pace.every_s, pace.backoff_s
            if not first.done():
                first.set_result(None)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay_s):  # `wait_for` may lose a cancellation that comes with the news
                    await news.wait()

    async def _connected(self, address: str) -> C:
        if address not in self._clients:
            try:
                self._clients[address] = await asyncio.to_thread(self._connect, address)
            except ValueError as error:  # a certificate that is none
                raise ServiceUnavailable(f"the service at {address} is no {self._noun}: {error}") from error
        return self._clients[address]
