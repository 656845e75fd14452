"""The schema's revisions, applied by `vault.records.migrate` whenever records are opened."""
