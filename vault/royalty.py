"""Who is owed what of one payment: whole micro-units, split by largest remainder, so that sums are exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from vault.charter import BASIS_POINTS
from vault.codec import Length, Record, record
from vault.policy import Policy

PAID_IN = "paid-in"


@record
class Transfer(Record):
    """One positive amount from one account to one other."""

    debit: Annotated[str, Length(1, 80)]
    credit: Annotated[str, Length(1, 80)]
    amount: int  # micro-units


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one account gets."""

    account: str
    amount: int


def largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to `weights` (not all zero); the parts add up to `total`.

    Units left over by rounding down go to the largest remainders, ties to the earlier weight.
    """
    if total < 0 or any(weight < 0 for weight in weights) or not sum(weights):
        raise ValueError("a total of at least 0 and weights of at least 0, not all 0, are needed")
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def shares_of(price: int, policy: Policy, owners: Sequence[bytes], weights: Sequence[int]) -> list[Share]:
    """Return what each account gets of `price`; the amounts add up to it and none is zero.

    Where no passage was returned, no owner has earned anything, and the owners' part is the treasury's.

    Args:
        owners: the owner of each returned passage, best first.
        weights: what each of those passages counts; see `vault.attribution`.
    """
    owners_bps = BASIS_POINTS - policy.treasury_bps - policy.operator_bps
    treasury, operator, rest = largest_remainder(price, [policy.treasury_bps, policy.operator_bps, owners_bps])
    by_owner: dict[str, int] = {}
    for owner, weight in zip(owners, weights, strict=True):
        account = owner_account(owner, policy.currency)
        by_owner[account] = by_owner.get(account, 0) + weight
    ordered = sorted(by_owner.items())
    parts = largest_remainder(rest, [weight for _, weight in ordered]) if ordered else []
    kept = treasury if ordered else treasury + rest
    amounts = {treasury_account(policy.treasury, policy.currency): kept}
    for account, amount in [
        (operator_account(policy.operator, policy.currency), operator),
        *((account, part) for (account, _), part in zip(ordered, parts, strict=True)),
    ]:
        amounts[account] = amounts.get(account, 0) + amount
    return [Share(account=account, amount=amount) for account, amount in amounts.items() if amount]


def owner_account(address: bytes, currency: str) -> str:
    """Return the account that an owner's royalties are kept in; each currency has accounts of its own."""
    return f"owner/0x{address.hex()}/{currency}"


def licensee_account(address: bytes, currency: str) -> str:
    """Return the account that a licensee's credit is kept in."""
    return f"licensee/0x{address.hex()}/{currency}"


def treasury_account(address: bytes, currency: str) -> str:
    """Return the account of a policy's treasury."""
    return f"treasury/0x{address.hex()}/{currency}"


def operator_account(address: bytes, currency: str) -> str:
    """Return the account of a policy's operator."""
    return f"operator/0x{address.hex()}/{currency}"


def paid_in(currency: str) -> str:
    """Return the account for the world outside: what licensees deposited comes from here, so it counts negative."""
    return f"{PAID_IN}/{currency}"
