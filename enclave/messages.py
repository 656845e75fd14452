"""Pickled messages over a socket between a process and its own child, each read whole into memory of its size.

`multiprocessing.connection` asks for all that is left with every read, and gets a fifth of a megabyte: of a batch's
answers, a megabyte and more, that takes twenty times the processor time.
"""

from __future__ import annotations

import pickle
import socket
from typing import Any, Final

_HEAD_BYTES: Final = 8  # of a message: its length, big-endian


class Messages:
    """One end of a pair; whoever has the other one is trusted, since what is unpickled can do anything."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @classmethod
    def pair(cls) -> tuple[Messages, Messages]:
        """Return both ends; one of them may go to a child as it is spawned, and nowhere else."""
        near, far = socket.socketpair()
        return cls(near), cls(far)

    def fileno(self) -> int:
        """Return the socket's number, to wait on."""
        return self._end.fileno()

    def send(self, message: Any) -> None:
        """Send a message. Raises: `OSError` where the other end is gone."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._end.sendall(len(data).to_bytes(_HEAD_BYTES, "big"))
        self._end.sendall(data)

    def receive(self) -> Any:
        """Wait for a message and return it. Raises: `EOFError` where the other end is gone, or an `OSError`."""
        size = int.from_bytes(self._read(_HEAD_BYTES), "big")
        return pickle.loads(self._read(size))  # noqa: S301  # from the process that holds the other end

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        room = memoryview(data)
        while room:
            taken = self._end.recv_into(room)
            if not taken:
                raise EOFError
            room = room[taken:]
        return data
