"""Run a parser in a process of its own, with bounds on its time and its output, and no part of our environment.

The worker scripts bound their own memory and processor time before they touch the input: see `pdf_worker`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# What an interpreter may need to find its own libraries. The rest, secrets among it, stays out.
ENVIRONMENT = ("LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a worker wrote, and how it ended."""

    output: bytes
    status: int  # of exit; negative is the signal that ended it
    is_late: bool
    is_too_long: bool


def run_worker(
    script: Path,
    data: bytes,
    *,
    timeout_s: float,
    output_bytes_max: int,
    arguments: Sequence[str] = (),
    has_packages: bool = True,
) -> Outcome:
    """Feed `data` to a Python script of ours and return what came out, `output_bytes_max` bytes at most.

    A worker that hangs or floods is killed with all it started. Its standard error is dropped: it may quote the input.

    Args:
        has_packages: False leaves the worker the standard library alone.
    """
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    late = threading.Event()
    with subprocess.Popen(  # noqa: S603 -- our own script, by path, without a shell
        [sys.executable, "-P", "-s", *([] if has_packages else ["-S"]), "-W", "ignore", str(script), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101 -- both are pipes, as asked above
        feeder = threading.Thread(target=_feed, args=(process.stdin, data), daemon=True)
        watchdog = threading.Timer(timeout_s, _end, (process, late))
        feeder.start()
        watchdog.start()
        try:
            output = process.stdout.read(output_bytes_max + 1)
            if len(output) > output_bytes_max:
                _kill(process)
            status = process.wait()
        finally:
            _kill(process)
            watchdog.cancel()
            watchdog.join()
            feeder.join()
    return Outcome(
        output=output[:output_bytes_max],
        status=status,
        is_late=late.is_set(),
        is_too_long=len(output) > output_bytes_max,
    )


def _feed(pipe: BinaryIO, data: bytes) -> None:
    with suppress(BrokenPipeError), pipe:  # a worker may end before it has read everything
        pipe.write(data)


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the worker's whole session, so that nothing it started keeps the pipes open."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
