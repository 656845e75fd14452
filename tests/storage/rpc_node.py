"""A node's RPC on loopback that answers what a test tells it to, down to the bytes on the wire."""

import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from typing import Any

PACED_BYTES = 64 * 1024
RECEIVE_BUFFER_BYTES = 4096  # small, so that the client's sending waits for the node's reading

Answer = Callable[[str], Iterable[bytes]]


class RpcNode:
    """Answers each request with the pieces of `answer(path)`; `path` has no `/api/v0/` and no query.

    Attributes:
        paths: what was asked for, in order.
        bytes_sent: over all answers, as far as the client took them.
        upload_pace_s: waited after each `PACED_BYTES` of an upload; None to leave uploads unread.
        is_over: set when the test ends, for answers that wait.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.paths: list[str] = []
        self.bytes_sent = 0
        self.is_over = threading.Event()
        self.upload_pace_s: float | None = 0.0
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.node = self
        self.address = f"/ip4/127.0.0.1/tcp/{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> "RpcNode":
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
    node: RpcNode

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        super().server_bind()

    def handle_error(self, request: Any, client_address: Any) -> None:
        raise AssertionError(f"the test's own node failed on {client_address}")


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        node = self.server.node
        try:
            request_line = self.rfile.readline(10_000).decode("latin-1").split(" ")
            if len(request_line) < 2:
                return
            path = request_line[1].partition("?")[0].removeprefix("/api/v0/")
            node.paths.append(path)
            headers = list(iter(self.rfile.readline, b"\r\n"))
            is_upload = any(b"chunked" in line for line in headers)
            if is_upload and node.upload_pace_s is not None:
                self._read_upload(node.upload_pace_s)
            for piece in node.answer(path):
                self.wfile.write(piece)
                node.bytes_sent += len(piece)
        except (ConnectionError, TimeoutError):
            pass  # the client has had enough, which is what most of these tests are about

    def _read_upload(self, pace_s: float) -> None:
        while left := int(self.rfile.readline(100) or b"0", 16):
            left += len(b"\r\n")
            while left:
                part = self.rfile.read(min(left, PACED_BYTES))
                if not part:
                    return
                left -= len(part)
                self.server.node.is_over.wait(pace_s)
        self.rfile.readline()


def answered(body: bytes, *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """Return a whole HTTP answer, whose Content-Length is `length` where that is a lie."""
    claimed = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {claimed}\r\n{headers}\r\n".encode() + body


OPEN_ENDED = b"HTTP/1.1 200 OK\r\n\r\n"  # the body ends when the connection does
