"""What one answer is charged: the transfers of its entry, worked out once for each licensee, policy and owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from storage.cid import Cid
from vault.policy import Policy
from vault.royalty import Transfer, licensee_account, shares_of

CHARGES_KEPT: Final = 4096  # the transfers of one are a kilobyte


def charge(licensee: bytes, policy: Policy, owners: Sequence[bytes]) -> tuple[Transfer, ...]:
    """Return the transfers of one answer, which add up to the policy's price for it; none where that is zero.

    Args:
        owners: the owner of each passage that leaves, best first.
    """
    return _transfers(_Due(licensee, policy.cid(), tuple(owners), policy))


@dataclass(frozen=True, slots=True)
class _Due:
    """What the transfers of an answer follow from: the same for many answers."""

    licensee: bytes
    cid: Cid  # of the policy
    owners: tuple[bytes, ...]
    policy: Policy = field(compare=False)


@lru_cache(maxsize=CHARGES_KEPT)
def _transfers(due: _Due) -> tuple[Transfer, ...]:
    price = due.policy.price_of(len(due.owners))
    debit = licensee_account(due.licensee, due.policy.currency)
    shares = shares_of(price, due.policy, due.owners) if price else []
    return tuple(Transfer(debit=debit, credit=share.account, amount=share.amount) for share in shares)
