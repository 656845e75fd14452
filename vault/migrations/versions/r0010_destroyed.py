"""Which shares were destroyed at their owners' orders: for ever, so that none of them is taken again (rule S3)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0007"


def upgrade() -> None:
    """Create the table, and refuse changes to what stands in it."""
    op.create_table(
        "custody_destroyed",
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("genesis", sa.LargeBinary(), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=False),
        sa.Column("signed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("manifest", name="custody_destroyed_key"),
        _check("manifest_length", "length(manifest) BETWEEN 36 AND 36"),
        _check("genesis_length", "length(genesis) BETWEEN 36 AND 36"),
        _check("destroyed_at_least", "destroyed_at >= 0"),
        _check("signed_length", "length(signed) BETWEEN 1 AND 1024"),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER custody_destroyed_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON custody_destroyed"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    exists = "WHEN EXISTS (SELECT 1 FROM custody_destroyed WHERE manifest = NEW.manifest)"
    for change, condition in (("UPDATE", ""), ("DELETE", ""), ("INSERT", exists)):
        op.execute(
            f"CREATE TRIGGER custody_destroyed_only_grows_{change.lower()} BEFORE {change} ON custody_destroyed"
            f" {condition} BEGIN SELECT RAISE(ABORT, 'custody_destroyed only grows'); END"
        )


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"custody_destroyed_{name}"))
