"""Where the vectors are that this project shares with others: the `shared` folder beside the checkout."""

from pathlib import Path

import pytest

_SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def shared(path: str) -> Path:
    """Return a file or folder of the shared folder, or skip the test with a reason where it is absent."""
    found = _SHARED / path
    if not found.exists():
        pytest.skip(f"needs shared/{path} beside the checkout")
    return found
