"""What an app pays to import the client, in processor time of a fresh interpreter, beside what it is made of."""

from __future__ import annotations

import subprocess
import sys
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
    for _ in range(ROUNDS):
        ours.append(_import_ms("import enclave.client"))
        theirs.append(_import_ms(LIBRARIES))
    client, libraries = median(ours), median(theirs)
    what = "importing the client, processor time"
    return result(
        "client",
        [
            row(what, "ms", client, "the goal", GOAL_MS, goal=1.0, less=True),
            row(what, "ms", client, "importing its libraries alone", libraries, goal=None, less=True),
        ],
    )


def _import_ms(statement: str) -> float:
    program = PROGRAM.format(statement)
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)  # noqa: S603
    return float(done.stdout)
