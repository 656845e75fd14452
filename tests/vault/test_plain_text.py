from __future__ import annotations

import pytest

from vault.plain_text import counted, time_left_text


@pytest.mark.parametrize(
    ("number", "digits", "said"),
    [
        (0, "", "0 passages"),
        (1, "", "1 passage"),
        (1200, "", "1200 passages"),
        (1, ",", "1 passage"),
        (1200, ",", "1,200 passages"),
    ],
)
def test_only_one_is_no_plural(number: int, digits: str, said: str) -> None:
    assert counted(number, "passage", digits=digits) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0s"), (0, "0s"), (0.9, "0s"), (59, "59s"), (3600, "1h"), (90_061, "1d 1h"), (86_400 * 400, "400d")],
)
def test_a_wait_is_told_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert time_left_text(seconds) == said
