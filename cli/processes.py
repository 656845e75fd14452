"""Services as processes of this machine: started, announced by one JSON line, and always ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from cli.serving import END_WITH_PARENT
from vault.errors import ServiceUnavailable

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
LINES_KEPT = 40


class ServiceProcess:
    """A `coffer … serve --json` in a process of its own."""

    def __init__(
        self, arguments: Sequence[str], *, home: Path, environment: Mapping[str, str], module: str = "cli.entry"
    ) -> None:
        """Start it and wait until it says where it listens. Raises `ServiceUnavailable` with its last words.

        Args:
            module: whose command line it is; a benchmark has one whose engine needs no model.
        """
        command = [sys.executable, "-m", module, *arguments, "--home", str(home), "--json"]
        self._process = subprocess.Popen(  # noqa: S603  # our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", END_WITH_PARENT: "1"},
            start_new_session=True,
        )
        self._words: deque[str] = deque(maxlen=LINES_KEPT)
        self._listener = threading.Thread(target=self._keep_words, daemon=True)
        self._listener.start()
        self._announced = threading.Event()
        self.announcement: dict[str, str] = {}
        self._reader = threading.Thread(target=self._keep_announcement, daemon=True)
        self._reader.start()
        if not self._announced.wait(START_TIMEOUT_S) or not self.announcement:
            self.stop()
            raise ServiceUnavailable(f"coffer {' '.join(arguments[:2])} did not start: {self.last_words()}")

    @property
    def address(self) -> str:
        """Return the host:port it listens on."""
        return self.announcement["listening"]

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    def last_words(self) -> str:
        """Return the end of what it wrote to its error output."""
        return " ".join(self._words)[-2000:] or "it said nothing"

    def stop(self) -> None:
        """Ask it to stop, and end it where it does not."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait(STOP_TIMEOUT_S)
        self._reader.join(STOP_TIMEOUT_S)
        self._listener.join(STOP_TIMEOUT_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _keep_announcement(self) -> None:
        for line in self._process.stdout or ():
            if not self._announced.is_set() and line.startswith("{"):
                self.announcement = json.loads(line)
                self._announced.set()
        self._announced.set()

    def _keep_words(self) -> None:
        for line in self._process.stderr or ():
            self._words.append(line.strip())
