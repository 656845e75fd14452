"""What a payer counts on its own side before it signs a voucher (rule L5).

It signs for what verified receipts came to, and beyond that for no more than may be unpaid: answers that were charged
and never arrived. An enclave that asks for more is refused. Vouchers of others who sign for the same channel are known
by their signature; they raise what is signed, and count as nothing that was received here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Self

from vault.channel import Voucher
from vault.codec import Digest, Record, record
from vault.errors import ExcessiveDemand, MalformedObject


@record
class Tally(Record):
    """What one payer received by a channel, and what it signed for."""

    TYPE: ClassVar[str] = "coffer/voucher-tally/v1"

    channel: Digest  # its id
    received: int  # micro-units of verified receipts that this channel had to pay for
    signed: int  # by how much vouchers of this payer raised what was signed before
    voucher: Voucher | None  # the highest known

    def check(self) -> None:
        """Refuse a voucher on another channel."""
        if self.voucher is not None and self.voucher.channel != self.channel:
            raise MalformedObject("the tally's voucher is on another channel")

    @classmethod
    def fresh(cls, channel: bytes) -> Self:
        """Return the tally of who has neither received nor signed anything."""
        return cls(channel=channel, received=0, signed=0, voucher=None)

    @property
    def amount(self) -> int:
        """Return what the highest known voucher is for."""
        return self.voucher.amount if self.voucher is not None else 0

    @property
    def unsigned(self) -> int:
        """Return what was received and not signed for yet."""
        return max(0, self.received - self.signed)

    def with_received(self, amount: int) -> Self:
        """Return the tally after receipts of so much."""
        return replace(self, received=self.received + amount)

    def with_shown(self, voucher: Voucher | None) -> Self:
        """Return the tally that knows of a verified voucher."""
        if voucher is None or voucher.amount <= self.amount:
            return self
        return replace(self, voucher=voucher)

    def with_signed(self, voucher: Voucher) -> Self:
        """Return the tally after signing a voucher."""
        return replace(self, signed=self.signed + voucher.amount - self.amount, voucher=voucher)

    def without_excess(self, due: int, *, unpaid_max: int) -> Self:
        """Return the tally after hearing that no more than `due` is to be paid: the rest was paid in advance.

        What may be unpaid stays: receipts of that much can have come since this was said.
        """
        return replace(self, received=min(self.received, self.signed + max(0, due - self.amount) + unpaid_max))

    def accepting(self, due: int) -> Self:
        """Return the tally of who takes the enclave's word for what is due, as if receipts had shown it."""
        return replace(self, received=max(self.received, self.signed + max(0, due - self.amount)))

    def payable(self, due: int, *, unpaid_max: int, is_demanded: bool) -> int:
        """Return the amount of the next voucher; what is signed for already where there is nothing to sign.

        Args:
            due: what the enclave says that a voucher has to be for.
            unpaid_max: micro-units that may be signed for without a receipt.
            is_demanded: whether it answers no more until it is paid; otherwise only what was received is paid.
        Raises: `ExcessiveDemand` where that is more than what was received and what may be unpaid.
        """
        most = self.amount + max(0, self.received + unpaid_max - self.signed)
        if due > most:
            raise ExcessiveDemand(
                f"a voucher for {due} is asked for; {self.amount} is signed for, receipts since come to "
                f"{self.unsigned}, and so at most {most} is owed"
            )
        return max(self.amount, due if is_demanded else min(due, self.amount + self.unsigned))
