"""Payment channels as an instance keeps them: opened by the treasury's word, drawn on by vouchers (rules F3, L5).

Credit by a voucher counts as a deposit's does: once custodians have anchored the entry that brought it. A host that
could take that entry back, and hand the same voucher in again, would otherwise make it worth more than once.
"""

from __future__ import annotations

from enclave.allowance import Allowance
from enclave.asked import Asked
from enclave.durable_books import DurableBooks
from vault.booking import booking_of
from vault.channel import Channel, Redeemable, Voucher
from vault.entry import Entry
from vault.errors import RequestConflict
from vault.unpaid import Debt, channel_entry, debt_of, redeemable, require_promised, voucher_entry
from vault.voucher_rules import VoucherRules


class Channels:
    """The channels of one ledger. All calls come from one event loop."""

    def __init__(self, kept: DurableBooks, allowance: Allowance) -> None:
        self._kept = kept
        self._allowance = allowance

    def require_promised(self, asked: Asked, account: str, *, held: int, at: int) -> None:
        """Raise `VoucherDue` or `CreditExhausted` unless an answer is paid for, or may stay unpaid for now."""
        racing, price = self._allowance.on_their_way(asked.license.licensee), asked.permit.price_max
        require_promised(self._kept.books, account, asked.policy.vouchers, price=price, held=held, racing=racing, at=at)

    def debt(self, account: str) -> Debt | None:
        """Return what an account owes by its channel."""
        return debt_of(self._kept.books, account)

    def redeemable(self) -> list[Redeemable]:
        """Return the last voucher of every channel."""
        return [*redeemable(self._kept.books)]

    async def open(self, channel: Channel, rules: VoucherRules, *, at: int) -> None:
        """Book a verified channel, and wait until it is durable. Raises what `channel_entry` raises."""
        await self._kept.ready()
        try:
            entry = channel_entry(self._kept.books, channel, rules, at=at)
        except RequestConflict:
            await self._kept.committed(self._kept.books.last_sequence)  # or the first one might yet not count
            raise
        await self._booked(entry)

    async def pay(self, account: str, voucher: Voucher, rules: VoucherRules | None, *, at: int) -> None:
        """Book a voucher, and wait until it is durable. Raises what `voucher_entry` raises."""
        await self._kept.ready()
        entry = voucher_entry(self._kept.books, account, voucher, rules, at=at)
        if entry is None:
            await self._kept.committed(self._kept.books.last_sequence)
            return
        await self._booked(entry)

    async def _booked(self, entry: Entry) -> None:
        self._allowance.require_entry()
        self._kept.book(booking_of(entry), entry.encoded())
        await self._kept.committed(entry.sequence)
