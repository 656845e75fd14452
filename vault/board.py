"""What a board is: a place where a DAO's public objects are pinned up. Nobody takes anything from it on trust.

A board can hold back, repeat and reorder what it has, and show different people different things. It cannot make up
what members, guardians or custodians signed: whoever reads from it checks every object again.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from storage.cid import Cid

ENTRIES_MAX: Final = 1000  # in one page of a listing
ASKED_MAX: Final = 500  # objects asked for at once


class Kind(StrEnum):
    """What is kept on a board. The parent says what an object is about."""

    CHARTER = "charter"
    BLOCK = "block"  # a part of something else: of a roll (parent: the roll), of a decision (parent: the decision)
    ROLL = "roll"
    POLICY = "policy"
    PROPOSAL = "proposal"
    VOTE = "vote"  # `Vote`; parent: the proposal
    DELEGATION = "delegation"  # `ProvenDelegation`
    ACT = "act"  # `GuardianAct`, with as many signatures as there are so far; parent: the act without them, or none
    DECISION = "decision"  # parent: the proposal
    HEAD = "head"  # parent: its cause
    HEAD_VOTE = "head-vote"  # `HeadVote` of a custodian; parent: the head


@dataclass(frozen=True, slots=True)
class Entry:
    """An object's place on a board, without its bytes.

    Attributes:
        position: counts up in the order in which things came; gaps mean nothing.
        kind: one of `Kind`, or a kind that its holder keeps beside them, which is not for others.
    """

    position: int
    kind: str
    cid: Cid
    parent: Cid | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An object that a board of one's own keeps.

    Attributes:
        quota: what it counts against, such as its voter; empty for what others name, which is bounded by them.
        until: UTC seconds; it counts as open so long.
    """

    kind: str
    cid: Cid
    parent: Cid | None
    body: bytes
    quota: bytes = b""
    until: int = 0


class Board(Protocol):
    """Where governance objects are kept: a member's own records, a folder of files, or a service."""

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Keep an object; the same again is fine. Raises: `MalformedObject` where `cid` does not name `body`."""

    def get(self, cid: Cid) -> bytes | None:
        """Return an object's bytes, if it is there."""

    def bodies(self, cids: Sequence[Cid]) -> Mapping[Cid, bytes]:
        """Return the bytes of the first of these objects: of as many as fit an answer, and of those that are there."""

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        """Note the newest head of a DAO. Raises: `StaleState`, `ForkedHistory`."""

    def replace_tip(self, genesis: Cid, head: Cid, epoch: int, *, instead_of: Cid) -> None:
        """Note the head that custodians settled on, in the place of one that they did not.

        Raises: `StaleState` where another head than `instead_of` is noted by now.
        """

    def tip(self, genesis: Cid) -> Cid | None:
        """Return the newest head that was noted."""

    def geneses(self) -> builtins.list[Cid]:
        """Return the DAOs that are here."""

    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> builtins.list[tuple[Cid, bytes]]:
        """Return a DAO's objects of one kind, of one parent where it is given, in the order they came."""

    def since(
        self, genesis: Cid, after: int, *, kind: str | None = None, parent: Cid | None = None
    ) -> builtins.list[Entry]:
        """Return what came after a position, at most `ENTRIES_MAX` entries; none at the end.

        Args:
            after: position of the last entry seen, 0 for none. It means something on this board only.
        """


class Shelf(Board, Protocol):
    """A board of one's own, which also counts what it keeps."""

    def keep(self, genesis: Cid, objects: Sequence[Kept]) -> None:
        """Keep objects as `put` does, all of them or none."""

    def mend(self, genesis: Cid, cid: Cid, body: bytes) -> None:
        """Put an object's bytes in the place of others that stand under its name."""

    def count(self, kind: str, genesis: Cid, *, parent: Cid | None = None, quota: bytes | None = None) -> int:
        """Return how many objects of a kind there are: about one thing, against one quota, where these are given."""

    def open_count(self, kind: str, genesis: Cid, *, at: int) -> int:
        """Return how many objects of a kind are open still."""

    def missing(self, genesis: Cid, cids: Sequence[Cid]) -> builtins.list[Cid]:
        """Return those of the CIDs that are not here under this DAO."""


def bodies_of(board: Board, cids: Sequence[Cid]) -> Iterator[tuple[Cid, bytes]]:
    """Yield the bytes of those objects that a board hands out, in their order, each checked against its CID.

    What it passes over before one that it hands out is not there; what comes after may have had no room in its answer.
    """
    left = list(cids)
    while left:
        asked = left[:ASKED_MAX]
        found = board.bodies(asked)
        held = [n for n, cid in enumerate(asked) if cid in found]
        yield from ((cid, found[cid]) for cid in asked if cid in found and cid.matches(found[cid]))
        left = left[held[-1] + 1 if held else len(asked) :]
