"""Answers of a stream: each is written whole, or its client is told that it does not take them."""

from __future__ import annotations

import asyncio

import pytest

from enclave import streaming
from enclave.streaming import written
from vault.errors import ServiceUnavailable


class Channel:
    """Takes a message once it is let."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.began, self.may_take = asyncio.Event(), asyncio.Event()

    async def write(self, message: bytes) -> None:
        self.began.set()
        await self.may_take.wait()
        self.taken.append(message)


async def test_one_on_its_way_is_written_whole_where_the_stream_ends_meanwhile() -> None:
    """Or gRPC could not be told why it ends, and the client would wait for its deadline."""
    channel = Channel()
    writing = asyncio.create_task(written(channel.write, b"answer"))
    await channel.began.wait()
    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done()
    channel.may_take.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert channel.taken == [b"answer"]


async def test_a_client_that_takes_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "WRITE_S_MAX", 0.01)
    with pytest.raises(ServiceUnavailable, match="does not take"):
        await written(Channel().write, b"answer")


async def test_what_fails_to_be_written_says_why() -> None:
    async def write(_: bytes) -> None:
        raise ConnectionError("the call is over")

    with pytest.raises(ConnectionError):
        await written(write, b"answer")
