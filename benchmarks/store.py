"""Storage against the least work it contains: publishing, CIDs, piece commitments, and a race against its winner."""

from __future__ import annotations

import hashlib
import io
import secrets
import threading
from contextlib import ExitStack
from typing import Any

from benchmarks.harness import Row, result, row, seconds_in_turn
from benchmarks.publishing import publishing_rows
from storage.cid import Cid
from storage.commp import piece_cid
from storage.errors import StorageUnavailable
from storage.memory import MemoryBlobs
from storage.racing import RacingBlobs
from storage.unixfs import add_file, file_cid, read_file

TOTAL_BYTES = 256 << 20
PIECE_BYTES = 127 << 20
READ_BYTES = 64 << 20
WAIT_S = 0.005  # of the fast back end for each block, as over a network nearby
SLOW_WAIT_S = 0.5
DEAD_AFTER_S = 2.0
READ_ROUNDS = 5
CID_GOAL = 0.8
PIECE_MB_PER_S_GOAL = 100.0
RACE_GOAL = 1 / 1.2


class Distant(MemoryBlobs):
    """Blocks that take a while to come, and never come at all where `is_dead`."""

    def __init__(self, wait_s: float, *, is_dead: bool = False) -> None:
        super().__init__(name=f"a back end {wait_s:g} s away")
        self.is_over = threading.Event()
        self._wait_s = wait_s
        self._is_dead = is_dead

    def get(self, cid: Cid) -> bytes:
        """Return the block after the wait."""
        self.is_over.wait(self._wait_s)
        if self._is_dead:
            raise StorageUnavailable(f"{self.name} does not answer")
        return super().get(cid)


def run() -> dict[str, Any]:
    """Measure publishing, CIDs, piece commitments and reads that race."""
    return result("store", [*publishing_rows(), _cids(), *_pieces(), _race()])


def _cids() -> Row:
    data = secrets.token_bytes(TOTAL_BYTES)
    theirs, ours = seconds_in_turn(lambda: hashlib.sha256(data).digest(), lambda: file_cid(data))
    speed = TOTAL_BYTES / 1e6
    against = "one SHA-256 pass over the same bytes"
    return row("CID of a file", "MB/s", speed / ours, against, speed / theirs, goal=CID_GOAL, less=False)


def _pieces() -> list[Row]:
    data = secrets.token_bytes(PIECE_BYTES)
    theirs, ours = seconds_in_turn(
        lambda: hashlib.sha256(data).digest(), lambda: piece_cid(io.BytesIO(data)), rounds=READ_ROUNDS
    )
    speed = PIECE_BYTES / 1e6
    what, unit = "piece commitment (commP), one thread", "MB/s"
    return [
        row(what, unit, speed / ours, "the goal of 100 MB/s", PIECE_MB_PER_S_GOAL, goal=1.0, less=False),
        row(what, unit, speed / ours, "one SHA-256 pass over the same bytes", speed / theirs, goal=None, less=False),
    ]


def _race() -> Row:
    with ExitStack() as stack:
        fast, slow = Distant(WAIT_S), Distant(SLOW_WAIT_S)
        dead = Distant(DEAD_AFTER_S, is_dead=True)
        for place in (fast, slow, dead):
            stack.callback(place.is_over.set)
        data = secrets.token_bytes(READ_BYTES)
        cid = add_file(fast, data)
        add_file(slow, data)

        def alone() -> None:
            assert len(read_file(fast, cid, bytes_max=READ_BYTES)) == READ_BYTES

        def raced() -> None:
            race = RacingBlobs([dead, slow, fast])  # a new one each time: what it learns is part of the cost
            assert len(read_file(race, cid, bytes_max=READ_BYTES)) == READ_BYTES

        theirs, ours = seconds_in_turn(alone, raced, rounds=READ_ROUNDS)
    what = "a file from three back ends, one dead and one slow"
    return row(what, "s", ours, "the fast one alone", theirs, goal=RACE_GOAL, less=True)
