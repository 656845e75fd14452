"""A host that stops its clock or turns it back gains nothing: serving code never reads the wall clock (rule F2)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import enclave

SERVING = (
    "admission",
    "chain",
    "engine",
    "instance",
    "metering",
    "opening",
    "server",
    "service",
    "state_key",
    "worker",
)
WALL_CLOCK = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}


def wall_clock_reads(source: str) -> list[str]:
    names = [ast.unparse(node) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)]
    return [name for name in names if any(name == read or name.endswith(f".{read}") for read in WALL_CLOCK)]


@pytest.mark.parametrize("module", SERVING)
def test_serving_code_does_not_read_the_wall_clock(module: str) -> None:
    source = Path(enclave.__path__[0], f"{module}.py").read_text()
    assert wall_clock_reads(source) == []


@pytest.mark.parametrize("call", ["time.time()", "datetime.now(UTC)", "datetime.datetime.now()"])
def test_the_check_would_see_one(call: str) -> None:
    assert wall_clock_reads(f"at = {call}")
