"""What one answer is charged: the transfers of its entry, worked out once for each licensee, policy and owners."""

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


def charge(licensee: bytes, policy: Policy, owners: Sequence[bytes]) -> tuple[Transfer, ...]:
    """Return the transfers of one answer, which add up to the policy's price for it; none where that is zero.

    Args:
        owners: the owner of each passage that leaves, best first.
    """
    return charged(licensee, policy, owners).transfers


def charged(licensee: bytes, policy: Policy, owners: Sequence[bytes]) -> Charge:
    """Return the same, and as it is written into the entry."""
    due = (licensee, policy.cid().binary, *owners)
    known = _KNOWN.get(due)
    if known is None:
        if len(_KNOWN) >= CHARGES_KEPT:
            del _KNOWN[next(iter(_KNOWN))]
        known = _KNOWN[due] = _charge(licensee, policy, owners)
    return known


def _charge(licensee: bytes, policy: Policy, owners: Sequence[bytes]) -> Charge:
    price = policy.price_of(len(owners))
    debit = licensee_account(licensee, policy.currency)
    shares = shares_of(price, policy, owners) if price else []
    transfers = tuple(Transfer(debit=debit, credit=share.account, amount=share.amount) for share in shares)
    return Charge(transfers, written_list(transfers))


_KNOWN: dict[tuple[bytes, ...], Charge] = {}  # by licensee, policy and owners; the oldest make room
