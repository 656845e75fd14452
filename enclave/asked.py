"""A query as it is metered: what was asked under which permit, and what was booked for it."""

from __future__ import annotations

from dataclasses import dataclass

from enclave.found import Found
from storage.cid import Cid
from vault.license import License
from vault.limits import Coverage
from vault.policy import Permit, Policy
from vault.question import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks what under which permit: everything about a query but its answer."""

    license: License
    delegation: bytes
    policy: Policy
    permit: Permit
    coverage: Coverage
    query: Query
    spend_cap: int

    def is_asked(self, manifest: Cid) -> bool:
        """Say whether the question is asked of this dataset of the policy."""
        return not self.query.datasets or manifest in self.query.datasets


@dataclass(slots=True, kw_only=True)
class Metered:
    """What was booked: the passages that may leave, and their receipt."""

    passages: tuple[Found, ...]
    receipt: bytes
    is_partial: bool
