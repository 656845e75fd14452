"""How long `coffer tui` takes to its first paint, in a real pseudo-terminal, and to scroll through 100,000 receipts."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness import result, row

ROUNDS = 15
GOAL_MS = 500.0
GIVEN_UP_S = 60.0
SIZE = struct.pack("HHHH", 24, 80, 0, 0)
PAINTED = b"Needs attention"  # a panel's title on the first screen
BARE = "import textual.app, textual.widgets"
RECEIPTS = 100_000
FEW = 100
PAGES = 50


def run() -> dict[str, Any]:
    """Measure the start beside an interpreter that does nothing, in turn; then pages of a long and a short list."""
    ours, idle, library = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            ours.append(_painted_ms(Path(folder) / "home"))
            idle.append(_process_ms("pass"))
            library.append(_process_ms(BARE))
    bare = median(idle)
    start = median(ours) - bare
    long, short = asyncio.run(_page_ms(RECEIPTS)), asyncio.run(_page_ms(FEW))
    what = "first paint of the terminal, less the interpreter"
    return result(
        "terminal",
        [
            row(what, "ms", start, "the goal", GOAL_MS, goal=1.0, less=True),
            row(what, "ms", start, "importing textual alone", median(library) - bare, goal=None, less=True),
            row(f"a page of {RECEIPTS:,} receipts", "ms", long, f"a page of {FEW}", short, goal=None, less=True),
        ],
    )


def _process_ms(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, timeout=GIVEN_UP_S)  # noqa: S603
    return 1000 * (time.perf_counter() - began)


def _painted_ms(home: Path) -> float:
    """Start `coffer tui` as a person does, and return when the first screen was written to its terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, SIZE)
    command = [sys.executable, "-m", "cli.entry", "tui", "--home", str(home)]
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm-256color"}
    )
    os.close(theirs)
    try:
        written = b""
        while PAINTED not in written:
            if time.perf_counter() - began > GIVEN_UP_S or not select.select([ours], [], [], GIVEN_UP_S)[0]:
                raise TimeoutError("the terminal painted nothing")
            written += os.read(ours, 1 << 16)
        return 1000 * (time.perf_counter() - began)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(ours)


async def _page_ms(count: int) -> float:
    """Return the median of a page down, to the lines being there, in a list of so many."""
    from textual.app import App, ComposeResult

    from tui.widgets.long_list import LongList

    class Listing(App[None]):
        def compose(self) -> ComposeResult:
            yield LongList(empty="nothing")

        def on_mount(self) -> None:
            listed = self.query_one(LongList)
            listed.show([f"receipt {number}" for number in range(count)])
            listed.focus()

        def on_long_list_wanted(self, message: LongList.Wanted) -> None:
            message.sender.tell({name: f"{name}  3 passages  0.00025 USDC" for name in message.names})

    taken = []
    async with Listing().run_test(size=(80, 24)) as pilot:
        listed = pilot.app.query_one(LongList)
        for _ in range(PAGES):
            if listed.cursor >= count - 1:
                listed.action_first()
            began = time.perf_counter()
            listed.action_page(1)
            pilot.app.screen._compositor.render_strips()
            await pilot._wait_for_screen()
            taken.append(1000 * (time.perf_counter() - began))
    return median(taken)
