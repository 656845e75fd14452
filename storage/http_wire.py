"""Connections over HTTP whose every wait and every byte is counted against one exchange's budget."""

import functools
import io
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final

BYTES_PER_SECOND_MIN: Final = 64 * 1024  # each second beyond the timeout has to be earned with as many bytes


class Budget:
    """What is left of one exchange's time and bytes."""

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._started = time.monotonic()
        self._moved = 0
        self._left = 0

    @property
    def is_late(self) -> bool:
        """Say whether the deadline has passed."""
        return self._seconds() <= 0

    def seconds_left(self) -> float:
        """Return how long the next wait may be. Raises: TimeoutError: no longer at all."""
        if self.is_late:
            raise TimeoutError("the deadline has passed")
        return self._seconds()

    def allow(self, count: int) -> None:
        """Let so many bytes come from here on."""
        self._left = count

    def took(self, count: int) -> None:
        """Count bytes that came. Raises: HTTPException: more than were allowed."""
        self._left -= count
        self.moved(count)
        if self._left < 0:
            raise HTTPException("an answer longer than any that was asked for")

    def moved(self, count: int) -> None:
        """Put the deadline off by what so many bytes earn."""
        self._moved += count

    def _seconds(self) -> float:
        return self.timeout_s + self._moved / BYTES_PER_SECOND_MIN - (time.monotonic() - self._started)


class _TimedReader(io.RawIOBase):
    """A socket's bytes, counted, each wait for them cut to the time left."""

    def __init__(self, sock: Any, raw: io.RawIOBase, budget: Budget) -> None:
        self._sock = sock
        self._raw = raw
        self._budget = budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._budget.seconds_left())
        count: int | None = self._raw.readinto(buffer)
        self._budget.took(count or 0)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, budget: Budget, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw: Any = self.fp
        self.fp = io.BufferedReader(_TimedReader(sock, raw.detach(), budget))


class Connection(HTTPConnection):
    """A connection to the first of `addresses` that answers."""

    def __init__(self, host: str, port: int, *, addresses: list[str], budget: Budget) -> None:
        super().__init__(host, port)
        self._addresses = addresses
        self._budget = budget
        self.response_class = functools.partial(_Response, budget=budget)  # type: ignore[assignment]

    def connect(self) -> None:
        """Connect within the time left."""
        self.sock = _connected(self._addresses, self.port, self._budget)

    def send(self, data: Any) -> None:
        """Send within the time left."""
        if self.sock is not None:
            self.sock.settimeout(self._budget.seconds_left())
        super().send(data)


class TlsConnection(Connection):
    """The same over TLS, the certificate checked against the host's name."""

    default_port = HTTPSConnection.default_port

    def connect(self) -> None:
        """Connect and shake hands within the time left."""
        super().connect()
        self.sock.settimeout(self._budget.seconds_left())
        self.sock = _context().wrap_socket(self.sock, server_hostname=self.host)


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _connected(addresses: Sequence[str], port: int, budget: Budget) -> socket.socket:
    """Connect to the first address that answers; all share the time left, so that a dead one cannot use it up."""
    for left, address in zip(range(len(addresses), 1, -1), addresses, strict=False):
        with suppress(OSError):
            return socket.create_connection((address, port), timeout=budget.seconds_left() / left)
    return socket.create_connection((addresses[-1], port), timeout=budget.seconds_left())
