"""Group commit: what is booked together becomes durable together, and nobody is answered before (rule L3).

Booking happens on the event loop, in memory; its rows queue here. One append at a time is on its way to the disk, in a
thread, and takes with it whatever was queued when the one before had ended: so an idle server never waits for others,
and a busy one pays for one sync where it had paid for hundreds. An append that fails, or of which nobody knows whether
it has, takes everything behind it along: those rows are never written, all who wait for them are refused, and nothing
more is taken until the books have been read again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Final

from vault.errors import ForkedHistory, RecordsUnavailable, ServiceUnavailable
from vault.records.model import JournalRow
from vault.window import Anchor

log = logging.getLogger(__name__)
GROUP_ROWS_MAX: Final = 1024  # what a journal takes at once
GROUP_ROWS_LEAST: Final = 64  # so many are worth a sync, whatever is still to come
GROUP_BYTES_MAX: Final = 16 << 20  # more begins with the next group; a larger row goes alone
QUEUED_ROWS_MAX: Final = 4096
QUEUED_BYTES_MAX: Final = 64 << 20
UNANSWERED: Final = "nothing was answered; ask again with the same request id"


class GroupCommit:
    """The rows of one journal between being booked and being durable. All calls come from one event loop."""

    def __init__(
        self,
        append: Callable[[Sequence[JournalRow]], None],
        durable: Anchor,
        sign: Callable[[Sequence[bytes]], Sequence[bytes]],
    ) -> None:
        """Begin after `durable`, which is what the journal ends at.

        Args:
            sign: turns receipts whose entries became durable together into messages.
        """
        self.durable = durable
        self._append = append
        self._sign = sign
        self._queued: deque[JournalRow] = deque()
        self._queued_bytes = 0
        self._waiting: list[tuple[int, int, bytes, asyncio.Future[bytes]]] = []  # a heap, by sequence
        self._tickets = count()  # keeps futures from being compared
        self._ends: list[asyncio.Future[None]] = []  # wait for the group on its way, however it ends
        self._is_writing = False
        self._is_closed = False
        self.is_in_doubt = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="journal")

    @property
    def is_full(self) -> bool:
        """Say whether bookings have to wait for the disk."""
        return len(self._queued) >= QUEUED_ROWS_MAX or self._queued_bytes >= QUEUED_BYTES_MAX

    def require_open(self) -> None:
        """Raise unless one more row may be queued: `RecordsUnavailable` while in doubt, `ServiceUnavailable` at an end.

        Whoever books has awaited `room` first, without another wait in between.
        """
        if self._is_closed:
            raise ServiceUnavailable("the enclave is closing its books; nothing was charged")
        self.require_certain()
        if self.is_full:
            raise RecordsUnavailable(f"the disk is behind with the ledger; {UNANSWERED}")

    def require_certain(self) -> None:
        """Raise `RecordsUnavailable` while nobody knows what the journal holds."""
        if self.is_in_doubt:
            raise RecordsUnavailable(f"the ledger could not be written and is read again; {UNANSWERED}")

    def put(self, row: JournalRow) -> None:
        """Queue a row that has just been booked; it follows the one before."""
        self.require_open()
        self._queued.append(row)
        self._queued_bytes += len(row.sealed)
        if self._is_writing:
            return
        if len(self._queued) >= GROUP_ROWS_LEAST:
            self._begin()  # the disk works while this turn of the loop books on
        elif len(self._queued) == 1:
            asyncio.get_running_loop().call_soon(self._begin)  # along with what this turn of the loop still books

    async def committed(self, sequence: int, receipt: bytes = b"") -> bytes:
        """Wait until the row of this sequence, queued before and not yet failed, is durable; sign its receipt then.

        Raises: `RecordsUnavailable` or `ForkedHistory` where it could not be written.
        """
        if sequence <= self.durable.sequence:
            return self._sign([receipt])[0] if receipt else b""
        self.require_certain()
        written: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (sequence, next(self._tickets), receipt, written))
        return await written

    async def room(self) -> None:
        """Wait while the queue is full."""
        while self.is_full:
            await self._end_of_group()

    async def settled(self) -> None:
        """Wait until nothing is queued or being written."""
        while self._is_writing or self._queued:
            await self._end_of_group()

    async def close(self) -> None:
        """Take no more rows, and wait for those taken."""
        self._is_closed = True
        await self.settled()

    def doubt(self) -> None:
        """Take no more rows until the books have been read again. Nothing may be on its way to the disk."""
        if self._is_writing or self._queued:
            raise ValueError("rows are being written")
        self.is_in_doubt = True

    def resume(self, durable: Anchor) -> None:
        """Go on after what the journal was found to end at."""
        self.durable = durable
        self.is_in_doubt = False

    async def _end_of_group(self) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ends.append(ended)
        await ended

    def _begin(self) -> None:
        if self._queued and not self._is_writing:
            self._is_writing = True
            self._write()

    def _write(self) -> None:
        group = self._group()
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._append, group)
        writing.add_done_callback(lambda done: self._written(group[-1], done))

    def _group(self) -> list[JournalRow]:
        group = [self._queued.popleft()]
        taken = len(group[0].sealed)
        while self._queued and len(group) < GROUP_ROWS_MAX:
            taken += len(self._queued[0].sealed)
            if taken > GROUP_BYTES_MAX:
                break
            group.append(self._queued.popleft())
        self._queued_bytes -= sum(len(row.sealed) for row in group)
        return group

    def _written(self, last: JournalRow, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._fail(error)
        else:
            self.durable = Anchor(sequence=last.sequence, mac=last.mac)
            self._release(last.sequence)
        if self._queued:
            self._write()
        else:
            self._is_writing = False
        ends, self._ends = self._ends, []
        for ended in ends:
            if not ended.done():
                ended.set_result(None)

    def _release(self, sequence: int) -> None:
        """Wake who waits for what has become durable, each with its receipt signed."""
        released: list[tuple[bytes, asyncio.Future[bytes]]] = []
        while self._waiting and self._waiting[0][0] <= sequence:
            _, _, receipt, written = heapq.heappop(self._waiting)
            if not written.done():  # nobody waits for one that was cancelled
                released.append((receipt, written))
        messages = iter(self._sign([receipt for receipt, _ in released if receipt]))
        for receipt, written in released:
            written.set_result(next(messages) if receipt else b"")

    def _fail(self, error: BaseException | None) -> None:
        """Refuse all who wait: for this group, whose outcome is open, and for those behind it, which end here."""
        log.error("the ledger could not be written: %s", error)
        self.is_in_doubt = True
        self._queued.clear()
        self._queued_bytes = 0
        waiting, self._waiting = self._waiting, []
        kind = ForkedHistory if isinstance(error, ForkedHistory) else RecordsUnavailable
        for _, _, _, written in waiting:
            if not written.done():
                refusal = kind(f"the ledger could not be written; {UNANSWERED}")
                refusal.__cause__ = error
                written.set_exception(refusal)
