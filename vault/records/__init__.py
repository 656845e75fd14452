"""What must outlive a restart: journal, custody, catalog and board, in SQLite or PostgreSQL.

No record holds plaintext or a key. Nothing is imported here, so that `vault.records.model` stays light; the stores and
`vault.records.database` load SQLModel where they are used.
"""
