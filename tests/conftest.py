"""What every test rests on."""

from __future__ import annotations

import sys
from typing import Any

# eth-account, once imported, raises the recursion limit so far that deeply nested JSON ends the interpreter.
_limit = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401  # imported once, before any test does

sys.setrecursionlimit(_limit)

ID_BYTES_MAX = 16


def pytest_make_parametrize_id(config: object, val: Any, argname: str) -> str | None:
    """Name long byte strings by their argument: keys differ from run to run, and each worker collects for itself."""
    return argname if isinstance(val, bytes) and len(val) > ID_BYTES_MAX else None
