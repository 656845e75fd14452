"""Passages per second and time left: of the last half minute, and of nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.pace import NOTED_MAX, WINDOW_S, Pace


def paced(*noted: tuple[float, int], total: int = 1000) -> Pace:
    pace = Pace()
    for at, done in noted:
        pace.note(done, total, at)
    return pace


def test_it_is_what_was_done_over_the_time_it_took() -> None:
    pace = paced((100, 0), (102, 100), (104, 200))
    assert (pace.per_second(), pace.seconds_left()) == (50, 16)


def test_what_is_longer_ago_than_half_a_minute_does_not_count() -> None:
    """Long texts come first, and the short ones after them are faster."""
    pace = paced((0, 0), (60, 60), (61, 160), (90, 760))
    assert pace.per_second() == pytest.approx(700 / 30)


@pytest.mark.parametrize(
    "noted", [[], [(5, 0)], [(5, 0), (5.1, 900)], [(5, 0), (9, 1000)]], ids=["nothing", "begun", "too soon", "over"]
)
def test_where_nobody_knows_it_says_nothing(noted: list[tuple[float, int]]) -> None:
    pace = paced(*noted)
    assert (pace.per_second(), pace.seconds_left()) == (0, 0)


def test_another_opening_begins_anew() -> None:
    pace = paced((0, 0), (10, 900))
    pace.note(0, 1000, 20)
    assert pace.per_second() == 0
    pace.note(10, 1000, 30)
    assert pace.per_second() == 1
    pace.note(20, 500, 31)
    assert pace.per_second() == 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 50)), max_size=600))
def test_it_is_never_negative_and_remembers_little(steps: list[tuple[float, int]]) -> None:
    pace, at, done = Pace(), 0.0, 0
    for seconds, passages in steps:
        at, done = at + seconds, done + passages
        pace.note(done, 10**6, at)
        assert pace.per_second() >= 0
        assert pace.seconds_left() >= 0
    assert len(pace._noted) <= 2 * NOTED_MAX + 3
    assert WINDOW_S > 1
