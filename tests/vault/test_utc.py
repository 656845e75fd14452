"""Times read as ISO 8601 has them, and no number that somebody signed fails."""

from __future__ import annotations

import pytest

from vault.utc import time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (1_800_000_059, "2027-01-15T08:00:59Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"),
        (-62_135_596_800, "0001-01-01T00:00:00Z"),
        (253_402_300_800, "second 253402300800 of UTC"),
        (2**63 - 1, "second 9223372036854775807 of UTC"),
        (-(2**63), "second -9223372036854775808 of UTC"),
        (10**100, f"second {10**100} of UTC"),
    ],
)
def test_seconds_read_as_a_time_where_the_calendar_has_one(seconds: int, text: str) -> None:
    assert time_text(seconds) == text
