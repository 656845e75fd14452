"""Questions on their way into a stream that may break: those without an answer go into the next stream as well."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress

from enclave.client_session import Pending
from vault.question import Query


class Feed:
    """For threads: gRPC reads the questions in a thread of its own, and one of a broken stream may read still."""

    def __init__(self, queries: Iterable[Query], pend: Callable[[Query], Pending | None]) -> None:
        """Take questions from `queries`; one that `pend` returns nothing for is left out."""
        self._source = iter(queries)
        self._pend = pend
        self._state = threading.Lock()
        self._reading = threading.Lock()
        self._unsent: deque[Pending] = deque()
        self._open: dict[bytes, Pending] = {}
        self._stream = 0
        self._is_over = False
        self._failure: BaseException | None = None

    def next_stream(self) -> int | None:
        """Return the number of the stream that takes from now on, once there is something to send; None at the end.

        What has no answer yet is sent in it again.
        """
        with self._state:
            self._stream += 1
            self._unsent.extendleft(reversed(self._open.values()))
            self._open.clear()
        return self._stream if self._has_more(self._stream) else None

    def taken(self, stream: int) -> Iterator[Pending]:
        """Yield what is to be sent in a stream, until there is no more or another stream takes."""
        while self._has_more(stream):
            with self._state:
                if stream != self._stream:
                    return
                if not self._unsent:
                    continue
                pending = self._unsent.popleft()
                self._open[pending.query.request] = pending
            yield pending

    def answered(self, request: bytes) -> Pending | None:
        """Return the open question that an answer names, which is open no more."""
        with self._state:
            return self._open.pop(request, None)

    def unanswered(self) -> list[Pending]:
        """Return what was sent and has no answer."""
        with self._state:
            return list(self._open.values())

    def require_whole(self) -> None:
        """Raise what the caller's own questions ended with."""
        if self._failure is not None:
            raise self._failure

    def _has_more(self, stream: int) -> bool:
        while True:
            with self._state:
                if stream != self._stream:
                    return False
                if self._unsent or self._is_over:
                    return bool(self._unsent)
            with self._reading:
                if not self._unsent and not self._is_over:
                    self._read_one()

    def _read_one(self) -> None:
        try:
            pending = self._pend(next(self._source))
        except StopIteration:
            self._is_over = True
        except BaseException as error:  # noqa: BLE001  # it is raised where the caller waits for answers
            self._failure, self._is_over = error, True
        else:
            if pending is not None:
                with self._state:
                    self._unsent.append(pending)


class AsyncFeed:
    """The same for an event loop; a task of its own reads the questions, so that a broken stream cannot end them."""

    def __init__(
        self, queries: AsyncIterable[Query] | Iterable[Query], pend: Callable[[Query], Pending | None]
    ) -> None:
        """Take questions from `queries`; one that `pend` returns nothing for is left out."""
        self._pend = pend
        self._unsent: deque[Pending] = deque()
        self._open: dict[bytes, Pending] = {}
        self._stream = 0
        self._is_over = False
        self._failure: BaseException | None = None
        self._changed = asyncio.Condition()
        self._reader = asyncio.create_task(self._read(queries))

    async def next_stream(self) -> int | None:
        """Return the number of the stream that takes from now on, once there is something to send; None at the end.

        What has no answer yet is sent in it again.
        """
        self._stream += 1
        self._unsent.extendleft(reversed(self._open.values()))
        self._open.clear()
        return self._stream if await self._has_more(self._stream) else None

    async def taken(self, stream: int) -> AsyncIterator[Pending]:
        """Yield what is to be sent in a stream, until there is no more or another stream takes."""
        while await self._has_more(stream):
            pending = self._unsent.popleft()
            self._open[pending.query.request] = pending
            async with self._changed:
                self._changed.notify_all()
            yield pending

    def answered(self, request: bytes) -> Pending | None:
        """Return the open question that an answer names, which is open no more."""
        return self._open.pop(request, None)

    def unanswered(self) -> list[Pending]:
        """Return what was sent and has no answer."""
        return list(self._open.values())

    def require_whole(self) -> None:
        """Raise what the caller's own questions ended with."""
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Read no more questions."""
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader

    async def _has_more(self, stream: int) -> bool:
        async with self._changed:
            await self._changed.wait_for(lambda: stream != self._stream or self._unsent or self._is_over)
        return stream == self._stream and bool(self._unsent)

    async def _read(self, queries: AsyncIterable[Query] | Iterable[Query]) -> None:
        try:
            async for query in _each(queries):
                pending = self._pend(query)
                async with self._changed:
                    await self._changed.wait_for(lambda: not self._unsent)
                    if pending is not None:
                        self._unsent.append(pending)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  # it is raised where the caller waits for answers
            self._failure = error
        finally:
            self._is_over = True
            async with self._changed:
                self._changed.notify_all()


async def _each(queries: AsyncIterable[Query] | Iterable[Query]) -> AsyncIterator[Query]:
    if isinstance(queries, AsyncIterable):
        async for query in queries:
            yield query
    else:
        for query in queries:
            yield query
