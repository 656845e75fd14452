"""Copies of deleted datasets that their places have not let go of yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "copy_leaving",
        sa.Column("manifest", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("manifest", "place", name="copy_leaving_key"),
        sa.CheckConstraint("length(manifest) BETWEEN 36 AND 36", name=op.f("copy_leaving_manifest_length")),
        sa.CheckConstraint("length(place) BETWEEN 1 AND 32", name=op.f("copy_leaving_place_length")),
    )
