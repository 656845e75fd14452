"""Messages between a process and its child: they come whole, in order, and an end that is gone is told."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from enclave.messages import Messages


@pytest.fixture
def ends() -> Iterator[tuple[Messages, Messages]]:
    near, far = Messages.pair()
    yield near, far
    near.close()
    far.close()


@pytest.mark.parametrize(
    "message", [None, (1, "search", (b"",)), bytes(3 << 20), [bytes([n]) * 2000 for n in range(9)]]
)
def test_they_come_whole_and_in_order(ends: tuple[Messages, Messages], message: Any) -> None:
    near, far = ends
    with ThreadPoolExecutor(1) as pool:  # a socket holds less than the largest
        sending = pool.submit(lambda: [far.send(one) for one in (message, "next")])
        assert [near.receive(), near.receive()] == [message, "next"]
        sending.result()


def test_one_that_comes_in_pieces_is_put_together() -> None:
    near, far = socket.socketpair()
    with near, far, ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(Messages(near).receive)
        Messages(out := _Recording()).send({"tide": 1})  # type: ignore[arg-type]
        for byte in out.sent:
            far.send(bytes([byte]))
        assert receiving.result() == {"tide": 1}


def test_an_end_that_is_gone_is_told_even_in_the_middle_of_a_message(ends: tuple[Messages, Messages]) -> None:
    near, far = ends
    far.close()
    with pytest.raises(EOFError):
        near.receive()
    with pytest.raises(OSError):
        near.send(b"anyone")
    here, there = socket.socketpair()
    with here:
        there.send((100).to_bytes(8, "big") + b"half of it")
        there.close()
        with pytest.raises(EOFError):
            Messages(here).receive()


class _Recording:
    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data
