"""Every parser of foreign bytes, on captured files that were damaged: our own errors, soon, and nothing else.

`make fuzz` does the same for hours, guided by what it reaches.
"""

from __future__ import annotations

import time
from importlib import import_module
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.seeds import seeds
from fuzz.targets import NAMES, SECONDS_MAX
from vault.errors import VaultError

DAMAGES_MAX = 4
EXAMPLES = 150


def damaged(data: st.DataObject, start: bytes) -> bytes:
    """Return bytes with a few damages: bytes replaced, taken out, repeated, added, or all cut short."""
    changed = bytearray(start)
    for _ in range(data.draw(st.integers(1, DAMAGES_MAX))):
        place = data.draw(st.integers(0, len(changed)))
        match data.draw(st.sampled_from(["replace", "remove", "repeat", "insert", "cut"])):
            case "replace":
                new = data.draw(st.binary(min_size=1, max_size=8))
                changed[place : place + len(new)] = new
            case "remove":
                del changed[place : place + data.draw(st.integers(1, 64))]
            case "repeat":
                changed[place:place] = changed[place : place + data.draw(st.integers(1, 256))]
            case "insert":
                changed[place:place] = data.draw(st.binary(min_size=1, max_size=64))
            case _:
                del changed[place:]
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_evidence_raises_our_own_errors_soon(name: str, data: st.DataObject) -> None:
    target: Any = import_module(f"fuzz.targets.{name}")
    starts = [start for role in target.ROLES for start in seeds(role)] + list(getattr(target, "MADE_UP", ()))
    hostile = damaged(data, data.draw(st.sampled_from(starts)))
    started = time.process_time()
    try:
        target.fuzz(hostile)
    except VaultError as error:
        assert len(str(error)) < 1000  # no hostile bytes at length in a log
    assert time.process_time() - started < SECONDS_MAX
