"""Pieces of a deleted dataset at a Filecoin provider: removed, and seen not to be there. Not run against mainnet.

The owner signs for each piece, and the provider sends that to the chain. The piece is proved, and paid for, until the
next proof, a day at most; when the provider then throws the data away is its own affair, so it is asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from storage.errors import DataSetNotFound, PieceNotFound
from storage.pdp import PdpProvider
from storage.pdp_answers import DataSet, TransactionState
from storage.piece_cid import PieceCid
from storage.pieces import ListedPiece
from vault.copies.model import Notes, Release
from vault.copies.piece_notes import REMOVALS_MAX, Account, LeaveNote, PlaceNote, copy_note, place_note
from vault.errors import MalformedObject
from vault.plain_text import counted

ASK_AGAIN_S: Final = 2 * 24 * 3600  # what was asked of a provider should be done with its next proof, within a day


def pieces_let_go(provider: PdpProvider, account: Account, notes: Notes, *, at: int) -> Release:
    """Have the pieces of a copy removed from the data set, and see whether the provider still proves or sends them.

    Args:
        at: UTC seconds.
    Raises: a `StorageError`; what was asked until then is remembered.
    """
    known, pieces = place_note(notes), notes.pieces()
    if not pieces:
        return Release()
    told = _data_set(provider, account, known)
    if told is not None and known is not None:
        if _is_adding(provider, notes, told.number):
            return Release(waiting=f"{provider.name} has not added the pieces yet, so they cannot be removed yet")
        if proved := _removed(provider, account, notes, told, known, at):
            which = f"{counted(proved, 'piece')} from data set {told.number}"
            return Release(waiting=f"{provider.name} was told to remove {which}, which is done with its next proof")
    if sent := sum(_sends(provider, one.piece) for one in pieces):
        which = f"{counted(sent, 'piece')} of a copy that is no longer proved or paid for"
        return Release(waiting=f"{provider.name} still sends {which}; ask it to delete them")
    ending = "it is there for further copies, and Filecoin's own tools end it"
    return Release(stays=f"the data set {told.number} at {provider.name}: {ending}" if told is not None else "")


def _data_set(provider: PdpProvider, account: Account, known: PlaceNote | None) -> DataSet | None:
    """Return the data set as the provider tells of it; None where it has none of ours."""
    if known is None:
        return None
    number = account.find(known.number) if known.data_set is None else known.data_set
    try:
        return provider.data_set(number) if number is not None else None
    except DataSetNotFound:
        return None


def _is_adding(provider: PdpProvider, notes: Notes, number: int) -> bool:
    """Say whether pieces are on their way into the data set."""
    note = copy_note(notes)
    with suppress(DataSetNotFound):
        if note is not None and note.transaction:
            added = provider.addition(number, note.transaction, count=len(note.pieces))
            return added.state is TransactionState.PENDING
    return False


def _removed(provider: PdpProvider, account: Account, notes: Notes, told: DataSet, known: PlaceNote, at: int) -> int:
    """Have removed what is still proved, and return how many pieces that is.

    One piece a request: older providers read no list, and would remove another one than was signed.
    """
    proved = _numbers(told, notes.pieces())
    asked = _asked(notes, at)
    for number in proved:
        if number in asked.pieces:
            continue
        extra = account.warm.removal(account.key().sign, [number], client_data_set=known.number)
        with suppress(PieceNotFound):  # it went meanwhile
            provider.remove_piece(told.number, number, extra)
        asked = replace(asked, pieces=(*asked.pieces, number)[-REMOVALS_MAX:])
        notes.set_copy_note(asked.encoded())
    return len(proved)


def _numbers(told: DataSet, pieces: Sequence[ListedPiece]) -> list[int]:
    roots = {one.piece.root for one in pieces}
    return [number for number, root in told.roots.items() if root in roots]


def _asked(notes: Notes, at: int) -> LeaveNote:
    """Return what was asked for lately; what is still proved long after it was asked for is asked for again."""
    try:
        asked = LeaveNote.from_bytes(notes.copy_note())
    except MalformedObject:  # nothing yet, or an addition that came to its end
        return LeaveNote(at=at, pieces=())
    return asked if at - asked.at < ASK_AGAIN_S else LeaveNote(at=at, pieces=())


def _sends(provider: PdpProvider, piece: PieceCid) -> bool:
    try:
        return bool(provider.part(piece, start=0, length=1))
    except PieceNotFound:
        return False
