"""Journal, custody, catalog and board, with the triggers that keep what was accepted once.

There is no way back down: it would delete what a custodian must never forget.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

DIGEST = 32
ADDRESS = 20
CID = 36

_APPEND_ONLY = {
    "journal": ("ledger", "sequence"),
    "custody_head": ("genesis", "epoch"),
    "custody_manifest": ("dataset", "version"),
    "custody_state_share": ("ledger",),
}


def upgrade() -> None:
    """Create all tables, then refuse changes to those that only grow."""
    _create_journal()
    _create_custody()
    _create_catalog()
    _create_board()
    if op.get_bind().dialect.name == "postgresql":
        _refuse_changes_postgresql()
    else:
        _refuse_changes_sqlite()


def _create_journal() -> None:
    op.create_table(
        "journal",
        _bytes("ledger"),
        _integer("sequence"),
        _integer("entries"),
        _bytes("sealed"),
        _bytes("mac"),
        sa.PrimaryKeyConstraint("ledger", "sequence", name="journal_key"),
        _long("journal", "ledger", DIGEST, DIGEST),
        _long("journal", "mac", DIGEST, DIGEST),
        _least("journal", "sequence", 1),
        sa.CheckConstraint("entries BETWEEN 1 AND 1024", name=op.f("journal_entries_number")),
        _long("journal", "sealed", 1, 5242880),
    )


def _create_custody() -> None:
    op.create_table(
        "custody_head",
        _bytes("genesis"),
        _integer("epoch"),
        _bytes("head"),
        sa.PrimaryKeyConstraint("genesis", "epoch", name="custody_head_key"),
        _long("custody_head", "genesis", CID, CID),
        _long("custody_head", "head", CID, CID),
        _least("custody_head", "epoch", 0),
    )
    op.create_table(
        "custody_manifest",
        _bytes("dataset"),
        _integer("version"),
        _bytes("manifest"),
        sa.PrimaryKeyConstraint("dataset", "version", name="custody_manifest_key"),
        _long("custody_manifest", "dataset", DIGEST, DIGEST),
        _least("custody_manifest", "version", 1),
        _long("custody_manifest", "manifest", CID, CID),
    )
    op.create_table(
        "custody_deposit",
        _bytes("manifest"),
        _bytes("deposit"),
        sa.PrimaryKeyConstraint("manifest", name="custody_deposit_key"),
        _long("custody_deposit", "manifest", CID, CID),
        _long("custody_deposit", "deposit", 1, 16384),
    )
    op.create_table(
        "custody_state_share",
        _bytes("ledger"),
        _bytes("sealed"),
        sa.PrimaryKeyConstraint("ledger", name="custody_state_share_key"),
        _long("custody_state_share", "ledger", DIGEST, DIGEST),
        _long("custody_state_share", "sealed", 1, 16384),
    )
    op.create_table(
        "custody_lease",
        _bytes("ledger"),
        _bytes("instance", nullable=True),
        _integer("not_after"),
        _integer("anchor_sequence"),
        _bytes("anchor_mac"),
        sa.PrimaryKeyConstraint("ledger", name="custody_lease_key"),
        _long("custody_lease", "ledger", DIGEST, DIGEST),
        _long("custody_lease", "instance", DIGEST, DIGEST),
        _long("custody_lease", "anchor_mac", DIGEST, DIGEST),
        _least("custody_lease", "not_after", 0),
        _least("custody_lease", "anchor_sequence", 0),
    )


def _create_catalog() -> None:
    op.create_table(
        "catalog_dataset",
        _bytes("dataset"),
        _integer("version"),
        sa.Column("title", sa.String(200), nullable=False),
        _bytes("owner"),
        _bytes("genesis"),
        _bytes("manifest"),
        sa.Column("state", sa.String(16), nullable=False),
        _integer("passages"),
        _integer("documents"),
        _integer("sealed_bytes"),
        _integer("created_at"),
        sa.PrimaryKeyConstraint("dataset", "version", name="catalog_dataset_key"),
        _long("catalog_dataset", "dataset", DIGEST, DIGEST),
        _least("catalog_dataset", "version", 1),
        _long("catalog_dataset", "genesis", CID, CID),
        _long("catalog_dataset", "manifest", CID, CID),
        _long("catalog_dataset", "owner", ADDRESS, ADDRESS),
        _long("catalog_dataset", "title", 0, 200),
        sa.CheckConstraint("state IN ('sealed', 'published')", name=op.f("catalog_dataset_state_known")),
        _least("catalog_dataset", "passages", 0),
        _least("catalog_dataset", "documents", 0),
        _least("catalog_dataset", "sealed_bytes", 0),
        _least("catalog_dataset", "created_at", 0),
        sa.UniqueConstraint("manifest", name="catalog_dataset_manifest_unique"),
    )


def _create_board() -> None:
    op.create_table(
        "board_object",
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        _bytes("genesis"),
        _bytes("cid"),
        _bytes("parent", nullable=True),
        _bytes("body"),
        sa.PrimaryKeyConstraint("position", name="board_object_key"),
        _long("board_object", "kind", 1, 16),
        _long("board_object", "genesis", CID, CID),
        _long("board_object", "cid", CID, CID),
        _long("board_object", "parent", CID, CID),
        _long("board_object", "body", 1, 1048576),
        sa.UniqueConstraint("cid", name="board_object_cid_unique"),
    )
    op.create_index("board_object_genesis_kind_parent", "board_object", ["genesis", "kind", "parent"])
    op.create_table(
        "board_tip",
        _bytes("genesis"),
        _bytes("head"),
        _integer("epoch"),
        sa.PrimaryKeyConstraint("genesis", name="board_tip_key"),
        _long("board_tip", "genesis", CID, CID),
        _long("board_tip", "head", CID, CID),
        _least("board_tip", "epoch", 0),
    )


def _bytes(name: str, *, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), autoincrement=False, nullable=False)


def _long(table: str, column: str, least: int, most: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=op.f(f"{table}_{column}_length"))


def _least(table: str, column: str, least: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} >= {least}", name=op.f(f"{table}_{column}_least"))


def _refuse_changes_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' only grows', ERRCODE = 'restrict_violation';"
        " END $$"
    )
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def _refuse_changes_sqlite() -> None:
    """Refuse replacement too: SQLite's INSERT OR REPLACE deletes without firing the trigger for it."""
    for table, key in _APPEND_ONLY.items():
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        exists = f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608  # our own names, above
        for change, condition in (("UPDATE", ""), ("DELETE", ""), ("INSERT", exists)):
            op.execute(
                f"CREATE TRIGGER {table}_only_grows_{change.lower()} BEFORE {change} ON {table} {condition}"
                f" BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )
