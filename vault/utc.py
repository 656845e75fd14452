"""Times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def time_text(seconds: int) -> str:
    """Return UTC seconds as ISO 8601 has them, to the second: `2027-01-15T08:00:00Z`; the number where it is too large.

    Whoever signs a time may say any, so no number fails here.
    """
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"second {seconds} of UTC"
