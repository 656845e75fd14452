"""What an answer costs: by how many answers its licensee has had before, a free quota first, then tiers by volume.

Answers are counted by the licensee's receipts in the DAO's ledger, whose numbers have no gaps and never go back, under
whichever of its policies. So whoever holds receipt and policy can work out the price without anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from vault.codec import Record, record
from vault.errors import MalformedObject

TIERS_MAX: Final = 16
PRICE_MAX: Final = 10**12


@record
class Tier(Record):
    """Prices that hold once a licensee has had so many answers."""

    after: int
    price_per_query: int  # micro-units
    price_per_passage: int  # micro-units, of each passage returned


def check_tiers(tiers: Sequence[Tier], free_queries: int) -> None:
    """Refuse tiers out of order, and those that a licensee is past before it pays at all."""
    begins = [tier.after for tier in tiers]
    if begins != sorted(set(begins)):
        raise MalformedObject("price tiers begin after ever more answers, each after another number")
    if begins and begins[0] <= free_queries:
        raise MalformedObject(f"the first price tier begins after more than the {free_queries} free answers, and 0")


def tier_at(base: Tier, tiers: Sequence[Tier], before: int) -> Tier:
    """Return the prices of a licensee that has had so many answers; `base` is of one before the first tier."""
    found = base
    for tier in tiers:
        if tier.after > before:
            break
        found = tier
    return found
