"""`coffer tui --serve` in a real browser: it is shown, keys reach it, and a page of somebody else reaches nothing."""

from __future__ import annotations

import http.server
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium, tab

WAIT_MS = 60_000  # until the test is given up; the terminal's process has to start
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?<=>]*[a-zA-Z]|[()][A-Z0-9]|[=>])")
REBOUND = "rebound.example"  # a name of somebody else's that leads to this machine
ASK = """address => new Promise(done => {
    const made = new WebSocket(address);
    made.onopen = () => done('open');
    made.onerror = () => done('refused');
})"""
FETCH = "address => fetch(address, {credentials: 'include'}).then(() => 'read', () => 'refused')"
FRAME = """address => new Promise(done => {
    const frame = document.createElement('iframe');
    frame.onload = () => { try { done(frame.contentWindow.location.href) } catch (error) { done('refused') } };
    frame.src = address;
    document.body.append(frame);
})"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A running `coffer tui --serve`."""

    address: str  # with its key
    port: int

    @property
    def own(self) -> str:
        return self.address.partition("/?")[0]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Serve the terminal of an empty home, as a person would from a shell."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    home = tmp_path_factory.mktemp("served") / "home"
    options = ("--serve", "--home", str(home), "--listen", f"127.0.0.1:{port}")
    command = [sys.executable, "-m", "cli.entry", "tui", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    said = process.stdout.readline()
    yield Serving(address=said.split()[-1], port=port)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    process.stdout.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as started:
        yield started


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A page of somebody else, on the same machine even."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def said_by(page: Any) -> list[str]:
    """Return what the terminal's socket goes on to say to a page; its letters are drawn on a canvas."""
    frames: list[str] = []

    def received(payload: str | bytes) -> None:
        frames.append(ESCAPES.sub("", payload if isinstance(payload, str) else payload.decode(errors="replace")))

    page.on("websocket", lambda opened: opened.on("framereceived", received))
    return frames


def wait_for(page: Any, frames: list[str], words: str) -> None:
    for _ in range(WAIT_MS // 100):
        if words in "".join(frames):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"{words} was not shown; the terminal said\n{''.join(frames)[-4000:]}")


def test_the_terminal_is_shown_takes_keys_and_asks_nobody_else(serving: Serving, browser: Any) -> None:
    with tab(browser, viewport={"width": 1200, "height": 800}) as page:
        frames, asked = said_by(page), list[str]()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(serving.address)
        wait_for(page, frames, "Welcome to Coffer")
        before = page.screenshot()
        page.mouse.click(600, 700)
        frames.clear()
        page.keyboard.press("Escape")  # from the first steps to the overview
        wait_for(page, frames, "Needs attention")
        assert page.screenshot() != before
        assert "key=" not in page.url
        assert not [url for url in asked if not url.startswith((serving.own, "data:", "blob:"))]


def test_a_page_of_somebody_else_cannot_drive_an_open_terminal(serving: Serving, browser: Any, elsewhere: str) -> None:
    context = browser.new_context()
    try:
        own, theirs = context.new_page(), context.new_page()
        own.goto(serving.address)  # the cookie is there from now on
        at_own = f"ws://127.0.0.1:{serving.port}/ws"
        assert own.evaluate(ASK, at_own) == "open"
        theirs.goto(elsewhere)
        assert theirs.evaluate(ASK, at_own) == "refused"
        assert theirs.evaluate(ASK, f"ws://localhost:{serving.port}/ws") == "refused"
        assert theirs.evaluate(FETCH, f"{serving.own}/") == "refused"
        assert theirs.evaluate(FRAME, f"{serving.own}/") == "refused"
        framed = [frame.url for frame in theirs.frames[1:]]
        assert framed == ["chrome-error://chromewebdata/"]
    finally:
        context.close()


def test_a_name_that_is_made_to_lead_here_is_answered_nothing(serving: Serving, browser: Any) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        at = f"{REBOUND}:{serving.port}"
        answer = page.goto(serving.address.replace(f"127.0.0.1:{serving.port}", at))  # it has the key, even
        assert answer.status == 403
        assert page.evaluate(ASK, f"ws://{at}/ws") == "refused"
    finally:
        context.close()


def test_whoever_has_no_key_is_told_where_it_is(serving: Serving, browser: Any) -> None:
    context = browser.new_context()
    try:
        page = context.new_page()
        assert page.goto(f"{serving.own}/").status == 403
        assert "it holds a key" in page.content()
        assert page.evaluate(ASK, f"ws://127.0.0.1:{serving.port}/ws") == "refused"
    finally:
        context.close()


def test_it_listens_on_the_loopback_alone(serving: Serving) -> None:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{serving.port:04X}")]
    assert listening == [f"0100007F:{serving.port:04X}"]
