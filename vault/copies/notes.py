"""What one copy's place remembers, in the records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.cid import Cid
from storage.pieces import ListedPiece

if TYPE_CHECKING:
    from vault.records.copies import CopyRecords


class RecordedNotes:
    """The notes of one copy and of its place; see `vault.copies.model.Notes`."""

    def __init__(self, records: CopyRecords, manifest: Cid, place: str) -> None:
        self._records = records
        self._manifest = manifest
        self._place = place

    def copy_note(self) -> bytes:
        """Return what is remembered of the copy; empty where nothing is."""
        copy = self._records.get(self._manifest, self._place)
        return copy.note if copy is not None else b""

    def set_copy_note(self, note: bytes) -> None:
        """Remember something of the copy."""
        self._records.change(self._manifest, self._place, note=note)

    def place_note(self) -> bytes:
        """Return what the place remembers for all copies."""
        return self._records.place_note(self._place)

    def claim_place_note(self, before: bytes, after: bytes) -> bytes:
        """Have the place remember `after` if it still remembers `before`; return what it remembers then."""
        return self._records.claim_place_note(self._place, before, after)

    def pieces(self) -> list[ListedPiece]:
        """Return the pieces that the copy was packed into."""
        return self._records.pieces(self._manifest, self._place)

    def keep_piece(self, piece: ListedPiece) -> None:
        """Remember a piece."""
        self._records.keep_piece(self._manifest, self._place, piece)
