"""An owner's copies in the records: each method is one transaction, so that whoever is killed leaves a true state."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, Final

from sqlmodel import Session, col, delete, func, select

from storage.cid import Cid
from storage.piece_cid import PieceCid
from storage.pieces import ListedPiece
from vault.copies.model import COPIES_MAX, FAULT_CHARS_MAX, Copy, CopyState, Kind, PlaceStanding
from vault.errors import StaleState
from vault.records.copy_tables import KeptCopy, KeptPiece, KnownPlace, LeavingCopy, WantedCopies
from vault.records.database import Records
from vault.records.room import require_room

DATASETS_MAX: Final = 10_000
PIECES_MAX: Final = 100_000  # of one copy
PLACES_MAX: Final = 1000


class CopyRecords:
    """What one owner knows of the copies of their datasets."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def want(self, manifest: Cid, copies: int) -> None:
        """Set how many verified copies are wanted, 1 to `COPIES_MAX`."""
        with self._records.writing(_turn(manifest)) as session:
            if session.get(WantedCopies, manifest.binary) is None:
                require_room(session, WantedCopies, most=DATASETS_MAX)
            session.merge(WantedCopies(manifest=manifest.binary, copies=copies))

    def wanted(self, manifest: Cid) -> int:
        """Return how many verified copies are wanted; 0 where nobody said."""
        with self._records.reading() as session:
            known = session.get(WantedCopies, manifest.binary)
            return known.copies if known else 0

    def datasets(self) -> list[Cid]:
        """Return the datasets that copies are wanted of, by CID; at most `DATASETS_MAX`."""
        named = select(WantedCopies.manifest).order_by(col(WantedCopies.manifest))
        with self._records.reading() as session:
            return [Cid(manifest) for manifest in session.exec(named)]

    def add(self, copy: Copy) -> Copy:
        """Add a copy and return it, or the one that is there, if that is not leaving.

        Raises: RecordsUnavailable: over `COPIES_MAX`.
        """
        with self._records.writing(_turn(copy.manifest)) as session:
            known = session.get(KeptCopy, (copy.manifest.binary, copy.place))
            if known is not None and not _is_leaving(session, known):
                return _copy(known)
            _forget(session, copy.manifest, copy.place)
            require_room(session, KeptCopy, KeptCopy.manifest == copy.manifest.binary, most=COPIES_MAX)
            session.add(KeptCopy(**_columns(copy)))
            return copy

    def change(self, manifest: Cid, place: str, **changes: Any) -> Copy:
        """Change a copy's facts, and return it as it now is. Raises: StaleState: it was forgotten."""
        with self._records.writing(_turn(manifest)) as session:
            known = session.get(KeptCopy, (manifest.binary, place))
            if known is None:
                raise StaleState(f"the copy of {manifest} at {place} was forgotten meanwhile; store it again")
            changed = replace(_copy(known, is_leaving=_is_leaving(session, known)), **changes)
            changed = replace(changed, fault=changed.fault[:FAULT_CHARS_MAX])
            if changed.state is CopyState.LEAVING:
                session.merge(LeavingCopy(manifest=manifest.binary, place=place))
            session.merge(KeptCopy(**_columns(changed)))
            return changed

    def get(self, manifest: Cid, place: str) -> Copy | None:
        """Return one copy."""
        with self._records.reading() as session:
            known = session.get(KeptCopy, (manifest.binary, place))
            return _copy(known, is_leaving=_is_leaving(session, known)) if known else None

    def copies(self, manifest: Cid | None = None) -> list[Copy]:
        """Return the copies of a dataset, or all, by dataset and place."""
        kept = select(KeptCopy).order_by(col(KeptCopy.manifest), col(KeptCopy.place))
        if manifest is not None:
            kept = kept.where(KeptCopy.manifest == manifest.binary)
        with self._records.reading() as session:
            leaving = {(row.manifest, row.place) for row in session.exec(select(LeavingCopy))}
            return [_copy(row, is_leaving=(row.manifest, row.place) in leaving) for row in session.exec(kept)]

    def forget(self, manifest: Cid, place: str) -> None:
        """Forget a copy and its pieces; nothing is removed from the place itself."""
        with self._records.writing(_turn(manifest)) as session:
            _forget(session, manifest, place)

    def unwant(self, manifest: Cid) -> None:
        """Forget that copies of a dataset were wanted: it was deleted."""
        with self._records.writing(_turn(manifest)) as session:
            session.exec(delete(WantedCopies).where(col(WantedCopies.manifest) == manifest.binary))

    def keep_piece(self, manifest: Cid, place: str, piece: ListedPiece) -> None:
        """Keep what a piece of a copy is and holds, in the place of an earlier one of that number."""
        row = KeptPiece(
            manifest=manifest.binary,
            place=place,
            number=piece.number,
            piece=str(piece.piece),
            blocks=piece.blocks,
            roots=piece.roots,
        )
        with self._records.writing(_turn(manifest)) as session:
            if session.get(KeptPiece, (manifest.binary, place, piece.number)) is None:
                own = (KeptPiece.manifest == manifest.binary, KeptPiece.place == place)
                require_room(session, KeptPiece, *own, most=PIECES_MAX)
            session.merge(row)

    def pieces(self, manifest: Cid, place: str) -> list[ListedPiece]:
        """Return the pieces of a copy in order."""
        own = select(KeptPiece).where(KeptPiece.manifest == manifest.binary, KeptPiece.place == place)
        with self._records.reading() as session:
            return [_piece(row) for row in session.exec(own.order_by(col(KeptPiece.number)))]

    def blame(self, place: str, fault: str, *, at: int) -> None:
        """Note that a place sent what was wrong."""
        with self._records.writing(b"place" + place.encode()) as session:
            known = _place(session, place)
            known.lies, known.last_lie_at, known.last_lie = known.lies + 1, at, fault[:FAULT_CHARS_MAX]
            session.add(known)

    def standings(self) -> dict[str, PlaceStanding]:
        """Return how every place behaved, by its name."""
        with self._records.reading() as session:
            rows = session.exec(select(KnownPlace).order_by(col(KnownPlace.place)))
            return {row.place: _standing(row) for row in rows}

    def place_note(self, place: str) -> bytes:
        """Return what a place has to remember; empty where nothing was kept."""
        with self._records.reading() as session:
            known = session.get(KnownPlace, place)
            return known.note if known else b""

    def claim_place_note(self, place: str, before: bytes, after: bytes) -> bytes:
        """Have a place remember `after` if it now remembers `before`, and return what it remembers."""
        with self._records.writing(b"place" + place.encode()) as session:
            known = _place(session, place)
            if known.note == before:
                known.note = after
                session.add(known)
            return known.note

    def count(self, manifest: Cid, state: CopyState) -> int:
        """Return how many copies of a dataset are in that state."""
        own = (KeptCopy.manifest == manifest.binary, KeptCopy.state == str(state))
        with self._records.reading() as session:
            return session.exec(select(func.count()).select_from(KeptCopy).where(*own)).one()


def _turn(manifest: Cid) -> bytes:
    return b"copies" + manifest.binary


def _forget(session: Session, manifest: Cid, place: str) -> None:
    for table in (KeptPiece, KeptCopy, LeavingCopy):
        session.exec(delete(table).where(col(table.manifest) == manifest.binary, col(table.place) == place))


def _place(session: Session, place: str) -> KnownPlace:
    known = session.get(KnownPlace, place)
    if known is None:
        require_room(session, KnownPlace, most=PLACES_MAX)
        known = KnownPlace(place=place, lies=0, last_lie_at=None, last_lie="", note=b"")
    return known


def _is_leaving(session: Session, row: KeptCopy) -> bool:
    return session.get(LeavingCopy, (row.manifest, row.place)) is not None


def _columns(copy: Copy) -> dict[str, Any]:
    """Return a row's columns; that a copy is leaving is in a table of its own."""
    state = CopyState.PENDING if copy.state is CopyState.LEAVING else copy.state
    return asdict(copy) | {"manifest": copy.manifest.binary, "kind": str(copy.kind), "state": str(state)}


def _copy(row: KeptCopy, *, is_leaving: bool = False) -> Copy:
    same = ("since", "verified_at", "whole_at", "due_at", "lapses_at", "month_cost", "fault", "note", "repairs")
    return Copy(
        manifest=Cid(row.manifest),
        place=row.place,
        kind=Kind(row.kind),
        state=CopyState.LEAVING if is_leaving else CopyState(row.state),
        **{name: getattr(row, name) for name in same},
    )


def _piece(row: KeptPiece) -> ListedPiece:
    return ListedPiece(number=row.number, piece=PieceCid.parse(row.piece), blocks=row.blocks, roots=row.roots)


def _standing(row: KnownPlace) -> PlaceStanding:
    return PlaceStanding(
        place=row.place, lies=row.lies, last_lie_at=row.last_lie_at, last_lie=row.last_lie, note=row.note
    )
