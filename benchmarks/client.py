"""What an app pays to import the client, in processor time of a fresh interpreter, beside what it is made of.

Modules are compiled already, as they are once a package is installed: a first run, not measured, compiles them into a
folder that only this benchmark uses, whether or not this environment lets Python write bytecode.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median
from typing import Any

from benchmarks.harness import result, row

ROUNDS = 15
GOAL_MS = 150.0
LIBRARIES = "import grpc, grpc.aio, cbor2, cryptography.x509, google.protobuf.message"
PROGRAM = "import time; began = time.process_time(); {}; print(1000 * (time.process_time() - began))"


def run() -> dict[str, Any]:
    """Measure both in turn, so that a slow minute slows both."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory(prefix="coffer-bench-") as compiled:
        for number in range(-1, ROUNDS):  # the first one compiles
            both = _import_ms("import enclave.client", compiled), _import_ms(LIBRARIES, compiled)
            if number >= 0:
                ours.append(both[0])
                theirs.append(both[1])
    client, libraries = median(ours), median(theirs)
    what = "importing the client, processor time"
    return result(
        "client",
        [
            row(what, "ms", client, "the goal", GOAL_MS, goal=1.0, less=True),
            row(what, "ms", client, "importing its libraries alone", libraries, goal=None, less=True),
        ],
    )


def _import_ms(statement: str, compiled: str) -> float:
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(  # noqa: S603  # this interpreter, with a program of ours
        [sys.executable, "-c", PROGRAM.format(statement)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    return float(done.stdout)
