"""Reading files that a person names: a pipe or device is none, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.sealed_files import read_bounded
from vault.errors import MalformedObject


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert read_bounded(path, 4) == b"1234"
    with pytest.raises(MalformedObject, match="more than 3 bytes"):
        read_bounded(path, 3)


def test_pipes_devices_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(MalformedObject, match="is not a file"):
            read_bounded(path, 4)


def test_what_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "none", 4)
