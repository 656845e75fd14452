"""Group commit: one append at a time, everything queued in it, nobody released before theirs is durable (rule L3)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from itertools import chain

import pytest

from enclave.commit import QUEUED_MAX, GroupCommit
from tests.builders import seeded
from tests.loops import WAIT_S
from vault.errors import ForkedHistory, RecordsUnavailable, ServiceUnavailable, VaultError
from vault.ledger_seal import ROW_ENTRIES_MAX
from vault.window import EMPTY_ANCHOR, Anchor

ENTRY = b"entry"


class Disk:
    """Takes appends, one group after another; `hold` keeps them on their way until `let_go`."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []  # the sequences of their entries
        self.sizes: list[int] = []
        self.noted: list[Anchor] = []
        self.at_once = 0
        self.asked_now = 0
        self.is_busy = False
        self.error: Exception | None = None
        self._free = threading.Event()
        self._free.set()
        self.begun = threading.Event()

    def write(self, entries: Sequence[bytes], after: Anchor) -> Anchor:
        self.at_once += 1
        assert self.at_once == 1, "one writer"
        self.begun.set()
        assert self._free.wait(WAIT_S)
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        last = after.sequence + len(entries)
        self.groups.append([*range(after.sequence + 1, last + 1)])
        self.sizes.append(sum(map(len, entries)))
        return end(last)

    async def holding(self) -> None:
        """Wait until an append is held."""
        assert await asyncio.to_thread(self.begun.wait, WAIT_S)

    def write_now(self, entries: Sequence[bytes], after: Anchor) -> Anchor | None:
        self.asked_now += 1
        if self.is_busy:
            return None
        assert threading.current_thread() is threading.main_thread()
        return self.write(entries, after)

    def hold(self) -> None:
        self.begun.clear()
        self._free.clear()

    def let_go(self, error: Exception | None = None) -> None:
        self.error = error
        self._free.set()


def end(sequence: int) -> Anchor:
    return Anchor(sequence=sequence, mac=seeded(f"mac {sequence}"))


def joined(receipts: Sequence[bytes]) -> list[bytes]:
    """Sign as a burst would: each message tells how many were signed together."""
    return [b"%d:" % len(receipts) + receipt for receipt in receipts]


@pytest.fixture
async def disk() -> AsyncIterator[Disk]:
    disk = Disk()
    yield disk
    disk.let_go()


@pytest.fixture
def commit(disk: Disk) -> GroupCommit:
    return GroupCommit(disk.write, disk.noted.append, EMPTY_ANCHOR, joined)


def waits(commit: GroupCommit, *sequences: int) -> list[asyncio.Task[bytes]]:
    return [asyncio.create_task(commit.committed(sequence, b"receipt %d" % sequence)) for sequence in sequences]


async def outcomes(waiting: Sequence[asyncio.Task[bytes]]) -> list[bytes | BaseException]:
    async with asyncio.timeout(WAIT_S):
        return await asyncio.gather(*waiting, return_exceptions=True)


async def turns(number: int = 20) -> None:
    """Let the loop turn: whatever could go on without the disk has gone on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_alone_a_row_goes_at_once_and_alone(commit: GroupCommit, disk: Disk) -> None:
    for sequence in (1, 2):
        commit.put(ENTRY)
        assert await commit.committed(sequence, b"receipt") == b"1:receipt"
    assert disk.groups == [[1], [2]]
    assert commit.durable == end(2)
    assert disk.noted == [end(1), end(2)]


async def test_what_is_booked_in_one_turn_or_while_the_disk_works_goes_together(
    commit: GroupCommit, disk: Disk
) -> None:
    disk.hold()
    for _ in (1, 2):
        commit.put(ENTRY)
    await disk.holding()
    for _ in (3, 4, 5):
        commit.put(ENTRY)
    waiting = waits(commit, 5, 1, 2, 3, 4)  # whoever asks again may ask for an earlier one
    await turns()
    assert not any(task.done() for task in waiting)
    assert commit.durable == EMPTY_ANCHOR
    disk.let_go()
    assert await outcomes(waiting) == [b"3:receipt 5", b"2:receipt 1", b"2:receipt 2", b"3:receipt 3", b"3:receipt 4"]
    assert disk.groups == [[1, 2], [3, 4, 5]]


async def test_who_comes_later_for_a_durable_one_does_not_wait(commit: GroupCommit) -> None:
    commit.put(ENTRY)
    await commit.settled()
    assert await commit.committed(1) == b""
    assert await commit.committed(1, b"receipt") == b"1:receipt"


async def test_groups_are_bounded_by_rows_and_by_bytes(
    commit: GroupCommit, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclave.commit.ROW_BYTES_MAX", 10_000)
    for size in (4_000, 4_000, 4_000, 4_000, 20_000):
        commit.put(bytes(size))
    for _ in range(ROW_ENTRIES_MAX + 1):
        commit.put(b"x")
    await commit.settled()
    assert disk.groups[:3] == [[1, 2], [3, 4], [5]]
    assert disk.sizes[:3] == [8_000, 8_000, 20_000]
    assert [len(group) for group in disk.groups[3:]] == [ROW_ENTRIES_MAX, 1]
    assert list(chain.from_iterable(disk.groups)) == list(range(1, 6 + ROW_ENTRIES_MAX + 1))


async def test_a_full_queue_makes_bookings_wait_for_the_disk(commit: GroupCommit, disk: Disk) -> None:
    disk.hold()
    commit.put(ENTRY)
    await disk.holding()
    for _ in range(QUEUED_MAX):
        commit.put(ENTRY)
    with pytest.raises(RecordsUnavailable, match="behind"):
        commit.put(ENTRY)
    waiting = asyncio.create_task(commit.room())
    await turns()
    assert not waiting.done()
    disk.let_go()
    async with asyncio.timeout(WAIT_S):
        await waiting
    commit.put(ENTRY)
    await commit.settled()
    assert list(chain.from_iterable(disk.groups)) == list(range(1, 3 + QUEUED_MAX))


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (RecordsUnavailable("disk full"), RecordsUnavailable),
        (ForkedHistory("another's row"), ForkedHistory),
        (ValueError("a bug of ours"), RecordsUnavailable),
    ],
)
async def test_a_failed_group_takes_all_behind_it_along(
    commit: GroupCommit, disk: Disk, error: Exception, seen: type[VaultError]
) -> None:
    disk.hold()
    commit.put(ENTRY)
    await disk.holding()
    commit.put(ENTRY)
    waiting = waits(commit, 1, 2)
    await turns()
    disk.let_go(error)
    for outcome in await outcomes(waiting):
        assert type(outcome) is seen
        assert "ask again with the same request id" in str(outcome)
        assert str(error) not in str(outcome)  # where the database lies is no licensee's business
    assert disk.groups == []
    assert commit.durable == EMPTY_ANCHOR
    for refused in (lambda: commit.put(ENTRY), commit.require_certain, commit.require_open):
        with pytest.raises(RecordsUnavailable):
            refused()
    with pytest.raises(RecordsUnavailable):
        await commit.committed(2)


async def test_once_the_books_are_read_again_it_goes_on_from_there(commit: GroupCommit, disk: Disk) -> None:
    disk.error = RecordsUnavailable("away")
    commit.put(ENTRY)
    await commit.settled()
    disk.error = None
    commit.resume(end(1))  # it had been recorded all the same
    commit.put(ENTRY)
    assert await commit.committed(2, b"receipt") == b"1:receipt"
    assert disk.groups == [[2]]


async def test_one_that_no_longer_waits_holds_nobody_up(commit: GroupCommit, disk: Disk) -> None:
    for error in (None, RecordsUnavailable("away")):
        disk.hold()
        commit.put(ENTRY)
        await disk.holding()
        gone, stays = waits(commit, commit.durable.sequence + 1, commit.durable.sequence + 1)
        await turns()
        gone.cancel()
        disk.let_go(error)
        (outcome,) = await outcomes([stays])
        assert outcome == b"1:receipt 1" if error is None else isinstance(outcome, RecordsUnavailable)


async def test_closing_waits_for_what_was_booked_and_books_no_more(commit: GroupCommit, disk: Disk) -> None:
    disk.hold()
    commit.put(ENTRY)
    await disk.holding()
    commit.put(ENTRY)
    closing = asyncio.create_task(commit.close())
    await turns()
    with pytest.raises(ServiceUnavailable, match="closing"):
        commit.put(ENTRY)
    assert not closing.done()
    disk.let_go()
    async with asyncio.timeout(WAIT_S):
        await closing
    assert disk.groups == [[1], [2]]


async def test_nothing_can_be_doubted_while_it_is_being_written(commit: GroupCommit) -> None:
    commit.put(ENTRY)
    with pytest.raises(ValueError, match="being written"):
        commit.doubt()
    await commit.settled()
    commit.doubt()
    with pytest.raises(RecordsUnavailable):
        commit.put(ENTRY)


@pytest.fixture
def quick(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> GroupCommit:
    """Take every write for a quick one, once there was one."""
    monkeypatch.setattr("enclave.commit.QUICK_S", WAIT_S)
    commit = GroupCommit(disk.write, disk.noted.append, EMPTY_ANCHOR, joined, disk.write_now)
    commit._last_s = 0.0
    return commit


async def test_alone_behind_a_quick_write_it_is_written_on_the_loop_itself(quick: GroupCommit, disk: Disk) -> None:
    for sequence in (1, 2):
        quick.put(ENTRY)
        assert await quick.committed(sequence, b"receipt") == b"1:receipt"
    assert (disk.asked_now, disk.groups, disk.noted) == (2, [[1], [2]], [end(1), end(2)])
    await quick.settled()


async def test_several_are_written_in_the_thread(quick: GroupCommit, disk: Disk) -> None:
    for _ in (1, 2):
        quick.put(ENTRY)
    await quick.settled()
    assert (disk.asked_now, disk.groups) == (0, [[1, 2]])


async def test_behind_a_slow_write_it_is_written_in_the_thread(
    quick: GroupCommit, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enclave.commit.QUICK_S", 0.0)
    quick.put(ENTRY)
    await quick.settled()
    assert (disk.asked_now, disk.groups) == (0, [[1]])


async def test_where_somebody_else_is_at_the_disk_the_thread_waits_for_it(quick: GroupCommit, disk: Disk) -> None:
    disk.is_busy = True
    quick.put(ENTRY)
    assert await quick.committed(1, b"receipt") == b"1:receipt"
    assert (disk.asked_now, disk.groups) == (1, [[1]])


async def test_one_that_fails_on_the_loop_is_refused_as_any_other(quick: GroupCommit, disk: Disk) -> None:
    disk.error = ValueError("a bug of ours")
    quick.put(ENTRY)
    with pytest.raises(RecordsUnavailable, match="ask again with the same request id"):
        await quick.committed(1, b"receipt")
    assert (disk.asked_now, quick.durable, quick.is_in_doubt) == (1, EMPTY_ANCHOR, True)
    await quick.settled()
    disk.error = None
    quick.resume(EMPTY_ANCHOR)
    quick.put(ENTRY)
    assert await quick.committed(1, b"receipt") == b"1:receipt"
