"""A quote: what an answer would cost at most and what is left, from numbers alone. Nothing is searched (rule O3)."""

from __future__ import annotations

from enclave.metering import Meter
from vault.license import License
from vault.limits import Coverage
from vault.policy import Policy
from vault.question import Quote
from vault.royalty import licensee_account


def quoted(
    meter: Meter,
    policy: Policy,
    license: License,
    delegation: bytes,
    covered: Coverage,
    *,
    k: int,
    spend_cap: int,
    at: int,
) -> Quote:
    """Return the quote for an answer of up to `k` passages; raise `AccessDenied` where the policy admits none.

    Args:
        delegation: the digest that the ledger knows the session key's delegation by.
        spend_cap: of what the delegation may have spent in all.
    """
    before, racing = meter.answers(license.licensee)
    permit = policy.admit(license, k=k, at=at, before=before, racing=racing)
    books = meter.books
    left = books.quota_left(permit.holder, covered.whole)
    return Quote(
        price_max=permit.price_max,
        price_min=min(policy.price_of(0, before=count) for count in (before, before + racing)),
        passages_max=min(permit.k, left),
        passages_left=left,
        credit=books.balance(licensee_account(permit.licensee, policy.currency)),
        spend_left=max(0, spend_cap - books.spent(delegation)),
    )
