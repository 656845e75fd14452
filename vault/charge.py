"""What one answer is charged: the transfers of its entry, worked out once for all that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from vault.policy import Policy
from vault.record_encoding import Written, written_list
from vault.royalty import Transfer, licensee_account, shares_of

CHARGES_KEPT: Final = 4096  # one is two kilobytes


class Charge(NamedTuple):
    """The transfers of one answer, and their canonical bytes."""

    transfers: tuple[Transfer, ...]
    written: Written


def charge(
    licensee: bytes, policy: Policy, owners: Sequence[bytes], weights: Sequence[int], *, before: int = 0
) -> tuple[Transfer, ...]:
    """Return the transfers of one answer, which add up to the policy's price for it; none where that is zero.

    Args:
        owners: the owner of each passage that leaves, best first.
        weights: what each of those passages counts in the split.
        before: answers that the licensee has had.
    """
    return charged(licensee, policy, owners, weights, price=policy.price_of(len(owners), before=before)).transfers


def charged(licensee: bytes, policy: Policy, owners: Sequence[bytes], weights: Sequence[int], *, price: int) -> Charge:
    """Return the transfers of one answer at this price, and as they are written into the entry."""
    due: tuple[bytes | int, ...] = (licensee, policy.cid().binary, price, *owners, *weights)
    known = _KNOWN.get(due)
    if known is None:
        if len(_KNOWN) >= CHARGES_KEPT:
            del _KNOWN[next(iter(_KNOWN))]
        known = _KNOWN[due] = _charge(licensee, policy, owners, weights, price)
    return known


def _charge(licensee: bytes, policy: Policy, owners: Sequence[bytes], weights: Sequence[int], price: int) -> Charge:
    debit = licensee_account(licensee, policy.currency)
    shares = shares_of(price, policy, owners, weights) if price else []
    transfers = tuple(Transfer(debit=debit, credit=share.account, amount=share.amount) for share in shares)
    return Charge(transfers, written_list(transfers))


_KNOWN: dict[tuple[bytes | int, ...], Charge] = {}  # by licensee, policy, price, owners, weights; the oldest make room
