"""A query as it is metered: what was asked under which permit, and what was booked for it."""

from __future__ import annotations

from dataclasses import dataclass

from enclave.found import Found
from vault.license import License
from vault.policy import Permit, Policy
from vault.session import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks what under which permit: everything about a query but its answer."""

    license: License
    delegation: bytes
    policy: Policy
    permit: Permit
    query: Query
    spend_cap: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What was booked: the passages that may leave, and their receipt."""

    passages: tuple[Found, ...]
    receipt: bytes
    is_partial: bool
