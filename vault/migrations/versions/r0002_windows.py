"""Windows and hand-backs; and a state key's share may be replaced as long as the ledger is empty (rules F3, L1)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_UNUSED = "EXISTS (SELECT 1 FROM custody_lease WHERE ledger = OLD.ledger AND anchor_sequence = 0)"


def upgrade() -> None:
    """Create the tables, then relax what refuses changes to the shares."""
    op.create_table(
        "custody_window",
        sa.Column("ledger", sa.LargeBinary(), nullable=False),
        sa.Column("instance", sa.LargeBinary(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("passages", sa.BigInteger(), nullable=False),
        sa.Column("spend", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", "instance", name="custody_window_key"),
        _check("custody_window", "ledger_length", "length(ledger) BETWEEN 32 AND 32"),
        _check("custody_window", "instance_length", "length(instance) BETWEEN 32 AND 32"),
        _check("custody_window", "start_least", "start >= 0"),
        _check("custody_window", "entries_least", "entries >= 1"),
        _check("custody_window", "passages_least", "passages >= 1"),
        _check("custody_window", "spend_least", "spend >= 1"),
    )
    op.create_table(
        "custody_hand_back",
        sa.Column("ledger", sa.LargeBinary(), nullable=False),
        sa.Column("hand_back", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ledger", name="custody_hand_back_key"),
        _check("custody_hand_back", "ledger_length", "length(ledger) BETWEEN 32 AND 32"),
        _check("custody_hand_back", "hand_back_length", "length(hand_back) BETWEEN 1 AND 1024"),
    )
    if op.get_bind().dialect.name == "postgresql":
        _refuse_used_postgresql()
    else:
        _refuse_used_sqlite()


def _check(table: str, name: str, condition: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=op.f(f"{table}_{name}"))


def _refuse_used_sqlite() -> None:
    op.execute("DROP TRIGGER custody_state_share_only_grows_update")
    op.execute(
        "CREATE TRIGGER custody_state_share_only_grows_update BEFORE UPDATE ON custody_state_share"
        f" WHEN NOT {_UNUSED} OR NEW.ledger <> OLD.ledger"
        " BEGIN SELECT RAISE(ABORT, 'custody_state_share only grows'); END"
    )


def _refuse_used_postgresql() -> None:
    op.execute("DROP TRIGGER custody_state_share_only_grows ON custody_state_share")
    op.execute(
        "CREATE TRIGGER custody_state_share_only_grows BEFORE DELETE OR TRUNCATE ON custody_state_share"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE FUNCTION refuse_change_of_used() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NOT {_UNUSED} OR NEW.ledger <> OLD.ledger THEN"
        " RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' only grows', ERRCODE = 'restrict_violation';"
        " END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER custody_state_share_only_grows_update BEFORE UPDATE ON custody_state_share"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change_of_used()"
    )
