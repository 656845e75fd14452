"""Which head comes next: what a custodian voted for, for ever, what others did, and what waits to be carried out (F1).

From here on it is a custodian's votes that never change. The heads that it follows may: where a liar voted twice, q
custodians may have signed a later head that grew from another one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CID = (36, 36)
DIGEST = (32, 32)


def upgrade() -> None:
    """Create the tables, refuse changes to what was signed once, and allow them to the heads that are followed."""
    op.create_table(
        "custody_signed_head",
        _bytes("genesis"),
        _integer("epoch"),
        _bytes("head"),
        sa.PrimaryKeyConstraint("genesis", "epoch", name="custody_signed_head_key"),
        *_lengths("custody_signed_head", genesis=CID, head=CID),
        _check("custody_signed_head", "epoch_least", "epoch >= 1"),
    )
    op.create_table(
        "custody_head_vote",
        _bytes("genesis"),
        _integer("epoch"),
        _bytes("custodian"),
        _bytes("head"),
        _bytes("vote"),
        sa.PrimaryKeyConstraint("genesis", "epoch", "custodian", "head", name="custody_head_vote_key"),
        *_lengths("custody_head_vote", genesis=CID, head=CID, custodian=DIGEST, vote=(1, 512)),
        _check("custody_head_vote", "epoch_least", "epoch >= 1"),
    )
    op.create_table(
        "custody_cause",
        _bytes("genesis"),
        _bytes("cause"),
        sa.PrimaryKeyConstraint("genesis", "cause", name="custody_cause_key"),
        *_lengths("custody_cause", genesis=CID, cause=CID),
    )
    if op.get_bind().dialect.name == "postgresql":
        _guard_postgresql()
    else:
        _guard_sqlite()


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}"))


def _lengths(table: str, **columns: tuple[int, int]) -> list[sa.CheckConstraint]:
    return [
        _check(table, f"{column}_length", f"length({column}) BETWEEN {least} AND {most}")
        for column, (least, most) in columns.items()
    ]


def _guard_postgresql() -> None:
    op.execute("DROP TRIGGER custody_head_only_grows ON custody_head")
    op.execute(
        "CREATE TRIGGER custody_signed_head_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON custody_signed_head"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _guard_sqlite() -> None:
    for change in ("update", "delete", "insert"):
        op.execute(f"DROP TRIGGER custody_head_only_grows_{change}")
    exists = "WHEN EXISTS (SELECT 1 FROM custody_signed_head WHERE genesis = NEW.genesis AND epoch = NEW.epoch)"
    for change, condition in (("UPDATE", ""), ("DELETE", ""), ("INSERT", exists)):
        op.execute(
            f"CREATE TRIGGER custody_signed_head_only_grows_{change.lower()} BEFORE {change} ON custody_signed_head"
            f" {condition} BEGIN SELECT RAISE(ABORT, 'custody_signed_head only grows'); END"
        )
