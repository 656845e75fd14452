"""Books that are ahead of the disk, and come back to it: booked in memory, durable soon after (rules F3, L1).

Where a row could not be written, or nobody knows, what is in memory may never have happened. Nothing is judged by it
any more until the books have been read again from the rows, whichever of them the journal turns out to hold.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, runtime_checkable

from enclave.allowance import Allowance
from enclave.commit import UNANSWERED, GroupCommit
from enclave.kept_books import KeptBooks
from vault.booking import Booking, booking_of
from vault.earnings import Earnings, close_entry
from vault.entry import Entry
from vault.errors import ForkedHistory, RecordsUnavailable, ServiceUnavailable, VaultError
from vault.ledger import Books, Effect
from vault.ledger_seal import LedgerSeal
from vault.merkle_log import MerkleLog
from vault.records.model import JournalRow
from vault.sums import Sums
from vault.window import EMPTY_ANCHOR, Anchor

READING_WAIT_S: Final = 5.0  # how long one call waits for the books to be read again


class Journal(Protocol):
    """The host's append-only rows; see `vault.records.journal`."""

    def append(self, rows: Sequence[JournalRow]) -> None: ...  # noqa: D102
    def rows(self, *, after: int = 0) -> Iterator[JournalRow]: ...  # noqa: D102
    def last(self) -> JournalRow | None: ...  # noqa: D102


@runtime_checkable
class PromptJournal(Protocol):
    """A journal that can say at once that somebody else is at it, and then waits for nobody."""

    def append_now(self, row: JournalRow) -> bool: ...  # noqa: D102


def claimed_anchor(journal: Journal) -> Anchor:
    """Return how far the host says the ledger has come; unverified until the books are re-added."""
    last = journal.last()
    return Anchor(sequence=last.sequence, mac=last.mac) if last is not None else EMPTY_ANCHOR


class Checked(NamedTuple):
    """Books that were added up again from their rows and are the same."""

    sums: Sums
    anchor: Anchor  # the end of a row, at the last entry of the sums or after it


class DurableBooks:
    """One ledger's books and journal. All calls but the first come from one event loop."""

    def __init__(
        self,
        journal: Journal,
        seal: LedgerSeal,
        allowance: Allowance,
        sign: Callable[[Sequence[bytes]], Sequence[bytes]],
        claimed: Anchor,
    ) -> None:
        """Re-add the books. Raises `LedgerTampered`, or `ForkedHistory` where they do not end at `claimed`.

        Args:
            allowance: is told what is booked, and what turned out not to be.
            sign: turns receipts whose entries became durable together into the messages that may leave.
        """
        self._journal = journal
        self._seal = seal
        self._allowance = allowance
        self._kept = KeptBooks(seal)
        for booking, effect in self._kept.read(journal.rows()):
            allowance.note(booking, effect)
        if self._kept.anchor != claimed:
            raise ForkedHistory("the ledger's rows changed while the enclave was opening; stop whoever writes to it")
        self._prompt = journal if isinstance(journal, PromptJournal) else None
        write_now = self._write_now if self._prompt is not None else None
        self._commit = GroupCommit(self._write, self._durable, claimed, sign, write_now)
        self._reading: asyncio.Task[None] | None = None
        self._checking: asyncio.Task[Checked] | None = None
        self._is_closing = threading.Event()

    @property
    def books(self) -> Books:
        """Return the books, ahead of the disk. Raises `RecordsUnavailable` while they are in doubt."""
        self._commit.require_certain()
        return self._kept.books

    @property
    def anchor(self) -> Anchor:
        """Return the last entry that is durable."""
        return self._commit.durable

    def has_come_by(self, anchor: Anchor) -> bool:
        """Say whether the durable part of these books had come to this anchor once."""
        return anchor.sequence <= self.anchor.sequence and self._kept.has_come_by(anchor)

    @property
    def is_ready(self) -> bool:
        """Say whether `ready` would not wait: a call less for every query."""
        return not self._commit.is_in_doubt and not self._commit.is_full

    async def ready(self) -> None:
        """Wait until the books are certain and one more entry can be booked: before the next wait, that is.

        Raises: `RecordsUnavailable` where the journal cannot be read now or takes long; `ForkedHistory` and
        `LedgerTampered` where it is not the one that was written.
        """
        while True:
            if self._commit.is_in_doubt:
                await self._read_again(at_most_s=READING_WAIT_S)
            elif self._commit.is_full:
                await self._commit.room()
            else:
                return

    @property
    def log(self) -> MerkleLog:
        """Return the public log; only its first `anchor.sequence` leaves are durable."""
        self._commit.require_certain()
        return self._kept.log

    @property
    def earnings(self) -> Earnings:
        """Return what payees earned. Raises `RecordsUnavailable` while the books are in doubt."""
        self._commit.require_certain()
        return self._kept.earnings

    def refund_place(self, leaf: bytes) -> int | None:
        """Return where in the log a refund's leaf stands, if it does."""
        return self._kept.refund_place(leaf)

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield durable entries once more, from the rows. Raises `LedgerTampered`, `RecordsUnavailable`."""
        yield from self._kept.entries(self._journal.rows, first, last)

    def book(self, booking: Booking, encoded: bytes) -> None:
        """Book an entry, after `ready`; `committed` says when it is durable. An epoch that is full closes with it.

        Args:
            encoded: the entry's canonical bytes.
        """
        self._book(booking, encoded)
        if self._kept.earnings.is_full and not self._commit.is_full and self._allowance.has_entry:
            close = close_entry(self.books, self.earnings.number, at=booking.at)
            self._book(booking_of(close), close.encoded())

    def _book(self, booking: Booking, encoded: bytes) -> None:
        self._commit.require_open()
        self._allowance.note(booking, self._kept.book(booking, encoded))
        self._commit.put(encoded)

    def _write(self, entries: Sequence[bytes], after: Anchor) -> Anchor:
        """Append entries as one row; return its end. It runs in the thread of the one writer."""
        row = self._seal.sealed(entries, after)
        self._journal.append([row])
        return Anchor(sequence=row.sequence, mac=row.mac)

    def _write_now(self, entries: Sequence[bytes], after: Anchor) -> Anchor | None:
        """Do as `_write` does, or nothing where that would have to wait for another writer."""
        row = self._seal.sealed(entries, after)
        if self._prompt is None or not self._prompt.append_now(row):
            return None
        return Anchor(sequence=row.sequence, mac=row.mac)

    def _durable(self, anchor: Anchor) -> None:
        self._kept.note_row(anchor)

    async def committed(self, sequence: int, receipt: bytes = b"") -> bytes:
        """Wait until an entry found in the books is durable, without another wait in between; return its message.

        Args:
            receipt: to sign then, if any.
        Raises: `RecordsUnavailable` or `ForkedHistory` where the entry could not be written.
        """
        try:
            return await self._commit.committed(sequence, receipt)
        except VaultError:
            self._begin_reading()
            raise

    async def checked(self) -> Checked:
        """Add up all that is booked by now once more, from the first row on, and compare it with what is served on.

        It takes a second set of books in memory while it runs, once at a time: who asks meanwhile waits for the same.

        Raises: `LedgerTampered` where a row breaks the chain or a sum differs; `ForkedHistory` where rows are missing;
            `RecordsUnavailable`.
        """
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check())
            self._checking.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if by nobody
        return await asyncio.shield(self._checking)

    async def _check(self) -> Checked:
        await self.ready()
        sums = self._kept.sums()
        await self.committed(sums.sequence)
        anchor = self.anchor
        sums.require_equal(await asyncio.to_thread(self._summed, sums.sequence))
        return Checked(sums=sums, anchor=anchor)

    def _summed(self, sequence: int) -> Sums:
        """Return what the rows come to, up to this entry; changes nothing of ours."""
        kept, last = KeptBooks(self._seal), 0
        for booking, _ in kept.read(self._journal.rows()) if sequence else ():
            if self._is_closing.is_set():
                raise ServiceUnavailable("the enclave is closing its books, and ended the check")
            last = booking.sequence
            if last == sequence:
                break
        if last < sequence:
            raise ForkedHistory(
                f"the database ends at entry {kept.books.last_sequence}, but this enclave has booked entry {sequence}; "
                "restore the newer database"
            )
        return kept.sums()

    async def resume(self) -> None:
        """Take in rows appended meanwhile by others. Raises `ForkedHistory` where the host has restored older ones."""
        await self._commit.settled()
        if not self._commit.is_in_doubt:
            claimed = await asyncio.to_thread(claimed_anchor, self._journal)
            await self._commit.settled()
            if claimed == self.anchor:
                return
            if not self._commit.is_in_doubt:
                self._commit.doubt()
        await self._read_again()

    async def close(self) -> None:
        """Book no more, end a check that runs, and wait for what was booked."""
        self._is_closing.set()
        await self._commit.close()
        if self._checking is not None:
            await asyncio.wait({self._checking}, timeout=READING_WAIT_S)  # a database may be away for longer

    async def _read_again(self, *, at_most_s: float | None = None) -> None:
        reading = self._begin_reading()
        done, _ = await asyncio.wait({reading}, timeout=at_most_s)
        if not done:
            raise RecordsUnavailable(f"the ledger is being read again; {UNANSWERED}")
        reading.result()

    def _begin_reading(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._take_again())
            self._reading.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if by nobody
        return self._reading

    async def _take_again(self) -> None:
        if not self._commit.is_in_doubt:
            return
        durable = self.anchor
        kept, news = await asyncio.to_thread(self._readded, durable)
        self._allowance.forget(after=durable.sequence)
        for booking, effect in news:
            self._allowance.note(booking, effect)
        self._kept = kept
        self._commit.resume(kept.anchor)

    def _readded(self, durable: Anchor) -> tuple[KeptBooks, list[tuple[Booking, Effect]]]:
        """Return the books of all rows, and what came after `durable`; changes nothing of ours."""
        kept, news = KeptBooks(self._seal), []
        for booking, effect in kept.read(self._journal.rows()):
            if booking.sequence > durable.sequence:
                news.append((booking, effect))
        if kept.anchor.sequence < durable.sequence or not kept.has_come_by(durable):
            raise ForkedHistory(
                f"the database ends at entry {kept.anchor.sequence}, but this enclave has booked entry "
                f"{durable.sequence}, which is not among its rows; restore the newer database"
            )
        return kept, news
