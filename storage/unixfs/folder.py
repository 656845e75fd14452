"""The tree of a file or folder on disk, computed without storing anything."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from storage.errors import FileTooLarge, UnsupportedDag
from storage.unixfs.build import Tree, file_tree
from storage.unixfs.directory import directory_tree
from storage.unixfs.profile import V1_2025, Profile

DEPTH_MAX: Final = 64  # of folders in folders
ENTRIES_MAX: Final = 1_000_000


def path_tree(path: Path, *, profile: Profile = V1_2025) -> Tree:
    """Return the tree of a file, or of a folder with all in it, hidden entries included.

    Raises: UnsupportedDag: something in it is neither a file nor a folder; FileTooLarge: deeper or larger than the
        bounds; OSError.
    """
    left = iter(range(ENTRIES_MAX))
    # A path that the caller names may be a link; what a folder holds may not lead out of it.
    return _tree(path.resolve(strict=True), profile, DEPTH_MAX, lambda: next(left, None) is not None)


def _tree(path: Path, profile: Profile, depth: int, has_room: Callable[[], bool]) -> Tree:
    if not has_room():
        raise FileTooLarge(f"the folder holds over {ENTRIES_MAX} entries; name its parts")
    mode = os.lstat(path).st_mode
    if stat.S_ISREG(mode):
        with path.open("rb") as file:
            return file_tree(file, profile=profile)
    if not stat.S_ISDIR(mode):
        raise UnsupportedDag(f"{path} is neither a file nor a folder; a link or a device has no CID here")
    if depth == 0:
        raise FileTooLarge(f"{path} lies over {DEPTH_MAX} folders deep; name it to see its CID")
    entries = {}
    for name in os.listdir(path):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise UnsupportedDag(f"a name in {path} is not UTF-8; rename it") from error
        entries[name] = _tree(path / name, profile, depth - 1, has_room)
    return directory_tree(entries, profile=profile)
