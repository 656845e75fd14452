"""Delegated votes: a member's word that another one votes for it, as far as it does not vote itself (rule G3).

A delegation takes effect when a head of the DAO holds it, and counts for the proposals made against that head or a
later one. It is not handed on, and says nothing about a licensee's machines (`vault.license.Delegation` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import Cid
from vault.ballot import Proof, require_weight
from vault.charter import Charter
from vault.codec import Address, Length, Record, Weight, record
from vault.errors import InvalidDecision, MalformedObject
from vault.signing import PersonSigned, address_text
from vault.typed_data import Struct

BATCH_MAX = 500
CHOICES_MAX = 100  # of one member under one charter; each takes room in the chain for good


@record
class VoteDelegation(PersonSigned):
    """One member's choice of a delegate; to itself, it takes an earlier choice back."""

    TYPE: ClassVar[str] = "coffer/vote-delegation/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "VoteDelegation",
        (
            ("delegation", "bytes32"),
            ("delegator", "address"),
            ("delegate", "address"),
            ("sequence", "uint64"),
        ),
    )

    genesis: Cid
    delegator: Address
    delegate: Address
    sequence: int  # above that of every choice before

    def signer(self) -> bytes:
        """Return the delegator."""
        return self.delegator

    def message(self) -> Mapping[str, Any]:
        """Return what the delegator's wallet shows."""
        return {
            "delegation": self.unsigned_digest(),
            "delegator": self.delegator,
            "delegate": self.delegate,
            "sequence": self.sequence,
        }


@record
class ProvenDelegation(Record):
    """A delegation as it is handed in: with the delegator's weight and its proof."""

    TYPE: ClassVar[str] = "coffer/proven-delegation/v1"

    delegation: VoteDelegation
    weight: Weight
    proof: Proof

    def verify(self, charter: Charter, *, genesis: Cid) -> None:
        """Raise unless a member of this DAO signed it."""
        if self.delegation.genesis != genesis:
            raise InvalidDecision("the delegation is for another DAO")
        require_weight(charter, self.delegation.delegator, self.weight, self.proof)
        self.delegation.verify(charter.domain(genesis))


@record
class DelegationBatch(Record):
    """Delegations that take effect together; anyone may put them forward, since each says what its member wants."""

    TYPE: ClassVar[str] = "coffer/delegations/v1"

    genesis: Cid
    delegations: Annotated[tuple[ProvenDelegation, ...], Length(1, BATCH_MAX)]  # ascending by delegator, one each

    def check(self) -> None:
        """Refuse delegations out of order, or two of one member."""
        delegators = [one.delegation.delegator for one in self.delegations]
        if delegators != sorted(set(delegators)):
            raise MalformedObject("a batch holds one delegation of each member, ascending by address")


@dataclass(frozen=True, slots=True)
class Delegated:
    """Whom a member chose, with what weight, from which epoch on."""

    delegate: bytes
    weight: int
    sequence: int
    epoch: int


DelegationLog = Mapping[bytes, tuple[Delegated, ...]]
"""Every choice by delegator, in the order of epochs; who took its choice back stands with itself as its delegate.

A change of the charter takes all of them back.
"""
Delegations = Mapping[bytes, Delegated]
"""The choices in force, by delegator."""


def delegated(
    log: DelegationLog, batch: DelegationBatch, charter: Charter, *, genesis: Cid, epoch: int
) -> DelegationLog:
    """Return the log after a batch that takes effect at `epoch`, or raise what is wrong with the batch."""
    if batch.genesis != genesis:
        raise InvalidDecision("the delegations are for another DAO")
    after = dict(log)
    for one in batch.delegations:
        one.verify(charter, genesis=genesis)
        choice = one.delegation
        known = log.get(choice.delegator, ())
        if known and choice.sequence <= known[-1].sequence:
            who = address_text(choice.delegator)
            raise InvalidDecision(f"{who} delegated with sequence {known[-1].sequence} before; this one is no later")
        if len(known) == CHOICES_MAX:
            raise InvalidDecision(f"{address_text(choice.delegator)} delegated {CHOICES_MAX} times under this charter")
        weight = int.from_bytes(one.weight, "big")
        after[choice.delegator] = (*known, Delegated(choice.delegate, weight, choice.sequence, epoch))
    return after


def withdrawn(log: DelegationLog, *, epoch: int) -> DelegationLog:
    """Return the log with every choice taken back at `epoch`, and none of those made before to be had again.

    Their sequence numbers stay: a delegation that its member took back long ago would otherwise be put forward anew.
    """
    return {delegator: (Delegated(delegator, 0, choices[-1].sequence, epoch),) for delegator, choices in log.items()}


def in_force(log: DelegationLog, *, epoch: int) -> Delegations:
    """Return the choices in force in the head of `epoch`; those that were taken back are not among them."""
    chosen: dict[bytes, Delegated] = {}
    for delegator, choices in log.items():
        last = next((choice for choice in reversed(choices) if choice.epoch <= epoch), None)
        if last is not None and last.delegate != delegator:
            chosen[delegator] = last
    return chosen


def delegations_digest(log: DelegationLog) -> bytes | None:
    """Return what a head says of its delegations; None where there are none."""
    if not log:
        return None
    hasher = sha256(b"coffer/delegations-in-force/v1")
    for delegator in sorted(log):
        one = log[delegator][-1]
        hasher.update(delegator + one.delegate + one.weight.to_bytes(32, "big") + one.sequence.to_bytes(8, "big"))
    return hasher.digest()
