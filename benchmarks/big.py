"""Publishing a large dataset with the real command: memory, and what a `kill -9` halfway costs.

Sealing and publishing are processes of their own, whose peak memory is their `VmHWM`. The publishing is killed once
half of the bytes were written, and run again; whatever had its name at the kill must still be the same file. The wallet
has a light keystore: a standard one takes 256 MiB to open, whatever the dataset.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import result, row, tell
from cli.processes import ServiceProcess

GIGABYTES = 20.0
RSS_GOAL_MB = 256.0
POLL_S = 0.1
MEGABYTE = 10**6


@dataclass(slots=True)
class Process:
    """What is known of a process that ended or was killed; sizes in bytes."""

    out: str = ""
    code: int = 0
    rss: int = 0
    written: int = 0
    seconds: float = 0.0


def run(gigabytes: float = GIGABYTES) -> dict[str, Any]:
    """Seal, publish, kill, resume, and ask how the copy stands."""
    with TemporaryDirectory(dir=Path.cwd(), prefix="big-") as folder:
        place = _Place(Path(folder), gigabytes)
        with ServiceProcess(
            ["custodian", "serve", "--listen", "127.0.0.1:0"], home=place.root / "custodian", environment=place.env
        ) as custodian:
            return place.measured(custodian.address)


class _Place:
    """An owner's home in a folder."""

    def __init__(self, root: Path, gigabytes: float) -> None:
        self.root = root
        self._gigabytes = gigabytes
        self.env = {"COFFER_PASSWORD": secrets.token_urlsafe(16), "COFFER_RECORDS": ""}
        self._blocks = root / "home" / "blocks"

    def measured(self, custodian: str) -> dict[str, Any]:
        self._founded(custodian)
        tell(f"sealing {self._gigabytes:g} GB")
        module = [sys.executable, "-m", "benchmarks.big_corpus"]
        sealing = self._watched([*module, str(self.root / "home"), "owner", str(self._gigabytes)])
        manifest = sealing.out.strip()
        (sealed,) = self._said("dataset", "list")["datasets"]
        size: int = sealed["sealed_bytes"]
        publish = ["dataset", "publish", manifest, "--owner", "owner", "--custodian", custodian]
        tell(f"sealed {size} bytes in {sealing.seconds:.0f} s; publishing, to be killed halfway")
        killed = self._watched(self._command(*publish), until=size // 2)
        arrived = self._files()
        tell(f"killed after {killed.seconds:.0f} s with {len(arrived)} blocks there; publishing again")
        resumed = self._watched(self._command(*publish))
        (status,) = self._said("dataset", "status")["datasets"]
        now = self._files()
        kept = sum(now.get(name) == inode for name, inode in arrived.items())
        facts = {
            "sealed_bytes": size,
            "blocks": len(now),
            "blocks_at_the_kill": len(arrived),
            "bytes_written_before_the_kill": killed.written,
            "bytes_written_after_it": resumed.written,
            "bytes_written_twice": max(0, killed.written + resumed.written - size),
            "seconds": {"seal": sealing.seconds, "killed": killed.seconds, "resumed": resumed.seconds},
            "copies": [copy["state"] for copy in status["copies"]],
        }
        tell(json.dumps(facts))
        peak, goal = max(killed.rss, resumed.rss) / MEGABYTE, "the goal of 256 MB"
        name = f"{self._gigabytes:g} GB"
        rows = [
            row(f"sealing {name}, peak memory", "MB", sealing.rss / MEGABYTE, goal, RSS_GOAL_MB, goal=1.0, less=True),
            row(f"publishing {name}, peak memory", "MB", peak, goal, RSS_GOAL_MB, goal=1.0, less=True),
            row(
                "killed halfway and resumed: blocks that had arrived and were not sent again",
                "blocks",
                kept,
                "all that had arrived",
                len(arrived),
                goal=1.0,
                less=False,
            ),
        ]
        return result("big", rows) | {"facts": facts}

    def _founded(self, custodian: str) -> None:
        self._said("init")
        owner = self._said("wallet", "new", "owner", "--rounds", "4096")["address"]
        self._said("dao", "init", "Big", "--member", owner, "--treasury", owner, "--custodian", custodian)

    def _files(self) -> dict[str, int]:
        """Return the inode of each block that has its name: a file that was written again has another."""
        return {path.name: path.stat().st_ino for path in self._blocks.glob("??/*")}

    def _command(self, *arguments: str) -> list[str]:
        home = str(self.root / "home")
        return [sys.executable, "-m", "cli.entry", *arguments, "--home", home, "--json"]

    def _said(self, *arguments: str) -> dict[str, Any]:
        done = self._watched(self._command(*arguments))
        said: dict[str, Any] = json.loads(done.out.splitlines()[-1])
        return said

    def _watched(self, command: list[str], *, until: int | None = None) -> Process:
        """Run a command to its end, or kill it once it wrote so many bytes."""
        seen, started = Process(), time.monotonic()
        environment = {**os.environ, **self.env}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S603
            while process.poll() is None:
                _look(process.pid, seen)
                if until is not None and seen.written >= until:
                    process.send_signal(signal.SIGSTOP)  # so that what is counted is what was written
                    _look(process.pid, seen)
                    process.send_signal(signal.SIGKILL)
                    process.wait()
                time.sleep(POLL_S)
            assert process.stdout is not None
            seen.out, seen.code = process.stdout.read(), process.returncode
        seen.seconds = round(time.monotonic() - started, 1)
        if seen.code != (0 if until is None else -signal.SIGKILL):
            raise RuntimeError(f"{command[3:6]} ended with {seen.code}")
        return seen


def _look(pid: int, seen: Process) -> None:
    """Note a process's peak memory and the bytes that it handed to the system, as long as it is there."""
    rss, written = _fact(f"/proc/{pid}/status", "VmHWM:"), _fact(f"/proc/{pid}/io", "wchar:")
    seen.rss, seen.written = max(seen.rss, rss * 1024), max(seen.written, written)


def _fact(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)
