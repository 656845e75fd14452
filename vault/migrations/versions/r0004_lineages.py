"""How many lineages of manifests were begun under each DAO; those from before this version are not counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "custody_lineages",
        sa.Column("genesis", sa.LargeBinary(), nullable=False),
        sa.Column("lineages", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("genesis", name="custody_lineages_key"),
        _check("genesis_length", "length(genesis) BETWEEN 36 AND 36"),
        _check("lineages_least", "lineages >= 0"),
    )


def _check(name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"custody_lineages_{name}"))
