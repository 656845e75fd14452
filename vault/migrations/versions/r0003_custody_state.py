"""What a custodian needs to notice that it was restored, and to catch up with the others (rule F5)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "custody_condition",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("restored_at", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="custody_condition_key"),
        _check("custody_condition", "id_only", "id = 1"),
        _check("custody_condition", "restored_at_least", "restored_at >= 0"),
        _check("custody_condition", "number_least", "number >= 0"),
    )
    op.create_table(
        "custody_caught_up",
        sa.Column("genesis", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("genesis", name="custody_caught_up_key"),
        _check("custody_caught_up", "genesis_length", "length(genesis) BETWEEN 36 AND 36"),
    )
    op.create_table(
        "custody_question",
        sa.Column("custodian", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("question", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("custodian", name="custody_question_key"),
        _check("custody_question", "custodian_length", "length(custodian) BETWEEN 32 AND 32"),
        _check("custody_question", "number_least", "number >= 0"),
        _check("custody_question", "question_length", "length(question) BETWEEN 1 AND 512"),
    )


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}"))
