"""Alembic's way in: runs revisions over the connection, and in the transaction, that `vault.records.migrate` gives."""

from __future__ import annotations

from alembic import context

from vault.records.migrate import VERSION_TABLE
from vault.records.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,  # SQLite's too: a revision is applied whole or not at all
)
with context.begin_transaction():
    context.run_migrations()
