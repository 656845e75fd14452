"""What every test rests on."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

MEMORY = Path("/dev/shm")  # noqa: S108  # not a predictable name of ours: pytest makes a folder of its own below
MEMORY_BYTES_MIN = 4 << 30
LONG_FIRST = ("end_to_end", "cli", "tui", "attacks", "adapters")

# Processes that share the cores gain nothing by several threads each in one multiplication, and wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _is_roomy(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return False
    about = os.statvfs(folder)
    return about.f_bavail * about.f_frsize >= MEMORY_BYTES_MIN and not about.f_flag & os.ST_NOEXEC


# Records and blocks are synced to the disk at every commit, as they must be; on a disk in memory that takes no time.
if "TMPDIR" not in os.environ and sys.platform == "linux" and _is_roomy(MEMORY):
    os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)

# eth-account, once imported, raises the recursion limit so far that deeply nested JSON ends the interpreter.
_limit = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401  # imported once, before any test does

sys.setrecursionlimit(_limit)

ID_BYTES_MAX = 16


def pytest_make_parametrize_id(config: object, val: Any, argname: str) -> str | None:
    """Name long byte strings by their argument: keys differ from run to run, and each worker collects for itself."""
    return argname if isinstance(val, bytes) and len(val) > ID_BYTES_MAX else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take long, so that no worker is left with one of them at the end."""
    rank = {name: place for place, name in enumerate(LONG_FIRST)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: rank.get(item.path.relative_to(tests).parts[0], len(rank)))
