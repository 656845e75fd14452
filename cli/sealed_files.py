"""What commands ask of the files that people name; how secrets are sealed into files is in `vault.sealed_files`."""

from __future__ import annotations

from pathlib import Path

from vault.sealed_files import SECRET_BYTES_MAX as SECRET_BYTES_MAX
from vault.sealed_files import SealedFile as SealedFile
from vault.sealed_files import UnreadableInput as UnreadableInput
from vault.sealed_files import new_file as new_file
from vault.sealed_files import read_bounded as read_bounded
from vault.sealed_files import read_sealed as read_sealed
from vault.sealed_files import require_file as require_file
from vault.sealed_files import write_private as write_private
from vault.sealed_files import write_sealed as write_sealed


def require_folder_of(path: Path) -> None:
    """Raise `FileNotFoundError` where the folder of a new file is not there: what is typed wrong makes none."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {path.parent} does not exist; make it first")
