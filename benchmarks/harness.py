"""What every benchmark shares: rows of ratios, measured in turn in one run, and the machine they were measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROUNDS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One comparison; `ratio` is ours to theirs, and higher is better whatever the unit."""

    what: str
    unit: str
    ours: float
    against: str
    theirs: float
    ratio: float
    goal: float | None  # None: shown, not aimed at
    met: bool | None


def row(what: str, unit: str, ours: float, against: str, theirs: float, *, goal: float | None, less: bool) -> Row:
    """Return a row.

    Args:
        goal: the least ratio wanted; None where the row is only shown.
        less: the unit counts down: fewer milliseconds are better.
    """
    ratio = theirs / ours if less else ours / theirs
    met = None if goal is None else ratio >= goal
    return Row(
        what=what,
        unit=unit,
        ours=round(ours, 4),
        against=against,
        theirs=round(theirs, 4),
        ratio=round(ratio, 3),
        goal=goal,
        met=met,
    )


def result(name: str, rows: list[Row]) -> dict[str, Any]:
    """Return a benchmark's one object."""
    return {"name": name, "machine": machine(), "rows": [asdict(item) for item in rows]}


def save(measured: Mapping[str, Any]) -> Path:
    """Write a benchmark's object into the results folder, for the README's table."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{measured['name']}.json"
    path.write_text(json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
    return path


def seconds_in_turn(*runs: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Return the median seconds of each run; they take turns, so that a slow minute slows all of them."""
    taken: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()  # once unmeasured, to warm caches
    for _ in range(rounds):
        for times, run in zip(taken, runs, strict=True):
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
    return [statistics.median(times) for times in taken]


def tell(line: str) -> None:
    """Say on stderr how far a long benchmark has come."""
    sys.stderr.write(line + "\n")


def machine() -> dict[str, Any]:
    """Describe this machine as far as a reader needs it."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line for line in lines if line.startswith("flags")), "")
    known = [flag for flag in ("amx_bf16", "avx512_bf16", "sha_ni", "vaes") if f" {flag}" in flags]
    return f"{names[0] if names else platform.machine()} ({', '.join(known)})"
