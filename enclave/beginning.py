"""How an instance begins: leases and keys from the custodians, and books that q of them remember (rules F3, L1)."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from enclave.combining import Secrets
from enclave.gathering import CustodyService
from enclave.grounds import Grounds
from enclave.keys import InstanceKeys
from enclave.metering import Journal, Meter, claimed_anchor
from enclave.opening import Opening
from enclave.state_key import deposit_state_key
from storage.cid import Cid
from vault.errors import ForkedHistory, LedgerTampered, StaleState
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Leases without a window yet, the keys that came with them, and the books as verified with these."""

    grounds: Grounds
    keys: Secrets
    meter: Meter


class Beginning:
    """Asks for one instance's leases and keys, and reads its books."""

    def __init__(
        self,
        opening: Opening,
        keys: InstanceKeys,
        journal: Journal,
        custodians: Sequence[CustodyService],
        *,
        genesis: Cid,
        ledger: bytes,
        epoch_s: int,
    ) -> None:
        self._opening = opening
        self._keys = keys
        self._journal = journal
        self._custodians = custodians
        self._genesis = genesis
        self._ledger = ledger
        self._epoch_s = epoch_s

    async def begun(self, meter: Meter | None) -> Begun:
        """Return what serving begins with; `meter` keeps the books that this run has read before, if any."""
        if meter is not None and meter.anchor == EMPTY_ANCHOR:
            await meter.close()
            meter = None  # it holds nothing, and custodians may have taken another key meanwhile
        if meter is not None:
            await meter.resume()
        anchor = meter.anchor if meter is not None else await asyncio.to_thread(claimed_anchor, self._journal)
        grounds, keys = await asyncio.to_thread(self._opening.open, anchor)
        if meter is None:
            meter = await self._read_books(grounds, keys.state_key, anchor)
        elif keys.state_key is not None and not meter.is_sealed_with(keys.state_key):
            raise ForkedHistory("the custodians hold another state key than this ledger is kept with; restore theirs")
        grounds.require_branch(meter.has_come_by)
        return Begun(grounds=grounds, keys=keys, meter=meter)

    async def released(self, meter: Meter) -> tuple[Grounds, Secrets]:
        """Return leases and keys for what is to be opened while books are already kept. Raises `StaleState`."""
        grounds, keys = await asyncio.to_thread(self._opening.open, meter.anchor)
        grounds.require_branch(meter.has_come_by)
        if not meter.is_sealed_with(keys.state_key):
            raise StaleState("the custodians gave another state key than the books are kept with")
        return grounds, keys

    async def _read_books(self, grounds: Grounds, state_key: SecretKey | None, anchor: Anchor) -> Meter:
        if state_key is None:
            state_key = await asyncio.to_thread(self._first_state_key, grounds)
        return await asyncio.to_thread(
            Meter, self._journal, state_key, self._ledger, self._keys.receipt, anchor, epoch_s=self._epoch_s
        )

    def _first_state_key(self, grounds: Grounds) -> SecretKey:
        if self._journal.last() is not None:
            raise LedgerTampered(
                "the database holds ledger rows, but no custodian holds this ledger's state key; restore theirs"
            )
        key = SecretKey(secrets.token_bytes(32))
        charter = grounds.history.charter
        deposit_state_key(key, self._keys.receipt, charter, self._genesis, self._ledger, self._custodians)
        return key
