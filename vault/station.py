"""What every part of one custodian works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.model import Blobs
from vault.charter import Charter
from vault.custodian import CustodianKeys, CustodyStore
from vault.served import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One custodian's keys, memory and clock, and the DAOs that it serves."""

    keys: CustodianKeys
    store: CustodyStore
    blobs: Blobs
    histories: Served
    clock: Callable[[], int]

    def index(self, charter: Charter) -> int:
        """Return this custodian's place in a charter, which is also its shares'."""
        return [custodian.key for custodian in charter.custodians].index(self.keys.signing.public)
