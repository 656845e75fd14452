from __future__ import annotations

from contextlib import suppress

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cli.quantities import (
    DURATION_S_MAX,
    basis_points_from,
    duration_text,
    percent_text,
    seconds_from,
)


@given(st.integers(1, DURATION_S_MAX))
def test_a_duration_reads_back_as_it_was_written(seconds: int) -> None:
    assert seconds_from(duration_text(seconds)) == seconds


@given(st.integers(0, 10_000))
def test_a_share_reads_back_as_it_was_written(points: int) -> None:
    assert basis_points_from(percent_text(points)) == points


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with suppress(typer.BadParameter):
        assert 1 <= seconds_from(text) <= DURATION_S_MAX


@given(st.text(max_size=12))
def test_any_text_is_a_share_or_refused(text: str) -> None:
    with suppress(typer.BadParameter):
        assert 0 <= basis_points_from(text) <= 10_000


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)]
)
def test_durations(text: str, seconds: int) -> None:
    assert seconds_from(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "0s", "-5m", "5 m", "1.5h", "\u0665m", "999999d", "5mm", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a duration"):
        seconds_from(text)


@pytest.mark.parametrize("text", ["", "10", "%", "101%", "-1%", "10.123%", "100.01%", "\u0665%", "1e1%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a share"):
        basis_points_from(text)
