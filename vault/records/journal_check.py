"""What anyone with the database can check of its ledgers without the key that opens their rows (rule L1).

The chain of MACs and all sums need the enclave's state key, so the enclave re-adds them at every start. What is left
for its host: that no row is missing, that none was shortened to nothing, that the guards against change are in place,
and that a row which custodians remember is still what they remember.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from vault.window import Anchor

LEDGERS_MAX: Final = 10_000
_ROW_BYTES_LEAST: Final = 32 + 2 + 16  # salt, count and GCM tag: what an empty entry would come to
_GUARDS: Final = {
    "sqlite": ("journal_only_grows_update", "journal_only_grows_delete", "journal_only_grows_insert"),
    "postgresql": ("journal_only_grows",),
}
_GUARDS_THERE: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'journal'",
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgrelid = 'journal'::regclass AND tgenabled IN ('O', 'A')",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRows:
    """One ledger's rows, as far as they can be judged without its key."""

    ledger: bytes
    rows: int
    entries: int
    last: Anchor  # as the rows claim
    wrong: tuple[str, ...]
    is_anchored: bool  # by the entry that was asked about


def missing_guards(connection: Connection) -> list[str]:
    """Return the triggers that should refuse changes of journal rows, and are gone or switched off."""
    dialect = connection.dialect.name
    there = set(connection.execute(text(_GUARDS_THERE[dialect])).scalars())
    return [name for name in _GUARDS[dialect] if name not in there]


def damage(connection: Connection) -> list[str]:
    """Return what SQLite says against its own file; PostgreSQL has tools of its own for that."""
    if connection.dialect.name != "sqlite":
        return []
    said = [str(line) for line in connection.execute(text("PRAGMA quick_check(5)")).scalars()]
    return [] if said == ["ok"] else said


def checked_ledgers(connection: Connection, remembered: Anchor | None = None) -> Iterator[LedgerRows]:
    """Yield every ledger of the journal.

    Args:
        remembered: an entry that custodians anchored, of one of the ledgers.
    """
    whole = text(
        "SELECT ledger, count(*), sum(entries), max(sequence),"
        " count(CASE WHEN sequence - entries <> before THEN 1 END), min(length(sealed)), count(DISTINCT mac)"
        " FROM (SELECT journal.*, coalesce(lag(sequence)"
        " OVER (PARTITION BY ledger ORDER BY sequence), 0) AS before FROM journal) AS in_order"
        " GROUP BY ledger ORDER BY ledger LIMIT :most"
    )
    mac_of = text("SELECT mac FROM journal WHERE ledger = :ledger AND sequence = :sequence")
    for ledger, rows, entries, last, gaps, shortest, macs in connection.execute(whole, {"most": LEDGERS_MAX}).all():
        wrong = []
        if gaps or entries != last:
            wrong.append(f"{rows} rows of {entries} entries, up to entry {last}: some are missing")
        if shortest < _ROW_BYTES_LEAST:
            wrong.append(f"a row of {shortest} bytes is no sealed entry")
        if macs != rows:
            wrong.append("two rows have the same MAC")
        mac = bytes(connection.execute(mac_of, {"ledger": ledger, "sequence": last}).scalar_one())
        is_anchored = False
        if remembered is not None:
            there = connection.execute(mac_of, {"ledger": ledger, "sequence": remembered.sequence}).scalar()
            is_anchored = there is not None and bytes(there) == remembered.mac
        anchor = Anchor(sequence=last, mac=mac)
        yield LedgerRows(
            ledger=bytes(ledger),
            rows=rows,
            entries=int(entries),
            last=anchor,
            wrong=tuple(wrong),
            is_anchored=is_anchored,
        )
