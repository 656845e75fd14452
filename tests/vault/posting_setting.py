"""A board with a DAO on it, for tests of what a board takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.cid import Cid
from tests.boards import affairs, own_board, put_chain
from tests.builders import NOW, voters
from vault.board import Kind
from vault.codec import Record
from vault.pinboard import Pinboard
from vault.records.board import Board

MADE = affairs()
OTHER = affairs(name="Haven")
GENESIS = MADE.genesis
VOTERS = voters(MADE.history)
OWN = MADE.votes[0]


@contextmanager
def board_of_one(folder: Path) -> Iterator[Board]:
    """Yield a board with the chain of `MADE`, and nothing that is open."""
    with own_board(folder) as board:
        put_chain(board, MADE)
        yield board


def pinboard_on(board: Board, *, at: int = NOW) -> Pinboard:
    return Pinboard(board, clock=lambda: at)


def post(pinboard: Pinboard, kind: Kind, record: Record, *blocks: Record, genesis: Cid = GENESIS) -> Cid:
    return pinboard.post(kind, genesis, record.encoded(), [block.encoded() for block in blocks])


def kinds(board: Board) -> list[str]:
    return [entry.kind for entry in board.since(GENESIS, 0)]
