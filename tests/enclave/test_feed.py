"""Questions into streams that break: none is lost, none is taken twice, and no reader waits for the other's turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from enclave.client_session import Pending
from enclave.feed import AsyncFeed, Feed
from storage.cid import RAW, Cid
from tests.builders import seeded
from vault.question import Query

WAIT_S = 20


def query(number: int) -> Query:
    return Query(
        request=seeded(f"request {number}"), policy=Cid.of(RAW, b"policy"), text=f"{number}", k=1, salt=seeded("salt")
    )


def pend(query: Query) -> Pending | None:
    return None if query.text == "left out" else Pending(query, None)


QUERIES = [query(number) for number in range(6)]


def test_what_has_no_answer_goes_into_the_next_stream_in_its_order() -> None:
    feed = Feed(iter(QUERIES), pend)
    first = feed.next_stream()
    assert first is not None
    taken = feed.taken(first)
    sent = [next(taken) for _ in range(4)]
    assert feed.answered(QUERIES[1].request) is sent[1]
    assert feed.unanswered() == [sent[0], sent[2], sent[3]]
    second = feed.next_stream()
    assert second is not None
    assert list(taken) == []  # the broken stream takes no more
    assert [one.query for one in feed.taken(second)] == [QUERIES[n] for n in (0, 2, 3, 4, 5)]
    assert feed.answered(seeded("never asked")) is None
    for one in QUERIES:
        feed.answered(one.request)
    assert feed.next_stream() is None


def test_a_question_read_for_a_broken_stream_goes_into_the_next() -> None:
    """gRPC's thread may stand in the caller's own questions when the stream breaks."""
    entered, may_go = threading.Event(), threading.Event()

    def questions() -> Iterator[Query]:
        yield QUERIES[0]
        entered.set()
        assert may_go.wait(WAIT_S)
        yield QUERIES[1]

    feed = Feed(questions(), pend)
    first = feed.next_stream()
    assert first is not None
    reader = threading.Thread(target=lambda: list(feed.taken(first)))
    reader.start()
    assert entered.wait(WAIT_S)
    second = feed.next_stream()  # does not wait for the reader: the first question is there to be sent again
    assert second is not None
    taken = feed.taken(second)
    assert next(taken).query == QUERIES[0]
    may_go.set()
    assert next(taken).query == QUERIES[1]
    reader.join(WAIT_S)
    assert next(taken, None) is None


def test_what_the_questions_end_with_is_raised_after_the_answers() -> None:
    def questions() -> Iterator[Query]:
        yield QUERIES[0]
        raise KeyError("mine")

    feed = Feed(questions(), pend)
    number = feed.next_stream()
    assert number is not None
    assert [one.query for one in feed.taken(number)] == QUERIES[:1]
    with pytest.raises(KeyError, match="mine"):
        feed.require_whole()


async def test_the_same_for_an_event_loop() -> None:
    async def questions() -> AsyncIterator[Query]:
        for one in QUERIES:
            await asyncio.sleep(0)
            yield one

    feed = AsyncFeed(questions(), pend)
    first = await feed.next_stream()
    assert first is not None
    taken = feed.taken(first)
    sent = [await anext(taken) for _ in range(4)]
    assert feed.answered(QUERIES[1].request) is sent[1]
    second = await feed.next_stream()
    assert second is not None
    assert [one async for one in taken] == []
    assert [one.query async for one in feed.taken(second)] == [QUERIES[n] for n in (0, 2, 3, 4, 5)]
    for one in QUERIES:
        feed.answered(one.request)
    assert await feed.next_stream() is None
    feed.require_whole()
    await feed.close()


async def test_closed_it_reads_no_more() -> None:
    read: list[Query] = []

    def questions() -> Iterator[Query]:
        for number in range(10_000):
            read.append(query(number))
            yield read[-1]

    feed = AsyncFeed(questions(), pend)
    number = await feed.next_stream()
    assert number is not None
    async for _ in feed.taken(number):
        break
    await feed.close()
    assert len(read) < 10
