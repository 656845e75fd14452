"""A DAO's affairs out of a dataset's archive, onto a board: believed no more than those of any stranger's board."""

from __future__ import annotations

from storage.model import Blobs
from vault.assembly import history_of
from vault.board import Shelf
from vault.board_sync import synced
from vault.carrying import Carried
from vault.directory_board import DirectoryBoard
from vault.errors import ForkedHistory


def take_affairs(board: Shelf, carried: Carried, blobs: Blobs, *, at: int) -> None:
    """Take an archive's affairs onto a board; raise `ForkedHistory` unless that then has the archive's head.

    Args:
        at: UTC seconds.
    """
    genesis, head = carried.genesis, carried.head
    synced(board, DirectoryBoard(blobs, carried.affairs), genesis, at=at, is_giving=False)
    if head not in history_of(board, genesis, at=at).heads:
        raise ForkedHistory(f"head {head} of the archive does not follow from what it brings along, or not from here")
