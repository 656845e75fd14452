"""A question's vector from a file: whatever stands there is a vector of length 1, or refused in one sentence."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.sealed_files import UnreadableInput
from cli.vectors import FILE_BYTES_MAX, vector_from
from vault.errors import MalformedObject

UNIT = [0.6, -0.8, 0.0]


@pytest.mark.parametrize("told", [UNIT, {"vector": UNIT, "price": 1000}, [1], [0, -1]])
def test_a_list_or_what_embed_prints_is_a_vector(tmp_path: Path, told: object) -> None:
    path = tmp_path / "vector.json"
    path.write_text(json.dumps(told))
    numbers = told["vector"] if isinstance(told, dict) else told
    assert isinstance(numbers, list)
    assert vector_from(path) == struct.pack(f"<{len(numbers)}f", *numbers)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no vector"),
        (b"[]", "holds no vector"),
        (b"{}", "holds no vector"),
        (b"[1,", "holds no vector"),
        (b"\xff\xfe", "holds no vector"),
        (b"[true]", "holds no vector"),
        (b'["1"]', "holds no vector"),
        (b"[NaN]", "holds no vector"),
        (b"[Infinity]", "holds no vector"),
        (b"[1e400]", "holds no vector"),
        (b"[" + b"9" * 10_000 + b"]", "holds no vector"),
        (b"[" * 100_000, "holds no vector"),
        (b"[" + b"0," * 20_000 + b"1]", "holds no vector"),
        (b"[0, 0]", "has length 0, and not 1"),
        (b"[0.5, 0.5]", "divide it by its length"),
    ],
    ids=lambda given: str(given)[:20],
)
def test_anything_else_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "vector.json"
    path.write_bytes(content)
    with pytest.raises(MalformedObject, match=words):
        vector_from(path)


def test_a_file_that_is_too_large_or_missing_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b" " * (FILE_BYTES_MAX + 1))
    with pytest.raises(UnreadableInput):
        vector_from(tmp_path / "large")
    with pytest.raises(OSError):  # its class says it
        vector_from(tmp_path / "missing")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.lists(st.floats(width=32), max_size=5).map(lambda one: json.dumps(one).encode()))
def test_whatever_comes_is_a_vector_of_length_1_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vector.json"
    path.write_bytes(content)
    try:
        found = vector_from(path)
    except MalformedObject:
        return
    numbers = struct.unpack(f"<{len(found) // 4}f", found)
    assert math.isclose(math.hypot(*numbers), 1, abs_tol=2e-3)
