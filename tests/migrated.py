"""Records whose schema is already there: brought there once in a process, then copied.

Most tests start with empty records and are about something else. Those about opening and migrating call `open_records`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from vault.records.database import Records, open_records

OURS_ALONE = 0o600  # as the records make their own file


def opened_records(path: Path) -> Records:
    """Open the records in a SQLite file, which is made, empty, where there is none."""
    if not path.exists():
        copy_empty_records(path)
    return open_records(f"sqlite:///{path}")


def copy_empty_records(path: Path) -> None:
    """Make a SQLite file of empty records."""
    path.touch(OURS_ALONE)
    path.write_bytes(_empty())


@cache
def _empty() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "records.db"
        open_records(f"sqlite:///{path}").close()
        return path.read_bytes()
