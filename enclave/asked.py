"""A query as it is metered: what was asked under which permit, and what was booked for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from storage.cid import Cid
from vault.envelope import passage_text
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


@dataclass(slots=True, kw_only=True)  # one is made with every passage, and a frozen one takes three times as long
class Outgoing:
    """A passage as it leaves, with what opens and proves its commitment."""

    manifest: Cid
    index: int
    score: float
    body: bytes = field(repr=False)
    salt: bytes
    commitment: bytes  # to the owner's own bytes
    path: tuple[bytes, ...]
    owner: bytes
    redacted: bytes | None  # the commitment to `body` where that is not what the owner committed to

    @property
    def text(self) -> str:
        """Return the text as it leaves."""
        return passage_text(self.body)


@dataclass(slots=True, kw_only=True)
class Metered:
    """What was booked: the passages that may leave, and their receipt."""

    passages: tuple[Outgoing, ...]
    receipt: bytes
    is_partial: bool
