"""What of a policy depends on the moment: whether it could do any good if members adopted it now.

`Policy.check` refuses what contradicts itself. Here is judged what needs the charter, the time, what was revoked, and
how large the datasets are. It is asked when something is proposed, so that nobody votes on what could never serve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from storage.cid import Cid
from vault.action import Scope
from vault.charter import Window
from vault.errors import InvalidDecision
from vault.limits import share_of
from vault.policy import Policy


def require_adoptable(
    policy: Policy,
    *,
    genesis: Cid,
    window: Window,
    takes_effect_at: int,
    at: int,
    production: bool,
    revoked: Callable[[Scope, bytes], bool],
    corpora: Mapping[bytes, int] | None = None,
) -> None:
    """Raise `InvalidDecision` with one sentence for the first reason why the policy could never admit anyone.

    Args:
        genesis: of the DAO that is to adopt it.
        window: the charter's.
        takes_effect_at: the earliest time at which a vote that begins now could be carried out (UTC seconds).
        at: now (UTC seconds).
        production: whether the DAO's custodians run in production.
        revoked: says whether a revocation now in the head would end it.
        corpora: the number of passages of each dataset, by lineage, as far as it is known.
    """
    if policy.genesis != genesis:
        raise InvalidDecision("the policy was written for another DAO")
    _require_in_time(policy, takes_effect_at=takes_effect_at, at=at)
    if production and policy.accepts_simulated():
        raise InvalidDecision("the policy accepts a simulated TEE, which protects nothing; production refuses it")
    _require_unrevoked(policy, revoked)
    _require_within(policy, window)
    _require_seeable(policy, corpora or {})


def _require_in_time(policy: Policy, *, takes_effect_at: int, at: int) -> None:
    if policy.expires_at <= at:
        raise InvalidDecision("the policy has expired already")
    if policy.expires_at <= takes_effect_at:
        raise InvalidDecision("the policy expires before a vote on it could take effect; have it hold longer")


def _require_unrevoked(policy: Policy, revoked: Callable[[Scope, bytes], bool]) -> None:
    if revoked(Scope.POLICY, policy.cid().binary):
        raise InvalidDecision("this very policy was revoked; propose one that differs")
    for dataset in policy.datasets:
        if revoked(Scope.DATASET, dataset.lineage(policy.genesis)):
            raise InvalidDecision(f"dataset {dataset.dataset.hex()} of 0x{dataset.owner.hex()} was revoked")
    measurements = [measurement for tee in policy.tees for measurement in tee.measurements()]
    for measurement in measurements:
        if revoked(Scope.MEASUREMENT, measurement):
            raise InvalidDecision(f"measurement {measurement.hex()} was revoked; name another program")
    listed = policy.licensees.addresses
    if listed and all(revoked(Scope.LICENSEE, address) for address in listed):
        raise InvalidDecision("every licensee that the policy lists was revoked")


def _require_within(policy: Policy, window: Window) -> None:
    least, price = policy.output.owners_min, policy.price_ever(policy.output.owners_min)
    if price > window.spend:
        raise InvalidDecision(f"an answer costs {price} or more; the charter's window lets {window.spend} through")
    if least > window.passages:
        raise InvalidDecision(f"an answer holds {least} passages or more; the charter's window lets fewer through")


def _require_seeable(policy: Policy, corpora: Mapping[bytes, int]) -> None:
    """Refuse shares that come to no passage at all, where it is known how large the datasets are."""
    known = {dataset: corpora.get(dataset.lineage(policy.genesis)) for dataset in policy.datasets}
    for dataset, size in known.items():
        if size is not None and share_of(size, policy.corpus_bps) == 0:
            raise InvalidDecision(
                f"the share of dataset {dataset.dataset.hex()} that may be seen comes to 0 of its {size} passages"
            )
    for owner in policy.owners():
        owned = [size for dataset, size in known.items() if dataset.owner == owner]
        total = sum(size for size in owned if size is not None)
        if None not in owned and share_of(total, policy.owner_bps) == 0:
            raise InvalidDecision(
                f"the share of owner 0x{owner.hex()} that may be seen comes to 0 of its {total} passages"
            )
