"""Whether a policy takes vouchers, where they can be redeemed, and how much of an account may be unpaid (rule L5)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from vault.codec import Address, Record, record
from vault.errors import MalformedObject

if TYPE_CHECKING:
    from vault.policy import Policy

UNPAID_MAX: Final = 10**12  # micro-units
UNPAID_QUERIES_MAX: Final = 10**6
WITHDRAW_DELAY_LEAST: Final = 900  # seconds; the bounds of x402's `x402BatchSettlement` contract
WITHDRAW_DELAY_MOST: Final = 30 * 24 * 3600
SETTLEMENT_CONTRACT: Final = bytes.fromhex("4020074e9df2ce1dee5a9c1b5c3f541d02a10003")  # the same on every chain


@record
class VoucherRules(Record):
    """The terms of payment channels under a policy."""

    unpaid_max: int  # micro-units that an account may have been charged and no voucher covers
    unpaid_queries_max: int  # answers since the last voucher, those on their way among them
    chain_id: int
    contract: Address  # where channels are held in escrow and vouchers are claimed
    token: Address  # what the policy's currency is on that chain
    withdraw_delay_least: int  # seconds that a payer's own withdrawal takes, at least

    def check(self) -> None:
        """Refuse terms under which nothing could be unpaid, or nobody redeem."""
        if not 1 <= self.unpaid_max <= UNPAID_MAX:
            raise MalformedObject(f"what may be unpaid is 1 … {UNPAID_MAX} micro-units")
        if not 1 <= self.unpaid_queries_max <= UNPAID_QUERIES_MAX:
            raise MalformedObject(f"answers that may be unpaid are 1 … {UNPAID_QUERIES_MAX}")
        if not WITHDRAW_DELAY_LEAST <= self.withdraw_delay_least <= WITHDRAW_DELAY_MOST:
            raise MalformedObject(f"a withdrawal takes {WITHDRAW_DELAY_LEAST} … {WITHDRAW_DELAY_MOST} s")
        if self.chain_id < 1:
            raise MalformedObject("a chain's id is 1 or more")
        if not any(self.contract) or not any(self.token):
            raise MalformedObject("contract and token are addresses, and not the zero address")


def rules_of(policies: Iterable[Policy], treasury: bytes, currency: str) -> VoucherRules | None:
    """Return the terms that a treasury's channels in a currency are opened on: its policies' that lend the most.

    An account belongs to no single policy, so all who look at a channel have to choose among these alike.
    """
    own = [(one.vouchers, one.cid().binary) for one in policies if (one.treasury, one.currency) == (treasury, currency)]
    known = [(rules, name) for rules, name in own if rules is not None]
    return max(known, key=lambda one: (one[0].unpaid_max, one[1]))[0] if known else None
