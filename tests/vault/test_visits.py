"""Visits to several addresses: nobody waits for a dead one, and what goes wrong is said once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import nullcontext, suppress
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from storage.errors import StorageError
from tests.loops import WAIT_S
from vault.errors import ForkedHistory, MalformedObject, ServiceUnavailable, VaultError
from vault.visits import Pace, Visits, each

LOG = logging.getLogger("tests.visits")
BRISK = Pace(every_s=0.001, backoff_s=0.001, backoff_s_max=0.001)
IDLE = Pace(every_s=WAIT_S, backoff_s=WAIT_S, backoff_s_max=WAIT_S)


class Door:
    """A connection that can be closed."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class Guest:
    """What is done at the addresses: notes each visit and when it came, and does what `at` an address is to be done."""

    def __init__(self, **at: Callable[[Door, int], Awaitable[None]]) -> None:
        self.seen: list[str] = []
        self.times: list[float] = []
        self.doors: dict[str, Door] = {}
        self._at = at
        self._news = asyncio.Condition()

    def connect(self, address: str) -> Door:
        assert address not in self.doors
        self.doors[address] = Door(address)
        return self.doors[address]

    async def visit(self, address: str, door: Door) -> None:
        assert self.doors[address] is door
        self.seen.append(address)
        self.times.append(asyncio.get_running_loop().time())
        async with self._news:
            self._news.notify_all()
        if address in self._at:
            await self._at[address](door, self.seen.count(address))

    async def came(self, address: str, times: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self.seen.count(address) >= times)

    def visits(self, *addresses: str, pace: Pace = IDLE) -> Visits[Door]:
        return Visits("board", addresses, self.connect, self.visit, pace=pace, log=LOG)


class LeapingLoop(asyncio.SelectorEventLoop):
    """A loop on which no time passes but that which all of its tasks wait for."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = 0.0
        select = self._selector.select

        def leap(timeout_s: float | None) -> Any:
            ready = select(0 if timeout_s else timeout_s)
            if timeout_s and not ready:
                self._now_s += timeout_s
            return ready

        self._selector.select = leap

    def time(self) -> float:
        return self._now_s


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(WAIT_S):
            await work

    asyncio.run(bounded())


def failing(*errors: Exception | None) -> Callable[[Door, int], Awaitable[None]]:
    """Raise these in turn, none for a visit that goes well, and the last one from then on."""

    async def visit(_: Door, number: int) -> None:
        error = errors[min(number, len(errors)) - 1]
        if error is not None:
            raise error

    return visit


async def hanging(door: Door, _: int) -> None:
    """Wait for an answer in a thread until the connection is closed."""
    await asyncio.to_thread(door.closed.wait, WAIT_S)


def test_everyone_is_visited_once_before_the_start_ends() -> None:
    async def work() -> None:
        guest = Guest()
        visits = guest.visits("a", "b", "a")
        assert visits.addresses == ("a", "b")
        await visits.start(wait_s=WAIT_S)
        assert sorted(guest.seen) == ["a", "b"]
        await visits.close()

    run(work())


def test_a_start_that_does_not_wait_visits_all_the_same() -> None:
    async def work() -> None:
        guest = Guest()
        visits = guest.visits("a")
        await visits.start()
        assert guest.seen == []
        await guest.came("a", 1)
        await visits.close()

    run(work())


def test_one_that_never_answers_delays_nobody_and_the_start_for_a_bounded_time() -> None:
    async def work() -> None:
        guest = Guest(dead=hanging)
        visits = guest.visits("dead", "alive", pace=BRISK)
        await visits.start(wait_s=0.05)
        await guest.came("alive", 3)
        assert guest.seen.count("dead") == 1
        await visits.close()

    run(work())


def test_connecting_to_one_that_is_dead_delays_nobody_either() -> None:
    async def work() -> None:
        guest, given_up = Guest(), threading.Event()

        def connect(address: str) -> Door:
            if address == "dead":
                given_up.wait(WAIT_S)
            return guest.connect(address)

        visits = Visits("board", ["dead", "alive"], connect, guest.visit, pace=BRISK, log=LOG)
        await visits.start()
        await guest.came("alive", 3)
        assert "dead" not in guest.seen
        given_up.set()
        await visits.close()

    run(work())


def test_the_wait_doubles_with_each_failure_up_to_the_most_and_starts_anew_after_a_success() -> None:
    async def work() -> None:
        down = ServiceUnavailable("down")
        guest = Guest(a=failing(None, down, down, down, down, None, down, None))
        visits = guest.visits("a", pace=Pace(every_s=60, backoff_s=1, backoff_s_max=4))
        await visits.once("a")  # connects, which takes a thread and real time
        await visits.start()
        await guest.came("a", 8)
        await visits.close()
        waits = [later - earlier for earlier, later in pairwise(guest.times[1:])]
        assert waits == pytest.approx([1, 2, 4, 4, 60, 1])

    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        runner.run(work())


def test_news_end_every_wait() -> None:
    async def work() -> None:
        guest = Guest(down=failing(ServiceUnavailable("down")))
        visits = guest.visits("up", "down")
        await visits.start(wait_s=WAIT_S)
        for times in (2, 3):
            visits.hurry()
            await guest.came("up", times)
            await guest.came("down", times)
        await visits.close()

    run(work())


def test_news_that_come_during_a_visit_bring_another_one() -> None:
    async def work() -> None:
        async def telling(_: Door, number: int) -> None:
            if number == 1:
                visits.hurry()

        guest = Guest(a=telling)
        visits = guest.visits("a")
        await visits.start()
        await guest.came("a", 2)
        await visits.close()

    run(work())


def test_a_complaint_is_logged_once_until_another_and_anew_after_a_success(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        down, bad, full = ServiceUnavailable("down"), MalformedObject("bad"), StorageError("full")
        guest = Guest(a=failing(down, down, bad, bad, full, down, None, down, down))
        visits = guest.visits("a", pace=BRISK)
        await visits.start()
        await guest.came("a", 12)
        await visits.close()

    with caplog.at_level(logging.WARNING):
        run(work())
    assert [record.message for record in caplog.records] == [
        f"board a: {words}" for words in ("down", "bad", "full", "down", "down")
    ]


def test_two_histories_are_an_error(caplog: pytest.LogCaptureFixture) -> None:
    visits = Guest().visits("a")
    visits.complain("DAO x", ForkedHistory("two heads"))
    visits.complain("DAO y", ForkedHistory("two heads"))
    visits.complain("DAO x", ForkedHistory("two heads"))
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "DAO x: two heads"),
        (logging.ERROR, "DAO y: two heads"),
    ]


def test_something_else_that_answers_is_no_board_and_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        guest = Guest()
        tried: list[str] = []

        def connect(address: str) -> Door:
            tried.append(address)
            if len(tried) < 3:
                raise ValueError("its certificate is none")
            return guest.connect(address)

        visits = Visits("board", ["a:1"], connect, guest.visit, pace=BRISK, log=LOG)
        with pytest.raises(ServiceUnavailable, match="the service at a:1 is no board: its certificate is none"):
            await visits.once("a:1")
        await visits.start()
        await guest.came("a:1", 1)
        await visits.close()
        assert len(tried) == 3  # and the connection is kept

    run(work())
    assert [record.message for record in caplog.records] == [
        "board a:1: the service at a:1 is no board: its certificate is none"
    ]


def test_closing_ends_calls_that_are_under_way_and_the_running() -> None:
    async def work() -> None:
        guest = Guest(a=hanging)
        visits = guest.visits("a", "b")
        await visits.start()
        running = asyncio.ensure_future(visits.run())
        await guest.came("a", 1)
        await guest.came("b", 1)
        await visits.close()
        assert all(door.closed.is_set() for door in guest.doors.values())
        with suppress(asyncio.CancelledError):
            await running
        assert running.cancelled()
        visits.hurry()
        await asyncio.sleep(0)
        assert sorted(guest.seen) == ["a", "b"]

    run(work())


def test_a_bug_ends_the_running_and_is_raised() -> None:
    async def work() -> None:
        guest = Guest(a=failing(ZeroDivisionError("a bug")))
        visits = guest.visits("a", "b")
        await visits.start()
        with pytest.raises(ZeroDivisionError):
            await visits.run()
        with pytest.raises(ZeroDivisionError):
            await visits.close()

    run(work())


def test_a_visit_by_hand_raises_what_goes_wrong_and_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        guest = Guest(a=failing(MalformedObject("bad")))
        visits = guest.visits("a")
        with pytest.raises(MalformedObject, match="bad"):
            await visits.once("a")

    run(work())
    assert caplog.records == []


@pytest.mark.parametrize(
    ("failures", "taken", "raised"),
    [
        ((None, None, None), 3, None),
        ((None, MalformedObject("first"), StorageError("second")), 3, "first"),
        ((StorageError("first"), ServiceUnavailable("gone"), None), 2, "gone"),
    ],
)
def test_a_step_that_fails_keeps_no_other_from_being_taken_unless_nobody_answers(
    failures: tuple[Exception | None, ...], taken: int, raised: str | None
) -> None:
    steps: list[int] = []

    async def step(number: int) -> None:
        steps.append(number)
        if (error := failures[number]) is not None:
            raise error

    with pytest.raises((VaultError, StorageError), match=raised) if raised else nullcontext():
        run(each(partial(step, number) for number in range(3)))
    assert steps == list(range(taken))
