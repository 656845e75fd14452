"""Heads: the hash chain of what a DAO decided. Each names its cause and the head before it."""

from __future__ import annotations

from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.action import POLICIES_MAX, Scope, named_by
from vault.codec import Digest, Length, Record, record
from vault.errors import MalformedObject, Revoked

REVOCATIONS_MAX = 4000  # a head with all of them still fits a block
EPOCHS_MAX = 10_000
EPOCHS_OF_ACTS = 9_000  # the last thousand are for decisions: guardians cannot use up what could replace them
EPOCHS_OF_DELEGATIONS = 8_000  # and members who delegate cannot use up what guardians need


@record
class Revocation(Record):
    """Something taken away; grants older than `epoch` stay gone (rule G4)."""

    scope: Scope
    subject: Annotated[bytes, Length(0, 64)]
    epoch: int

    def takes_away(self) -> bytes:
        """Return what it names, without the tombstone of a deleted dataset."""
        return named_by(self.scope, self.subject)


@record
class Head(Record):
    """What holds after `epoch` decisions, guardians' acts and batches of delegations."""

    TYPE: ClassVar[str] = "coffer/head/v1"

    genesis: Cid
    epoch: int
    previous: Cid | None
    charter: Cid
    policies: Annotated[tuple[Cid, ...], Length(0, POLICIES_MAX)]
    revocations: Annotated[tuple[Revocation, ...], Length(0, REVOCATIONS_MAX)]  # the latest of each subject
    delegations: Digest | None  # of all that are in force
    cause: Cid | None  # `Decision`, `GuardianAct` or `DelegationBatch`; None at genesis

    def revoked_since(self, scope: Scope, subject: bytes, epoch: int) -> bool:
        """Say whether `subject`, or the whole DAO, was revoked after `epoch`."""
        return any(
            revocation.epoch > epoch
            and (revocation.scope is Scope.DAO or (revocation.scope is scope and revocation.takes_away() == subject))
            for revocation in self.revocations
        )

    def require_policy(self, policy: Cid) -> None:
        """Raise `Revoked` unless the policy stands in this head."""
        if policy not in self.policies:
            raise Revoked(f"policy {policy} is not in force at epoch {self.epoch}: the DAO revoked or replaced it")


def revoked(before: tuple[Revocation, ...], revocation: Revocation) -> tuple[Revocation, ...]:
    """Return the revocations with one more. One of the whole DAO says all that came before it says."""
    if revocation.scope is Scope.DAO:
        return (revocation,)
    kept = tuple(one for one in before if (one.scope, one.subject) != (revocation.scope, revocation.subject))
    if len(kept) == REVOCATIONS_MAX:
        raise MalformedObject(f"{REVOCATIONS_MAX} things are revoked already; revoke the whole DAO, then grant anew")
    return (*kept, revocation)
