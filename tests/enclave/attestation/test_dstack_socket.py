"""Asking dstack's guest agent: over a real Unix socket, from a server that speaks as the agent does."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from enclave.attestation.attesters import AttesterUnavailable
from enclave.attestation.attesters.dstack_socket import RESPONSE_BYTES_MAX, DstackQuote, DstackSocket
from tests.people import seeded
from tests.shared_data import shared
from vault.errors import ServiceUnavailable

REPORT_DATA = seeded("report data", 64)
ANSWER: dict[str, Any] = {
    "quote": "0400",
    "event_log": '[{"imr":3,"event":"compose-hash"}]',
    "report_data": REPORT_DATA.hex(),
    "vm_config": '{"cpu_count":2}',
}


class Agent:
    """One request over a Unix socket: `head` and `body` are what it answers, `request` what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = b""
        self.answers = b""
        self.stalls = False
        self.drips = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        self._socket.listen(4)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def answer(self, content: Any, status: str = "200 OK", *headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        lines = [f"HTTP/1.1 {status}", "content-type: application/json", "server: Rocket", *headers]
        if not any("transfer-encoding" in line for line in headers):
            lines.append(f"content-length: {len(body)}")
        self.answers = "\r\n".join([*lines, "", ""]).encode() + body

    @contextmanager
    def serving(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._socket.shutdown(socket.SHUT_RDWR)
            self._thread.join(5)
            self._socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.request = self._received(connection)
                if self.stalls:
                    self._ended.wait(5)
                try:
                    self._send(connection)
                except OSError:  # the client has heard enough
                    continue

    def _send(self, connection: socket.socket) -> None:
        if not self.drips:
            connection.sendall(self.answers)
            return
        head, _, body = self.answers.partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        for byte in body:
            connection.sendall(bytes([byte]))
            if self._ended.wait(0.01):
                return

    def _received(self, connection: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(4096)
        head, _, body = received.partition(b"\r\n\r\n")
        (length,) = [int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        while len(body) < length:
            body += connection.recv(4096)
        return head + b"\r\n\r\n" + body


@pytest.fixture
def agent() -> Iterator[Agent]:
    folder = Path(tempfile.mkdtemp(prefix="ds"))  # a socket's path has to fit into 108 bytes
    agent = Agent(folder / "dstack.sock")
    agent.answer(ANSWER)
    with agent.serving():
        yield agent
    shutil.rmtree(folder)


def quoted(agent: Agent, timeout_s: float = 5.0) -> DstackQuote:
    return DstackSocket(str(agent.path), timeout_s=timeout_s).quote(REPORT_DATA)


def test_the_agent_s_answer_is_a_quote_with_its_log(agent: Agent) -> None:
    assert quoted(agent) == DstackQuote(
        quote=b"\4\0", event_log=b'[{"imr":3,"event":"compose-hash"}]', vm_config=b'{"cpu_count":2}'
    )


def test_the_agent_is_asked_as_its_interface_says(agent: Agent) -> None:
    quoted(agent)
    head, _, body = agent.request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /GetQuote HTTP/1.1\r\n")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body) == {"report_data": REPORT_DATA.hex()}


def test_a_captured_answer_comes_through_unchanged(agent: Agent) -> None:
    folder = shared("evidence/tdx/dstack-quote-report-eventlog")
    captured = {name: (folder / name).read_bytes() for name in ("quote.bin", "event_log.json", "vm_config.json")}
    answer = {
        "quote": captured["quote.bin"].hex(),
        "event_log": captured["event_log.json"].decode(),
        "report_data": REPORT_DATA.hex(),
        "vm_config": captured["vm_config.json"].decode(),
    }
    agent.answer(answer)
    found = quoted(agent)
    assert [found.quote, found.event_log, found.vm_config] == list(captured.values())


def test_an_answer_in_chunks_is_read_whole(agent: Agent) -> None:
    body = json.dumps(ANSWER).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    agent.answer(chunks, "200 OK", "transfer-encoding: chunked")
    assert quoted(agent).quote == b"\4\0"


def test_an_older_agent_sends_no_machine_configuration(agent: Agent) -> None:
    agent.answer({name: value for name, value in ANSWER.items() if name != "vm_config"})
    assert quoted(agent).vm_config == b""


@pytest.mark.parametrize("size", [0, 63, 65])
def test_report_data_has_64_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        DstackSocket("/nowhere").quote(bytes(size))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"report_data": bytes(64).hex()}, "other report data"),
        ({"report_data": REPORT_DATA.hex()[:-2]}, "other report data"),
        ({"report_data": ""}, "other report data"),
        ({"report_data": "zz"}, "not in hex"),
        ({"quote": "0x04"}, "not in hex"),
        ({"quote": ""}, "quote is empty"),
        ({"event_log": ""}, "quote is empty"),
        ({"event_log": "\ud800"}, "not in hex"),
        ({"quote": 4}, "not that of dstack's guest agent"),
        ({"event_log": []}, "not that of dstack's guest agent"),
        ({"report_data": None}, "not that of dstack's guest agent"),
    ],
)
def test_an_answer_that_is_no_quote_is_refused(agent: Agent, changed: dict[str, Any], told: str) -> None:
    agent.answer(ANSWER | changed)
    with pytest.raises(AttesterUnavailable, match=told):
        quoted(agent)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"quote":', b"\xff", b"[" * 100_000, b"null"])
def test_an_answer_that_is_not_the_agent_s_is_refused(agent: Agent, content: bytes) -> None:
    agent.answer(content)
    with pytest.raises(AttesterUnavailable):
        quoted(agent)


def test_the_agent_s_own_error_is_told_within_bounds(agent: Agent) -> None:
    agent.answer({"error": "Failed to get quote\x1b[2J" + "x" * 10_000}, "400 Bad Request")
    with pytest.raises(AttesterUnavailable, match="answers 400, 'Failed to get quote") as refused:
        quoted(agent)
    assert len(str(refused.value)) < 300
    assert str(refused.value).isprintable()


def test_a_quote_with_a_failing_status_is_no_quote(agent: Agent) -> None:
    agent.answer(ANSWER, "500 Internal Server Error")
    with pytest.raises(AttesterUnavailable, match="500"):
        quoted(agent)


def test_an_answer_beyond_the_bound_is_not_read_on(agent: Agent) -> None:
    agent.answer(b" " * (RESPONSE_BYTES_MAX + 1))
    with pytest.raises(AttesterUnavailable, match="over 1048576 bytes"):
        quoted(agent)


@pytest.mark.parametrize(
    "raw", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", b"SSH-2.0\r\n\r\n", b"\0" * 70_000]
)
def test_an_answer_broken_off_is_refused(agent: Agent, raw: bytes) -> None:
    agent.answers = raw
    with pytest.raises(AttesterUnavailable):
        quoted(agent)


def test_an_agent_that_stalls_is_not_waited_for(agent: Agent) -> None:
    agent.stalls = True
    with pytest.raises(AttesterUnavailable, match="TimeoutError"):
        quoted(agent, timeout_s=0.1)


def test_an_agent_that_drips_is_not_waited_for(agent: Agent) -> None:
    agent.answer(ANSWER | {"quote": "00" * 5000})
    agent.drips = True
    with pytest.raises(AttesterUnavailable, match=r"took over 0\.1 s"):
        quoted(agent, timeout_s=0.1)


def test_without_a_socket_the_refusal_says_how_to_map_it(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"dstack\.sock:/var/run/dstack\.sock` among its volumes"):
        DstackSocket(str(tmp_path / "none.sock")).quote(REPORT_DATA)


def test_a_path_too_long_for_a_socket_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(AttesterUnavailable):
        DstackSocket(str(tmp_path / ("x" * 200))).quote(REPORT_DATA)
