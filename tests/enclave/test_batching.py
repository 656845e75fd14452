"""Gathering asks: none waits while the engine is idle, none is starved, and none outlives its caller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from enclave.batching import BATCH_MAX, SESSION_WAITING_MAX, WAITING_MAX, Batching
from enclave.found import Answer, Ask
from tests.toy import ask
from vault.errors import AccessDenied, Overloaded, ServiceUnavailable, VaultError

ONE, OTHER = b"one session", b"another one"


class SlowEngine:
    """An engine that works when it is told to, and remembers the batches that it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.outcomes: list[Exception | None] = []
        self._turns = asyncio.Semaphore(0)

    def work(self, batches: int = 1) -> None:
        for _ in range(batches):
            self._turns.release()

    async def search(self, asks: Sequence[Ask]) -> list[Answer | VaultError]:
        self.batches.append([one.text for one in asks])
        await self._turns.acquire()
        if self.outcomes and (outcome := self.outcomes.pop(0)) is not None:
            raise outcome
        return [answer_to(one.text) for one in asks]


def answer_to(text: str) -> Answer:
    return Answer(found=(), vector=text.encode(), embed_s=0.0, search_s=0.0)


class Asking:
    """A batching over a slow engine, and the calls under way."""

    def __init__(self) -> None:
        self.engine: Any = SlowEngine()
        self.batching = Batching(self.engine)

    async def ask(self, *texts: str, session: bytes = ONE) -> asyncio.Task[list[Answer | VaultError]]:
        """Begin a call, and return once it waits."""
        asks = [ask(text, k=1) for text in texts]
        call = asyncio.create_task(self.batching.search(asks, session=session))
        for _ in range(4):
            await asyncio.sleep(0)
        return call


@pytest.fixture
async def asking() -> Asking:
    return Asking()


def texts_of(answers: Sequence[Answer | VaultError]) -> list[str]:
    return [one.vector.decode() if isinstance(one, Answer) else type(one).__name__ for one in answers]


async def test_an_idle_engine_is_asked_at_once_and_what_comes_meanwhile_together(asking: Asking) -> None:
    first = await asking.ask("a")
    assert asking.engine.batches == [["a"]]
    later = [await asking.ask(text) for text in "bcd"]
    assert asking.engine.batches == [["a"]]
    assert asking.batching.under_way == 4
    asking.engine.work(2)
    assert texts_of(await first) == ["a"]
    assert [texts_of(await call) for call in later] == [["b"], ["c"], ["d"]]
    assert asking.engine.batches == [["a"], ["b", "c", "d"]]
    assert asking.batching.under_way == 0


async def test_every_call_gets_its_own_answers_in_its_own_order(asking: Asking) -> None:
    asking.engine.work(10)
    calls = [
        await asking.ask(*(f"{session!r}{number}" for number in range(5)), session=session) for session in (ONE, OTHER)
    ]
    assert texts_of(await calls[0]) == [f"{ONE!r}{number}" for number in range(5)]
    assert texts_of(await calls[1]) == [f"{OTHER!r}{number}" for number in range(5)]


async def test_a_session_of_many_delays_another_by_no_more_than_a_batch(asking: Asking) -> None:
    held = await asking.ask("first")
    many = await asking.ask(*(f"many {number}" for number in range(3 * BATCH_MAX)))
    single = await asking.ask("single", session=OTHER)
    asking.engine.work(2)
    await held
    assert texts_of(await single) == ["single"]
    assert "single" in asking.engine.batches[1]
    assert len(asking.engine.batches[1]) == BATCH_MAX
    asking.engine.work(10)
    assert len(await many) == 3 * BATCH_MAX


async def test_what_its_caller_gave_up_is_never_asked(asking: Asking) -> None:
    held = await asking.ask("held")
    abandoned, kept = await asking.ask("abandoned"), await asking.ask("kept")
    abandoned.cancel()
    asking.engine.work(2)
    await held
    assert texts_of(await kept) == ["kept"]
    assert asking.engine.batches == [["held"], ["kept"]]
    assert asking.batching.under_way == 0


@pytest.mark.parametrize("failure", [ServiceUnavailable("ended"), ZeroDivisionError("a bug, with words of a question")])
async def test_a_failing_batch_fails_its_own_callers_alone(asking: Asking, failure: Exception) -> None:
    asking.engine.outcomes = [failure, None]
    first, second = await asking.ask("a"), await asking.ask("b")
    asking.engine.work(2)
    assert texts_of(await first) == ["ServiceUnavailable"]
    assert texts_of(await second) == ["b"]


async def test_without_an_engine_callers_are_told_why() -> None:
    class Gone(SlowEngine):
        async def search(self, asks: Sequence[Ask]) -> list[Answer | VaultError]:
            raise AccessDenied("the enclave does not serve")

    gone: Any = Gone()
    assert texts_of(await Batching(gone).search([ask("a", k=1)], session=ONE)) == ["AccessDenied"]


async def test_stopping_leaves_nobody_waiting(asking: Asking) -> None:
    calls = [await asking.ask("in hand"), await asking.ask("waiting")]
    await asking.batching.close()
    assert [texts_of(await call) for call in calls] == [["ServiceUnavailable"], ["ServiceUnavailable"]]
    assert asking.batching.under_way == 0


@pytest.mark.parametrize("most", ["one session's", "all sessions'"])
async def test_more_than_it_can_answer_soon_is_refused_with_a_hint(asking: Asking, most: str) -> None:
    calls = []
    room = SESSION_WAITING_MAX if most == "one session's" else WAITING_MAX
    for number in range(room // BATCH_MAX + 1):
        session = ONE if most == "one session's" else bytes([number])
        asking.batching.require_room(session, BATCH_MAX)
        calls.append(await asking.ask(*["x"] * BATCH_MAX, session=session))
    with pytest.raises(Overloaded, match="nothing was charged") as refusal:
        asking.batching.require_room(ONE, 1)
    assert 0 < refusal.value.wait_s < 60
    asking.engine.work(1000)
    for call in calls:
        await call
    asking.batching.require_room(ONE, 1)
