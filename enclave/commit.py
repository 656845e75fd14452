"""Group commit: what is booked together becomes durable together, and nobody is answered before (rule L3).

Booking happens on the event loop, in memory; its entries queue here. One row at a time is on its way to the disk, in a
thread, and holds whatever was queued when the one before had ended: so an idle server never waits for others, and a
busy one pays for one sync, one seal and one link of the chain where it had paid for hundreds. A row that fails, or of
which nobody knows whether it has, takes everything behind it along: those entries are never written, all who wait for
them are refused, and nothing more is taken until the books have been read again.

An entry that is alone is written on the event loop itself where the disk was quick the last time: to hand it to the
thread and back takes longer than a sync does.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Final, TypeVar

from vault.errors import ForkedHistory, RecordsUnavailable, ServiceUnavailable
from vault.ledger_seal import ROW_BYTES_MAX, ROW_ENTRIES_MAX
from vault.window import Anchor

log = logging.getLogger(__name__)
End = TypeVar("End")
GROUP_LEAST: Final = 64  # so many entries are worth a sync, whatever is still to come
QUEUED_MAX: Final = 4096  # entries
QUEUED_BYTES_MAX: Final = 64 << 20
QUICK_S: Final = 0.001  # a write that took longer than this is followed by one in the thread
UNANSWERED: Final = "nothing was answered; ask again with the same request id"


class GroupCommit:
    """The entries of one journal between being booked and being durable. All calls come from one event loop."""

    def __init__(
        self,
        write: Callable[[Sequence[bytes], Anchor], Anchor],
        written: Callable[[Anchor], None],
        durable: Anchor,
        sign: Callable[[Sequence[bytes]], Sequence[bytes]],
        write_now: Callable[[Sequence[bytes], Anchor], Anchor | None] | None = None,
    ) -> None:
        """Begin after `durable`, which is what the journal ends at.

        Args:
            write: makes encoded entries durable, as the row after the one that ends there; gives its end. It is called
                in a thread, once at a time.
            written: is told of that end.
            sign: turns receipts whose entries became durable together into messages.
            write_now: does as `write` on the event loop, never while that runs; or gives None, where it would have to
                wait for anything but the disk. Without it, every write is the thread's.
        """
        self.durable = durable
        self._write_row = write
        self._write_now = write_now
        self._last_s = QUICK_S  # how long the last write took, as it stands in the way of the next one
        self._note_row = written
        self._sign = sign
        self._queued: deque[bytes] = deque()
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
        return len(self._queued) >= QUEUED_MAX or self._queued_bytes >= QUEUED_BYTES_MAX

    def require_open(self) -> None:
        """Raise unless one more entry may be queued: `RecordsUnavailable` in doubt, `ServiceUnavailable` at an end.

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

    def put(self, encoded: bytes) -> None:
        """Queue an entry that has just been booked; it follows the one before."""
        self.require_open()
        self._queued.append(encoded)
        self._queued_bytes += len(encoded)
        if self._is_writing:
            return
        if len(self._queued) >= GROUP_LEAST:
            self._begin()  # the disk works while this turn of the loop books on
        elif len(self._queued) == 1:
            asyncio.get_running_loop().call_soon(self._begin)  # along with what this turn of the loop still books

    async def committed(self, sequence: int, receipt: bytes = b"") -> bytes:
        """Wait until the entry of this sequence, queued before and not yet failed, is durable; sign its receipt then.

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
        """Take no more entries, and wait for those taken."""
        self._is_closed = True
        await self.settled()

    def doubt(self) -> None:
        """Take no more entries until the books have been read again. Nothing may be on its way to the disk."""
        if self._is_writing or self._queued:
            raise ValueError("entries are being written")
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
        if len(group) == 1 and not self._queued and self._is_written_now(group):
            return
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._timed, self._write_row, group)
        writing.add_done_callback(self._written)

    def _is_written_now(self, group: Sequence[bytes]) -> bool:
        """Write a group here and now, if that is likely to be quick; say whether it has ended, well or not."""
        if self._write_now is None or self._last_s >= QUICK_S:
            return False
        try:
            anchor = self._timed(self._write_now, group)
        except Exception as error:  # noqa: BLE001  # as the thread's: whatever it is, nobody knows what the disk holds
            self._fail(error)
        else:
            if anchor is None:
                return False
            self._note(anchor)
        self._end()
        return True

    def _timed(self, write: Callable[[Sequence[bytes], Anchor], End], group: Sequence[bytes]) -> End:
        started = time.monotonic()
        try:
            return write(group, self.durable)
        finally:
            self._last_s = time.monotonic() - started

    def _group(self) -> list[bytes]:
        group = [self._queued.popleft()]
        taken = len(group[0])
        while self._queued and len(group) < ROW_ENTRIES_MAX:
            if taken + len(self._queued[0]) > ROW_BYTES_MAX:
                break
            group.append(self._queued.popleft())
            taken += len(group[-1])
        self._queued_bytes -= taken
        return group

    def _written(self, done: asyncio.Future[Anchor]) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._fail(error)
        else:
            self._note(done.result())
        self._end()
        if self._queued:
            self._is_writing = True
            self._write()

    def _note(self, durable: Anchor) -> None:
        self.durable = durable
        self._note_row(durable)
        self._release(durable.sequence)

    def _end(self) -> None:
        """Wake who waits for this group to have ended."""
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
