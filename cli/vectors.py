"""A question's vector from a file: JSON, as `coffer embed --json` prints it, or the bare list of its numbers."""

from __future__ import annotations

import json
import math
import struct
import sys
from pathlib import Path
from typing import Any, Final

from cli.sealed_files import read_bounded
from vault.errors import MalformedObject
from vault.question import VECTOR_BYTES_MAX

STDIN: Final = Path("-")
FILE_BYTES_MAX: Final = 1 << 20
NUMBERS_MAX: Final = VECTOR_BYTES_MAX // 4
LARGEST: Final = 1e30  # far below what float32 holds
TOLERANCE: Final = 1e-3  # of its length, as the enclave has it


def vector_from(path: Path) -> bytes:
    """Return a file's vector as a question carries it, float32 little-endian; raise `MalformedObject`, `OSError`.

    Args:
        path: `-` for stdin.
    """
    content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1) if path == STDIN else read_bounded(path, FILE_BYTES_MAX)
    try:
        told: Any = json.loads(content) if len(content) <= FILE_BYTES_MAX else None
    except (ValueError, RecursionError):
        told = None
    numbers = told.get("vector") if isinstance(told, dict) else told
    if not isinstance(numbers, list) or not 1 <= len(numbers) <= NUMBERS_MAX or not all(map(_is_number, numbers)):
        raise MalformedObject(
            f"{path} holds no vector; write 1 … {NUMBERS_MAX} numbers as a JSON list, or what coffer embed --json says"
        )
    length = math.hypot(*numbers)
    if not abs(length - 1) <= TOLERANCE:
        raise MalformedObject(f"the vector in {path} has length {length:g}, and not 1; divide it by its length")
    return struct.pack(f"<{len(numbers)}f", *numbers)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST  # False for NaN too
