"""What is remembered of pieces at a Filecoin provider, and who pays for them by which contract."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from storage.pdp import BATCH_MAX
from storage.warm_storage import Prices, WarmStorage
from vault.codec import Digest, Label, Length, Record, record
from vault.copies.model import Notes
from vault.epochs import kind_of
from vault.signing import SigningKey

REMOVALS_MAX: Final = 300  # remembered at a time; what was asked before them is asked again


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who pays whom, by which contract, and at most how much.

    Attributes:
        payee: the provider's address.
        key: returns the payer's wallet; called only when something is to be signed.
        prices: asks the contract.
        find: asks the chain for a data set by the number that the payer asked for it with.
        month_max: micro-dollars that a month of one copy may cost.
    """

    warm: WarmStorage
    payee: bytes
    key: Callable[[], SigningKey]
    prices: Callable[[], Prices]
    find: Callable[[int], int | None]
    month_max: int


@record
class PlaceNote(Record):
    """The data set of a place: what it is asked for with, the transaction that makes it, and its number."""

    TYPE: ClassVar[str] = "coffer/filecoin-place/v1"

    client_data_set: Digest  # a number of 256 bits
    transaction: Label = ""
    data_set: int | None = None

    @property
    def number(self) -> int:
        """What the contract knows the data set by that was asked for."""
        return int.from_bytes(self.client_data_set, "big")


@record
class CopyNote(Record):
    """An addition under way: its number, its transaction, and which pieces it adds."""

    TYPE: ClassVar[str] = "coffer/filecoin-copy/v1"

    nonce: Digest
    transaction: Label
    pieces: Annotated[tuple[int, ...], Length(1, BATCH_MAX)]


@record
class LeaveNote(Record):
    """Pieces of a deleted dataset that the provider was asked to remove since a time, by their numbers at it."""

    TYPE: ClassVar[str] = "coffer/filecoin-leave/v1"

    at: int
    pieces: Annotated[tuple[int, ...], Length(0, REMOVALS_MAX)]


def place_note(notes: Notes) -> PlaceNote | None:
    """Return what a place remembers of its data set."""
    note = notes.place_note()
    return PlaceNote.from_bytes(note) if note else None


def copy_note(notes: Notes) -> CopyNote | None:
    """Return the addition that is under way for a copy; what is remembered of a removal is none.

    Raises: `MalformedObject` for a damaged note: its nonce may have been signed already.
    """
    note = notes.copy_note()
    return CopyNote.from_bytes(note) if note and kind_of(note) != LeaveNote.TYPE else None
