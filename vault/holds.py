"""Credit and spend caps, beside what is held for answers on their way (decision 022)."""

from __future__ import annotations

from typing import NamedTuple

from vault.errors import CreditExhausted
from vault.ledger import Books


class Held(NamedTuple):
    """What other answers on their way may still be charged."""

    credit: int = 0  # to the same account
    spend: int = 0  # under the same delegation


NOTHING_HELD = Held()


def require_credit(
    books: Books, account: str, delegation: bytes, *, price: int, spend_cap: int, held: Held = NOTHING_HELD
) -> None:
    """Raise `CreditExhausted` unless credit and spend cap both cover the price, beside what is held for others."""
    also = f", {held.credit} of it held for answers on their way" if held.credit else ""
    credit = books.balance(account)
    if credit - held.credit < price:
        raise CreditExhausted(
            f"credit is {credit} micro-units{also} and the price is {price}; have the treasury add credit"
        )
    left = spend_cap - books.spent(delegation) - held.spend
    if left < price:
        raise CreditExhausted(
            f"the spend cap leaves {max(left, 0)} micro-units and the price is {price}; delegate anew"
        )
