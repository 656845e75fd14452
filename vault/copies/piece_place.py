"""Copies at a Filecoin provider: packed into pieces, sent, added to a data set that is paid for. Not run on mainnet.

Whatever could be paid twice has a number of its own, which is in the records before it is signed; the contract takes
each number once. A copy is packed the same way every time, so after a kill it goes on with the piece that was next.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from storage.cid import RAW, Cid
from storage.errors import DataSetNotFound, OverLimit, PieceNotFound, RequestRefused
from storage.model import Blobs
from storage.packing import packed
from storage.pdp import BATCH_MAX, PIECE_BYTES_MAX, PdpProvider
from storage.pdp_answers import DataSet, TransactionState
from storage.piece_cid import PieceCid
from storage.pieces import ListedPiece, PieceBlobs, blocks_in, listed
from storage.warm_storage import EPOCH_S, fresh_number
from vault.copies.model import Advance, Job, Kind, Notes, Outlook, Release
from vault.copies.piece_leaving import pieces_let_go
from vault.copies.piece_notes import Account, CopyNote, PlaceNote, copy_note, place_note
from vault.errors import MalformedObject
from vault.manifest import Manifest
from vault.publishing import dataset_blocks

PIECE_BYTES: Final = 256 * 2**20  # of one piece, at most: what is spooled on this machine's disk meanwhile

LATE_S: Final = 24 * 3600  # of a proof, before it is said


class PiecePlace:
    """A provider that proves every day that it has the pieces.

    Args:
        spool: a folder of this machine, for one piece at a time.
        clock: UTC seconds, which tell the chain's epoch.
    """

    kind = Kind.FILECOIN

    def __init__(
        self,
        name: str,
        provider: PdpProvider,
        account: Account,
        *,
        spool: Path,
        clock: Callable[[], int],
        piece_bytes: int = PIECE_BYTES,
    ) -> None:
        self.name = name
        self.shown = provider.name
        self._provider = provider
        self._account = account
        self._spool = spool
        self._clock = clock
        self._piece_bytes = min(piece_bytes, PIECE_BYTES_MAX)

    def month_cost(self, sealed_bytes: int) -> int | None:
        """Return what the contract charges. Raises: OverLimit: it is more than the owner allows."""
        cost = self._account.prices().month_of(sealed_bytes)
        if cost > self._account.month_max:
            raise OverLimit(
                f"a copy at {self.name} costs {dollars(cost)} a month and you allow {dollars(self._account.month_max)};"
                f" raise month_max of that place, or name another"
            )
        return cost

    def advance(self, job: Job) -> Advance:
        """Send the pieces that the provider lacks, have a data set made, and have the pieces added to it."""
        self.month_cost(job.manifest.sealed_bytes)
        self._send(job)
        number = self._data_set(job.notes)
        if number is None:
            return Advance(waiting="the chain has not confirmed the data set yet")
        if not self._added(job.notes, number):
            return Advance(waiting="the chain has not confirmed the pieces yet")
        return Advance()

    def reads(self, notes: Notes) -> Blobs:
        """Return single blocks out of the pieces."""
        return PieceBlobs(self._provider, notes.pieces())

    def read_whole(self, job: Job) -> None:
        """Read every piece back and compare its commitment. Raises: PieceNotFound, PieceMismatch."""
        pieces = job.notes.pieces()
        if not pieces:
            raise PieceNotFound(f"{self.shown} was sent no piece of {job.manifest.cid()}")
        done = 0
        for one in pieces:
            self._provider.verify(one.piece)
            done += one.piece.raw_bytes
            job.progress(done)

    def outlook(self, job: Job) -> Outlook:
        """Say whether the data set is still there and still holds every piece."""
        known = place_note(job.notes)
        if known is None or known.data_set is None:
            return Outlook(fault=f"there is no data set at {self.shown}")
        try:
            told = self._provider.data_set(known.data_set)
        except DataSetNotFound:
            return Outlook(fault=f"{self.shown} lost data set {known.data_set}; nothing in it is proved any more")
        gone = sum(not told.holds(one.piece) for one in job.notes.pieces())
        if gone:
            return Outlook(fault=f"{self.shown} no longer proves {gone} of the pieces")
        late_s = told.epochs_late(epoch=self._account.warm.epoch(self._clock())) * EPOCH_S
        warning = f"its proof of data set {known.data_set} is {late_s // 3600} hours late" if late_s > LATE_S else ""
        return Outlook(warning=warning)

    def renew(self, job: Job) -> int | None:
        """Do nothing: a data set is paid from the owner's account until that is empty."""
        return None

    def let_go(self, notes: Notes, *, at: int) -> Release:
        """Have the pieces removed; see `vault.copies.piece_leaving`."""
        return pieces_let_go(self._provider, self._account, notes, at=at)

    def _send(self, job: Job) -> None:
        manifest = job.manifest.cid()
        lengths: dict[Cid, int] = {}

        def measured() -> Iterator[tuple[Cid, bytes]]:
            for cid, block in dataset_blocks(job.source, job.manifest):
                lengths[cid] = len(block)
                yield cid, block

        known = {one.number: one for one in job.notes.pieces()}
        is_all_known = not job.is_repair and _are_all(known.values(), job.manifest)
        if is_all_known and all(self._provider.has(one.piece) for one in known.values()):
            return
        with self._spooled() as (path, opened):
            for one in packed(measured(), opened, roots=[manifest], piece_bytes_max=self._piece_bytes):
                if job.is_repair or not self._provider.has(one.piece):
                    self._upload(one.piece, path)
                blocks = listed((cid, lengths[cid]) for cid in one.cids)
                piece = ListedPiece(number=one.number, piece=one.piece, blocks=blocks)
                if known.get(one.number) != piece:
                    job.notes.keep_piece(piece)

    def _upload(self, piece: PieceCid, path: Path) -> None:
        if self._provider.has(piece):
            try:
                self._provider.verify(piece)
            except PieceNotFound:
                pass
            else:
                return
        with path.open("rb") as data:
            self._provider.upload(piece, data)

    @contextmanager
    def _spooled(self) -> Iterator[tuple[Path, Callable[[int], BinaryIO]]]:
        """Yield a file's path, and what opens it anew for each piece; it is removed at the end."""
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._spool, prefix="piece-") as folder:
            path = Path(folder) / "piece.car"
            yield path, lambda number: path.open("wb")

    def _data_set(self, notes: Notes) -> int | None:
        known = place_note(notes)
        if known is None:
            fresh = PlaceNote(client_data_set=fresh_number().to_bytes(32, "big"))
            known = PlaceNote.from_bytes(notes.claim_place_note(b"", fresh.encoded()))
        elif known.data_set is None and not known.transaction and (found := self._found(notes, known)) is not None:
            return found
        if known.data_set is not None:
            return known.data_set
        if not known.transaction:
            known = self._remembered(notes, known, replace(known, transaction=self._create(known)))
        made = self._provider.creation(known.transaction)
        if made.state is TransactionState.REJECTED:
            if (found := self._found(notes, known)) is not None:
                return found
            notes.claim_place_note(known.encoded(), b"")
            raise RequestRefused(f"{self.shown}: the chain rejected the data set; is the account funded and approved?")
        if made.state is TransactionState.PENDING or made.data_set is None:
            return None
        return self._remembered(notes, known, replace(known, data_set=made.data_set)).data_set

    def _found(self, notes: Notes, known: PlaceNote) -> int | None:
        """Return the data set if it was made, though nobody heard of it: by a run that was killed, or a lost answer."""
        number = self._account.find(known.number)
        return None if number is None else self._remembered(notes, known, replace(known, data_set=number)).data_set

    def _create(self, known: PlaceNote) -> str:
        key, warm = self._account.key(), self._account.warm
        signed = warm.creation(
            key.sign,
            payer=key.address,
            payee=self._account.payee,
            client_data_set=known.number,
        )
        return self._provider.create_data_set(warm.record_keeper, lambda: signed)

    def _added(self, notes: Notes, number: int) -> bool:
        """Say whether the provider proves every piece, having what it lacks added, `BATCH_MAX` at a time."""
        under_way = copy_note(notes)
        if under_way is not None and not self._is_settled(notes, under_way, number):
            return False
        told = self._provider.data_set(number)
        lacking = [one for one in notes.pieces() if not told.holds(one.piece)]
        if not lacking:
            return True
        self._add(notes, number, lacking[:BATCH_MAX], told)
        return False

    def _add(self, notes: Notes, number: int, pieces: list[ListedPiece], told: DataSet) -> None:
        known = place_note(notes)
        if known is None:
            raise MalformedObject(f"the records of place {self.name} changed meanwhile; run it again")
        note = CopyNote(
            nonce=fresh_number().to_bytes(32, "big"), transaction="", pieces=tuple(one.number for one in pieces)
        )
        notes.set_copy_note(note.encoded())  # so that a nonce is never signed twice for different pieces
        self._submit(notes, note, number, known)

    def _submit(self, notes: Notes, note: CopyNote, number: int, known: PlaceNote) -> None:
        by_number = {one.number: one.piece for one in notes.pieces()}
        key, warm = self._account.key(), self._account.warm
        transaction = self._provider.add_pieces(
            number,
            [by_number[one] for one in note.pieces],
            lambda pieces: warm.addition(
                key.sign,
                pieces,
                client_data_set=known.number,
                nonce=int.from_bytes(note.nonce, "big"),
            ),
        )
        notes.set_copy_note(replace(note, transaction=transaction).encoded())

    def _is_settled(self, notes: Notes, note: CopyNote, number: int) -> bool:
        """Say whether an addition is over; one that was signed and perhaps never sent is sent again, same nonce."""
        known = place_note(notes)
        if not note.transaction and known is not None:
            told = self._provider.data_set(number)
            by_number = {one.number: one.piece for one in notes.pieces()}
            if not all(one in by_number and told.holds(by_number[one]) for one in note.pieces):
                self._submit(notes, note, number, known)
                return False
        elif note.transaction:
            added = self._provider.addition(number, note.transaction, count=len(note.pieces))
            if added.state is TransactionState.PENDING:
                return False
            if added.state is TransactionState.REJECTED:
                notes.set_copy_note(b"")
                raise RequestRefused(f"{self.shown}: the chain rejected the pieces; is the account funded?")
        notes.set_copy_note(b"")
        return True

    def _remembered(self, notes: Notes, before: PlaceNote, after: PlaceNote) -> PlaceNote:
        return PlaceNote.from_bytes(notes.claim_place_note(before.encoded(), after.encoded()))


def _are_all(pieces: Iterable[ListedPiece], manifest: Manifest) -> bool:
    """Say whether pieces hold all of a dataset's sealed bytes, which lie in its raw blocks."""
    raw = sum(length for one in pieces for cid, length in blocks_in(one.blocks) if cid.codec == RAW)
    return raw == manifest.sealed_bytes


def dollars(micro: int) -> str:
    """Return micro-dollars as a person reads them, to the cent and no less than it is."""
    cents = -(-micro // 10_000)
    return f"${cents // 100}.{cents % 100:02d}"
