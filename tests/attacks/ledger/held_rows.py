"""A ledger whose rows a test rearranges as a host could."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from enclave.metering import Meter, claimed_anchor
from tests.builders import seeded, wallet
from tests.enclaves import world
from vault.keys import SecretKey
from vault.lease import ledger_id
from vault.machine import MachineKey
from vault.records.model import JournalRow

WORLD = world()
LEDGER = ledger_id(WORLD.genesis)
STATE_KEY = SecretKey(seeded("state key"))
ACCOUNT = "licensee/0x" + wallet("licensee").address.hex() + "/USDC"


class Rows:
    """A host's rows, as a list that a test rearranges."""

    def __init__(self, rows: list[JournalRow]) -> None:
        self.held = rows

    def append(self, rows: Sequence[JournalRow]) -> None:
        self.held += rows

    def rows(self, *, after: int = 0) -> Iterator[JournalRow]:
        return iter([row for row in self.held if row.sequence > after])

    def last(self) -> JournalRow | None:
        return self.held[-1] if self.held else None


def meter(rows: Rows, key: SecretKey = STATE_KEY, ledger: bytes = LEDGER) -> Meter:
    return Meter(rows, key, ledger, MachineKey(seeded("receipt key")), claimed_anchor(rows))
