"""Royalty epochs as an instance keeps them: closed in time, settled from the rows, told to each payee (rules R2, L4).

Closing books one entry and computes nothing. What an epoch came to is added up when somebody asks, from its rows read
again, in a thread; the last few are kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from enclave.allowance import Allowance
from enclave.durable_books import DurableBooks
from enclave.grounds import Grounds
from vault.booking import booking_of
from vault.earnings import EPOCHS_KEPT, ClosedEpoch, close_entry
from vault.entry import Entry
from vault.errors import AccessDenied, NotYet
from vault.lease import Terms
from vault.ledger_seal import LedgerSeal
from vault.machine import MachineKey
from vault.settling import Settled, settled
from vault.statement import Proven, Vouched, address_of, passage_key

SETTLED_KEPT: Final = 2  # a large one is tens of megabytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """A statement with its proofs, and the key that tells its account's holder which passages it means."""

    proven: Proven
    passage_key: bytes = field(repr=False)


class Royalties:
    """The royalty epochs of one ledger. All calls come from one event loop."""

    def __init__(
        self, kept: DurableBooks, allowance: Allowance, seal: LedgerSeal, key: MachineKey, *, epoch_s: int
    ) -> None:
        self._kept = kept
        self._allowance = allowance
        self._seal = seal
        self._key = key
        self._epoch_s = epoch_s
        self._turn = asyncio.Lock()
        self._settled: OrderedDict[int, Settled] = OrderedDict()
        self._messages: OrderedDict[tuple[int, bytes], bytes] = OrderedDict()  # by epoch and evidence

    async def close_due(self, *, at: int) -> None:
        """Close the epoch that is over at `at` (UTC seconds), as far as the window has room for an entry."""
        await self._kept.ready()
        earnings = self._kept.earnings
        if earnings.is_due(at, period_s=self._epoch_s) and self._allowance.has_entry:
            entry = close_entry(self._kept.books, earnings.number, at=at)
            self._kept.book(booking_of(entry), entry.encoded())
            await self._kept.committed(entry.sequence)

    async def handed(self, epoch: int, address: bytes, grounds: Grounds, *, at: int) -> list[Handed]:
        """Return an address's statements of an epoch, one for each of its accounts.

        Args:
            epoch: its number; 0 for the last one that closed.
        Raises: `NotYet` where it has not closed, `AccessDenied` for an address without an account, or an epoch so old
            that no statements are made of it any more.
        """
        await self.close_due(at=at)
        closed = self._closed(epoch)
        own = sorted(account for account in closed.accounts if address_of(account) == address)
        if not own:
            raise AccessDenied(f"this wallet has no account in epoch {closed.number}; only payees have statements")
        async with self._turn:
            made = await self._made(closed, grounds.terms)
        message = self._message(made, grounds.terms, at=at)
        secret = self._seal.epoch_secret(closed.number)
        return [
            Handed(
                proven=Proven(
                    message=message,
                    statement=made.statements[account],
                    sum_proof=made.sum_proofs[account],
                    claim_proof=made.claim_proofs[account],
                ),
                passage_key=passage_key(secret, account),
            )
            for account in own
        ]

    def entries(self, first: int, last: int) -> Iterator[Entry]:
        """Yield durable ledger entries once more, from their rows. Raises `LedgerTampered`, `RecordsUnavailable`."""
        return self._kept.entries(first, last)

    def _closed(self, epoch: int) -> ClosedEpoch:
        earnings = self._kept.earnings
        last = earnings.number - 1
        if not last or epoch > last:
            raise NotYet(f"royalty epoch {epoch or 1} has not closed yet; epochs last {self._epoch_s} s")
        closed = earnings.closed.get(epoch or last)
        if closed is None:
            raise AccessDenied(f"statements are made of the last {EPOCHS_KEPT} epochs only; the last one is {last}")
        return closed

    async def _made(self, closed: ClosedEpoch, terms: Terms) -> Settled:
        if closed.number not in self._settled:
            await self._kept.committed(closed.last)
            log_root = self._kept.log.root(closed.last)
            made = await asyncio.to_thread(
                lambda: settled(
                    self.entries(closed.first, closed.last),
                    closed,
                    genesis=terms.genesis,
                    ledger=terms.ledger,
                    secret=self._seal.epoch_secret(closed.number),
                    log_root=log_root,
                )
            )
            self._settled[closed.number] = made
            while len(self._settled) > SETTLED_KEPT:
                self._settled.popitem(last=False)
        return self._settled[closed.number]

    def _message(self, made: Settled, terms: Terms, *, at: int) -> bytes:
        """Return the signed settlement; while the leases stay the same, the same bytes."""
        key = made.settlement.epoch, terms.evidence
        if key not in self._messages:
            vouched = Vouched(
                settlement=made.settlement,
                instance=self._key.public,
                evidence=terms.evidence,
                head=terms.head,
                at=at,
            )
            self._messages[key] = vouched.signed(self._key)
            while len(self._messages) > EPOCHS_KEPT:
                self._messages.popitem(last=False)
        return self._messages[key]
