"""What is remembered of a copy's pieces: an addition under way, a removal, or nothing; damage is none of them."""

from __future__ import annotations

import pytest

from tests.builders import seeded
from vault.copies.piece_notes import CopyNote, LeaveNote, copy_note
from vault.errors import MalformedObject


class Remembered:
    """A copy's note, and nothing else of `Notes`."""

    def __init__(self, note: bytes) -> None:
        self._note = note

    def copy_note(self) -> bytes:
        return self._note


ADDING = CopyNote(nonce=seeded("nonce"), transaction="", pieces=(1, 2))


def test_an_addition_under_way_is_returned() -> None:
    assert copy_note(Remembered(ADDING.encoded())) == ADDING  # type: ignore[arg-type]


@pytest.mark.parametrize("note", [b"", LeaveNote(at=1, pieces=(1,)).encoded()], ids=["nothing", "a removal"])
def test_nothing_and_a_removal_are_no_addition(note: bytes) -> None:
    assert copy_note(Remembered(note)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("note", [ADDING.encoded()[:-1], b"\x00", ADDING.encoded() + b"\x00"])
def test_a_damaged_note_is_not_taken_for_none(note: bytes) -> None:
    with pytest.raises(MalformedObject):
        copy_note(Remembered(note))  # type: ignore[arg-type]
