"""A web server on loopback that answers what a test tells it to, down to the bytes on the wire."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

HEAD_BYTES_MAX = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came; `body` is what arrived of it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    body: bytes


Handler = Callable[[Asked], Iterable[bytes]]


class WebNode:
    """Answers each request with the pieces that `handler` yields, and then hangs up.

    Attributes:
        asked: the requests, in order.
        bytes_sent: over all answers, as far as clients took them.
        is_over: set when the test ends, for answers that wait.
        body_bytes_read: of a request's body at most; the rest is left unread.
    """

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.asked: list[Asked] = []
        self.bytes_sent = 0
        self.is_over = threading.Event()
        self.body_bytes_read: int | None = None
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "WebNode":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()  # waits for the handlers


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64
    node: WebNode

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise AssertionError(f"the test's own server failed on {client_address}")


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        node = self.server.node
        try:
            asked = self._asked()
            if asked is None:
                return
            node.asked.append(asked)
            for piece in node.handler(asked):
                self.wfile.write(piece)
                node.bytes_sent += len(piece)
        except (ConnectionError, TimeoutError):
            pass  # the client has had enough, which is what many of these tests are about

    def _asked(self) -> Asked | None:
        words = self.rfile.readline(HEAD_BYTES_MAX).decode("latin-1").split(" ")
        if len(words) < 3:
            return None
        lines = [line.decode("latin-1").strip() for line in iter(lambda: self.rfile.readline(HEAD_BYTES_MAX), b"\r\n")]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        bound = self.server.node.body_bytes_read
        body = self.rfile.read(length if bound is None else min(length, bound))
        url = urlsplit(words[1])
        query = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        return Asked(method=words[0], path=url.path, query=query, headers=headers, body=body)


def answered(
    body: bytes, *, status: str = "200 OK", headers: dict[str, str] | None = None, length: int | None = None
) -> bytes:
    """Return a whole HTTP answer, whose Content-Length is `length` where that is a lie."""
    given = {"Content-Length": str(len(body) if length is None else length), **(headers or {})}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def answered_json(value: object, *, status: str = "200 OK", headers: dict[str, str] | None = None) -> bytes:
    """Return an answer that holds a JSON value."""
    kind = {"Content-Type": "application/json", **(headers or {})}
    return answered(json.dumps(value).encode(), status=status, headers=kind)
