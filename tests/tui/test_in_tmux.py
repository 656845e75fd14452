"""One run in a real terminal: seal, vote and ask by keys alone, and leave."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.party import PASSWORD

WAIT_S = 60
ROOT = Path(__file__).parents[2]


class Tmux:
    """A terminal of its own server, so that nobody else's is touched."""

    def __init__(self, *command: str) -> None:
        self._name = f"coffer-{secrets.token_hex(6)}"
        self._run("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", "-c", str(ROOT), *command)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *arguments], capture_output=True, text=True)  # noqa: S603, S607
        return done.stdout

    def screen(self) -> str:
        return self._run("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        for key in keys:
            self._run("send-keys", key)

    def type(self, text: str) -> None:
        self._run("send-keys", "-l", text)
        self.press("Enter")

    def wait_for(self, *words: str) -> None:
        ends = time.monotonic() + WAIT_S
        while not all(word in (screen := self.screen()) for word in words):
            assert time.monotonic() < ends, f"{words} did not appear:\n{screen}"
            time.sleep(0.1)

    def wait_for_end(self) -> None:
        ends = time.monotonic() + WAIT_S
        while self._run("list-sessions"):
            assert time.monotonic() < ends, self.screen()
            time.sleep(0.1)

    def close(self) -> None:
        self._run("kill-server")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed; it is the real terminal that this runs in")
    made = Tmux(sys.executable, "-m", "tests.tui.in_terminal", str(tmp_path))
    yield made
    made.close()


def test_a_person_seals_votes_and_asks_by_keys_alone(terminal: Tmux) -> None:
    terminal.wait_for("Needs attention", "✓ proved", "open proposal")

    terminal.press("3")
    terminal.wait_for("● open", "Tides at a price")
    terminal.press("f")
    terminal.wait_for("You vote for")
    terminal.type("fair enough")
    terminal.wait_for("Password")
    terminal.type(PASSWORD)
    terminal.wait_for("for 1")

    terminal.press("2")
    terminal.wait_for("nothing is sealed here yet")
    terminal.press("n")
    terminal.wait_for("Seal a folder", "tides")
    terminal.press("Down", "Enter")
    terminal.wait_for("seals tides")
    terminal.press("Tab", "Enter")  # with the wallet that voted: it is open, so no password is asked for again
    terminal.wait_for("✓ published")

    terminal.press("6")
    terminal.wait_for("is sealed")
    terminal.press("c")
    terminal.wait_for("Password")
    terminal.type(PASSWORD)
    terminal.wait_for("passages left")
    terminal.press("/")
    terminal.type("tide table")
    terminal.wait_for("receipt 1", "The tide table for May.")

    assert PASSWORD not in terminal.screen()
    terminal.press("Escape")
    terminal.wait_for("q Quit")
    terminal.press("q")
    terminal.wait_for_end()
