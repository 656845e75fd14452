"""What a custodian remembers of votes: proposals, ballots, the sets it closed, decisions, acts, delegations (G2)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

DIGEST = (32, 32)
ADDRESS = (20, 20)
CID = (36, 36)
WORDS = (1, 32768)

_APPEND_ONLY = ("custody_closing", "custody_queued")


def upgrade() -> None:
    """Create the tables, then refuse changes to what was signed or queued once."""
    _create_proposals()
    _create_votes()
    _create_outcomes()
    _create_others()
    for table in _APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            _refuse_postgresql(table)
        else:
            _refuse_sqlite(table)


def _create_proposals() -> None:
    op.create_table(
        "custody_proposal",
        _bytes("proposal"),
        _bytes("genesis"),
        _bytes("proposer"),
        _bytes("body"),
        _bytes("acknowledgments"),
        _integer("arrived_at"),
        _integer("is_direct"),
        _integer("position"),
        sa.PrimaryKeyConstraint("proposal", name="custody_proposal_key"),
        *_lengths("custody_proposal", proposal=DIGEST, genesis=CID, proposer=ADDRESS),
        *_lengths("custody_proposal", body=(1, 16384), acknowledgments=WORDS),
        *_least("custody_proposal", "arrived_at", "position"),
        _check("custody_proposal", "is_direct_known", "is_direct IN (0, 1)"),
    )
    op.create_index("custody_proposal_genesis_position", "custody_proposal", ["genesis", "position"])


def _create_votes() -> None:
    op.create_table(
        "custody_vote",
        _bytes("proposal"),
        _bytes("ballot"),
        _bytes("voter"),
        _bytes("body"),
        _bytes("acknowledgments"),
        _integer("period"),
        _integer("direct"),
        _integer("position"),
        sa.PrimaryKeyConstraint("proposal", "ballot", name="custody_vote_key"),
        *_lengths("custody_vote", proposal=DIGEST, ballot=DIGEST, voter=ADDRESS),
        *_lengths("custody_vote", body=(1, 4096), acknowledgments=WORDS),
        _check("custody_vote", "period_known", "period BETWEEN 0 AND 2"),
        *_least("custody_vote", "direct", "position"),
    )
    op.create_index("custody_vote_proposal_voter", "custody_vote", ["proposal", "voter"])
    op.create_index("custody_vote_proposal_position", "custody_vote", ["proposal", "position"])


def _create_outcomes() -> None:
    op.create_table(
        "custody_closing",
        _bytes("proposal"),
        _bytes("genesis"),
        _bytes("closing"),
        sa.PrimaryKeyConstraint("proposal", name="custody_closing_key"),
        *_lengths("custody_closing", proposal=DIGEST, genesis=CID, closing=(1, 32768)),
    )
    op.create_table(
        "custody_queued",
        _bytes("proposal"),
        _bytes("genesis"),
        _bytes("decision"),
        _integer("free_at"),
        sa.PrimaryKeyConstraint("proposal", name="custody_queued_key"),
        *_lengths("custody_queued", proposal=DIGEST, genesis=CID, decision=CID),
        *_least("custody_queued", "free_at"),
    )
    op.create_index("custody_queued_genesis", "custody_queued", ["genesis"])


def _create_others() -> None:
    op.create_table(
        "custody_act",
        _bytes("act"),
        _bytes("genesis"),
        _integer("epoch"),
        _bytes("body"),
        sa.PrimaryKeyConstraint("act", name="custody_act_key"),
        *_lengths("custody_act", act=DIGEST, genesis=CID, body=(1, 8192)),
        *_least("custody_act", "epoch"),
    )
    op.create_index("custody_act_genesis", "custody_act", ["genesis"])
    op.create_table(
        "custody_delegated",
        _bytes("genesis"),
        _integer("at"),
        sa.PrimaryKeyConstraint("genesis", name="custody_delegated_key"),
        *_lengths("custody_delegated", genesis=CID),
        *_least("custody_delegated", "at"),
    )


def _bytes(name: str) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}"))


def _lengths(table: str, **columns: tuple[int, int]) -> list[sa.CheckConstraint]:
    return [
        _check(table, f"{column}_length", f"length({column}) BETWEEN {least} AND {most}")
        for column, (least, most) in columns.items()
    ]


def _least(table: str, *columns: str) -> list[sa.CheckConstraint]:
    return [_check(table, f"{column}_least", f"{column} >= 0") for column in columns]


def _refuse_postgresql(table: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def _refuse_sqlite(table: str) -> None:
    """Refuse replacement too: SQLite's INSERT OR REPLACE deletes without firing the trigger for it."""
    exists = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE proposal = NEW.proposal)"  # noqa: S608  # our own names, above
    for change, condition in (("UPDATE", ""), ("DELETE", ""), ("INSERT", exists)):
        op.execute(
            f"CREATE TRIGGER {table}_only_grows_{change.lower()} BEFORE {change} ON {table} {condition}"
            f" BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
        )
