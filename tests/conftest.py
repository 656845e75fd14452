"""What every test rests on."""

from __future__ import annotations

import sys

# eth-account, once imported, raises the recursion limit so far that deeply nested JSON ends the interpreter.
_limit = sys.getrecursionlimit()
import eth_account  # noqa: E402, F401  # imported once, before any test does

sys.setrecursionlimit(_limit)
