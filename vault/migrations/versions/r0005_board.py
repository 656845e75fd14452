"""A board keeps an object once in each DAO, and counts what came against quotas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = "board_object"


def upgrade() -> None:
    """Change the one table; SQLite writes it anew."""
    with op.batch_alter_table(TABLE, copy_from=_before(), recreate="auto") as batch:
        batch.drop_constraint(f"{TABLE}_cid_unique", type_="unique")
        batch.create_unique_constraint(f"{TABLE}_cid_genesis_unique", ["cid", "genesis"])
        batch.add_column(sa.Column("quota", sa.LargeBinary(), nullable=True))
        batch.add_column(sa.Column("until", sa.BigInteger(), nullable=True))
        batch.create_check_constraint(op.f(f"{TABLE}_quota_length"), "length(quota) BETWEEN 1 AND 64")
    if op.get_bind().dialect.name == "sqlite":  # it went with the table as it was
        op.create_index(f"{TABLE}_genesis_kind_parent", TABLE, ["genesis", "kind", "parent"])
    op.create_index(f"{TABLE}_genesis_kind_quota", TABLE, ["genesis", "kind", "quota"])
    op.create_index(f"{TABLE}_genesis_position", TABLE, ["genesis", "position"])


def _before() -> sa.Table:
    """Return the table as revision 0001 made it."""
    return sa.Table(
        TABLE,
        sa.MetaData(),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.LargeBinary(), nullable=name == "parent")
            for name in ("genesis", "cid", "parent", "body")
        ),
        sa.PrimaryKeyConstraint("position", name=f"{TABLE}_key"),
        _check("kind", 1, 16),
        *(_check(column, 36, 36) for column in ("genesis", "cid", "parent")),
        _check("body", 1, 1048576),
        sa.UniqueConstraint("cid", name=f"{TABLE}_cid_unique"),
    )


def _check(column: str, least: int, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=op.f(f"{TABLE}_{column}_length"))
