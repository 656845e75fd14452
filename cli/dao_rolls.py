"""The members that a charter names, held against those that it counts: who decides has to be who is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.cid import Cid
from vault.assembly import charter_of_proposal, roll_by
from vault.charter import Charter
from vault.errors import InvalidDecision, VaultError
from vault.roll import Roll

if TYPE_CHECKING:
    from vault.ballot import Proposal
    from vault.records.board import Board


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known here of a charter's members."""

    roll: Roll | None = None
    warning: str = ""  # what a person has to know before voting for that charter
    is_contradicted: bool = False  # the roll is here, and is not what the charter counts


class _MissingBlock(Exception):
    """A block of a roll is not on this board, or was changed there."""


def seen_roll(board: Board, charter: Charter, more: Mapping[Cid, bytes] | None = None) -> Seen:
    """Return a charter's members where they are known here, otherwise what to make of it.

    Args:
        more: blocks that are not on the board yet.
    """

    def fetch(cid: Cid) -> bytes:
        body = (more or {}).get(cid) or board.get(cid)
        if body is None or not cid.matches(body):
            raise _MissingBlock
        return body

    try:
        return Seen(roll=roll_by(charter, fetch))
    except _MissingBlock:
        return Seen(
            warning="who would decide by this charter is NOT known here: its roll is missing; "
            "get it with coffer dao sync, and look again, before voting for it"
        )
    except VaultError as error:
        return Seen(
            warning=f"the roll that this charter names is NOT what the charter counts: {error}; vote against it",
            is_contradicted=True,
        )


def seen_in(board: Board, proposal: Proposal) -> Seen:
    """Return what is known here of the members in the charter that a proposal would put in place."""
    charter = charter_of_proposal(board, proposal)
    return Seen() if charter is None else seen_roll(board, charter)


def require_counted(board: Board, charter: Charter, roll: Roll | None) -> None:
    """Raise `InvalidDecision` for a charter that counts others than the members it names."""
    seen = seen_roll(board, charter, roll.blocks() if roll is not None else None)
    if seen.is_contradicted:
        raise InvalidDecision(f"{seen.warning.removesuffix('; vote against it')}; nobody should be asked to vote on it")
