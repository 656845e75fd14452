"""Copies of an owner's datasets: what is wanted, what there is, pieces, and how places behaved."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

CID = (36, 36)
PLACE = (1, 32)
TEXT = (0, 500)
NOTE = (0, 4096)


def upgrade() -> None:
    """Create the four tables."""
    op.create_table(
        "copy_wanted",
        _bytes("manifest"),
        _integer("copies"),
        sa.PrimaryKeyConstraint("manifest", name="copy_wanted_key"),
        *_lengths("copy_wanted", manifest=CID),
        _check("copy_wanted", "copies_between", "copies BETWEEN 1 AND 16"),
    )
    op.create_table(
        "copy_kept",
        _bytes("manifest"),
        _text("place", 32),
        _text("kind", 16),
        _text("state", 16),
        *(_integer(name, nullable=True) for name in ("since", "verified_at", "whole_at")),
        _integer("due_at"),
        *(_integer(name, nullable=True) for name in ("lapses_at", "month_cost")),
        _text("fault", 500),
        _bytes("note"),
        _integer("repairs"),
        sa.PrimaryKeyConstraint("manifest", "place", name="copy_kept_key"),
        *_lengths("copy_kept", manifest=CID, place=PLACE, fault=TEXT, note=NOTE),
        _check("copy_kept", "state_known", "state IN ('pending', 'verified', 'unreachable', 'damaged')"),
        *_least("copy_kept", "since", "verified_at", "whole_at", "due_at", "lapses_at", "month_cost", "repairs"),
    )
    op.create_table(
        "copy_piece",
        _bytes("manifest"),
        _text("place", 32),
        _integer("number"),
        _text("piece", 80),
        _bytes("blocks"),
        _integer("roots"),
        sa.PrimaryKeyConstraint("manifest", "place", "number", name="copy_piece_key"),
        *_lengths("copy_piece", manifest=CID, place=PLACE, piece=(1, 80), blocks=(1, 4 << 20)),
        *_least("copy_piece", "number", "roots"),
    )
    op.create_table(
        "copy_place",
        _text("place", 32),
        _integer("lies"),
        _integer("last_lie_at", nullable=True),
        _text("last_lie", 500),
        _bytes("note"),
        sa.PrimaryKeyConstraint("place", name="copy_place_key"),
        *_lengths("copy_place", place=PLACE, last_lie=TEXT, note=NOTE),
        *_least("copy_place", "lies", "last_lie_at"),
    )


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _text(name: str, most: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(most), nullable=False)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=nullable)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}"))


def _lengths(table: str, **columns: tuple[int, int]) -> list[sa.CheckConstraint]:
    return [
        _check(table, f"{column}_length", f"length({column}) BETWEEN {least} AND {most}")
        for column, (least, most) in columns.items()
    ]


def _least(table: str, *columns: str) -> list[sa.CheckConstraint]:
    return [_check(table, f"{column}_least", f"{column} >= 0") for column in columns]
