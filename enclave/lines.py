"""Lines to an enclave: a pinned channel with a session each, lent to one operation at a time.

Calls of one session have to arrive in their order, so operations at the same time go by lines of their own. A line on
which something went wrong is not lent again: the next one reads the certificate anew and verifies whoever shows it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from enclave.async_channel import AsyncEnclaveChannel
from enclave.channel import EnclaveChannel
from enclave.client_session import ClientSession
from enclave.dialing import Dialing
from vault.errors import (
    AccessDenied,
    BudgetExhausted,
    CreditExhausted,
    MalformedObject,
    Overloaded,
    RateExceeded,
    RecordsUnavailable,
    RequestConflict,
    ServiceUnavailable,
    SessionOver,
)
from vault.tls import CONNECT_TIMEOUT_S

LINES_MAX: Final = 8  # at once; further operations wait
HARMLESS: Final = (
    AccessDenied,
    BudgetExhausted,
    CreditExhausted,
    MalformedObject,
    Overloaded,
    RateExceeded,
    RequestConflict,
)  # refusals that cost nothing; session and channel are well

Channel = TypeVar("Channel", EnclaveChannel, AsyncEnclaveChannel)


@dataclass(frozen=True, slots=True)
class Line(Generic[Channel]):
    """A channel to an enclave that proved itself, and a session on it."""

    channel: Channel
    session: ClientSession


class Lines:
    """Lines for threads."""

    def __init__(self, dialing: Dialing, *, most: int = LINES_MAX) -> None:
        self._dialing = dialing
        self._room = threading.BoundedSemaphore(most)
        self._idle: deque[Line[EnclaveChannel]] = deque()
        self._is_closed = False

    @contextmanager
    def borrowed(self, *, timeout_s: float) -> Iterator[Line[EnclaveChannel]]:
        """Lend a line while the block runs: one that is idle, or a new one. Raises what a new one is refused for."""
        _require_open(self._is_closed)
        if not self._room.acquire(timeout=timeout_s):
            raise ServiceUnavailable("every line to the enclave is in use; ask again, or make more clients")
        try:
            line = self._taken() or self._dialed(timeout_s)
            try:
                yield line
            except BaseException as error:
                self._returned(line, is_well=_is_well(error))
                raise
            self._returned(line, is_well=True)
        finally:
            self._room.release()

    def close(self) -> None:
        """Close what is idle, and what is lent once it comes back."""
        self._is_closed = True
        while (line := self._popped()) is not None:
            line.channel.close()

    def _popped(self) -> Line[EnclaveChannel] | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _taken(self) -> Line[EnclaveChannel] | None:
        while (line := self._popped()) is not None:
            if not line.session.is_over:
                return line
            line.channel.close()
        return None

    def _dialed(self, timeout_s: float) -> Line[EnclaveChannel]:
        channel = EnclaveChannel(self._dialing.address, timeout_s=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            return Line(channel, channel.run(self._dialing.beginning(channel.tls_key), timeout_s=timeout_s))
        except BaseException:
            channel.close()
            raise

    def _returned(self, line: Line[EnclaveChannel], *, is_well: bool) -> None:
        if is_well and not self._is_closed:
            self._idle.append(line)
        else:
            line.channel.close()


class AsyncLines:
    """Lines for one event loop."""

    def __init__(self, dialing: Dialing, *, most: int = LINES_MAX) -> None:
        self._dialing = dialing
        self._room = asyncio.Semaphore(most)
        self._idle: list[Line[AsyncEnclaveChannel]] = []
        self._is_closed = False

    @asynccontextmanager
    async def borrowed(self, *, timeout_s: float) -> AsyncIterator[Line[AsyncEnclaveChannel]]:
        """Lend a line while the block runs: one that is idle, or a new one. Raises what a new one is refused for."""
        _require_open(self._is_closed)
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        except TimeoutError as error:
            raise ServiceUnavailable("every line to the enclave is in use; ask again, or make more clients") from error
        try:
            line = await self._taken() or await self._dialed(timeout_s)
            try:
                yield line
            except BaseException as error:
                await self._returned(line, is_well=_is_well(error))
                raise
            await self._returned(line, is_well=True)
        finally:
            self._room.release()

    async def close(self) -> None:
        """Close what is idle, and what is lent once it comes back."""
        self._is_closed = True
        while self._idle:
            await self._idle.pop().channel.close()

    async def _taken(self) -> Line[AsyncEnclaveChannel] | None:
        while self._idle:
            line = self._idle.pop()
            if not line.session.is_over:
                return line
            await line.channel.close()
        return None

    async def _dialed(self, timeout_s: float) -> Line[AsyncEnclaveChannel]:
        channel = await AsyncEnclaveChannel.dial(self._dialing.address, timeout_s=min(timeout_s, CONNECT_TIMEOUT_S))
        try:
            return Line(channel, await channel.run(self._dialing.beginning(channel.tls_key), timeout_s=timeout_s))
        except BaseException:
            await channel.close()
            raise

    async def _returned(self, line: Line[AsyncEnclaveChannel], *, is_well: bool) -> None:
        if is_well and not self._is_closed:
            self._idle.append(line)
        else:
            await line.channel.close()


def _is_well(error: BaseException) -> bool:
    return isinstance(error, (*HARMLESS, RecordsUnavailable)) and not isinstance(error, SessionOver)


def _require_open(is_closed: bool) -> None:
    if is_closed:
        raise ValueError("this client is closed; connect anew")
