"""Tables of an owner's copies: what is wanted, what there is, in which pieces, and who sent what was wrong."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint
from sqlmodel import Field

from storage.pieces import LIST_BYTES_MAX
from vault.copies.model import COPIES_MAX, FAULT_CHARS_MAX, NOTE_BYTES_MAX, PLACE_CHARS_MAX
from vault.records.tables import KIND_CHARS_MAX, Table, _cid, _from, _is_long, _key, _number

PIECE_CHARS_MAX: Final = 80

_TIMES: Final = ("since", "verified_at", "whole_at", "due_at", "lapses_at", "month_cost", "repairs")


class WantedCopies(Table, table=True):
    """How many verified copies an owner wants of a dataset version."""

    __tablename__ = "copy_wanted"
    __table_args__ = (
        *_cid("manifest"),
        CheckConstraint(f"copies BETWEEN 1 AND {COPIES_MAX}", name="copies_between"),
    )

    manifest: bytes = _key()
    copies: int = _number()


class KeptCopy(Table, table=True):
    """A copy of a dataset version at one place."""

    __tablename__ = "copy_kept"
    __table_args__ = (
        *_cid("manifest"),
        _is_long("place", 1, PLACE_CHARS_MAX),
        CheckConstraint("state IN ('pending', 'verified', 'unreachable', 'damaged')", name="state_known"),
        *_from(0, *_TIMES),
        _is_long("fault", 0, FAULT_CHARS_MAX),
        _is_long("note", 0, NOTE_BYTES_MAX),
    )

    manifest: bytes = _key()
    place: str = Field(primary_key=True, max_length=PLACE_CHARS_MAX)
    kind: str = Field(max_length=KIND_CHARS_MAX)
    state: str = Field(max_length=KIND_CHARS_MAX)
    since: int | None = Field(sa_type=BigInteger)
    verified_at: int | None = Field(sa_type=BigInteger)
    whole_at: int | None = Field(sa_type=BigInteger)
    due_at: int = _number()
    lapses_at: int | None = Field(sa_type=BigInteger)
    month_cost: int | None = Field(sa_type=BigInteger)
    fault: str = Field(max_length=FAULT_CHARS_MAX)
    note: bytes
    repairs: int = _number()


class LeavingCopy(Table, table=True):
    """A kept copy of a dataset that was deleted, until its place has let go of it."""

    __tablename__ = "copy_leaving"
    __table_args__ = (*_cid("manifest"), _is_long("place", 1, PLACE_CHARS_MAX))

    manifest: bytes = _key()
    place: str = Field(primary_key=True, max_length=PLACE_CHARS_MAX)


class KeptPiece(Table, table=True):
    """A piece that a dataset version was packed into for one place, and which blocks are in it."""

    __tablename__ = "copy_piece"
    __table_args__ = (
        *_cid("manifest"),
        _is_long("place", 1, PLACE_CHARS_MAX),
        *_from(0, "number", "roots"),
        _is_long("piece", 1, PIECE_CHARS_MAX),
        _is_long("blocks", 1, LIST_BYTES_MAX),
    )

    manifest: bytes = _key()
    place: str = Field(primary_key=True, max_length=PLACE_CHARS_MAX)
    number: int = _number(key=True)
    piece: str = Field(max_length=PIECE_CHARS_MAX)
    blocks: bytes
    roots: int = _number()


class KnownPlace(Table, table=True):
    """How a place behaved, and what it has to remember."""

    __tablename__ = "copy_place"
    __table_args__ = (
        _is_long("place", 1, PLACE_CHARS_MAX),
        *_from(0, "lies", "last_lie_at"),
        _is_long("last_lie", 0, FAULT_CHARS_MAX),
        _is_long("note", 0, NOTE_BYTES_MAX),
    )

    place: str = Field(primary_key=True, max_length=PLACE_CHARS_MAX)
    lies: int = _number()
    last_lie_at: int | None = Field(sa_type=BigInteger)
    last_lie: str = Field(max_length=FAULT_CHARS_MAX)
    note: bytes
