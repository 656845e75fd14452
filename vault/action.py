"""What a proposal does when it is carried, and what guardians may do: adopt, replace the charter, or take away."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.codec import Length, Record, record
from vault.errors import MalformedObject

POLICIES_MAX = 64
LINEAGE_BYTES = 32
TOMBSTONE_BYTES = 32  # the digest in its CID


class Scope(StrEnum):
    """What a revocation takes away."""

    DAO = "dao"
    DATASET = "dataset"  # subject: the lineage, so all versions of it; and its tombstone's digest, if it was deleted
    POLICY = "policy"  # subject: the policy's CID
    LICENSEE = "licensee"  # subject: the licensee's address
    MEASUREMENT = "measurement"  # subject: the measurement


@record
class Action(Record):
    """One of: adopt a policy (dropping others), put another charter in place, or revoke within a scope."""

    adopts: Cid | None
    drops: Annotated[tuple[Cid, ...], Length(0, POLICIES_MAX)]
    charter: Cid | None
    revokes: Scope | None
    subject: Annotated[bytes, Length(0, 64)]

    def check(self) -> None:
        """Refuse an action that does nothing or two things at once."""
        if sum(part is not None for part in (self.adopts, self.charter, self.revokes)) != 1:
            raise MalformedObject("an action adopts a policy, changes the charter, or revokes: one of them")
        if self.adopts is None and self.drops:
            raise MalformedObject("only the adoption of a policy drops others; a revocation drops by its scope")
        if self.revokes is None and self.subject:
            raise MalformedObject("only a revocation has a subject")
        if self.revokes is not None and not is_subject(self.revokes, self.subject):
            raise MalformedObject("a revocation names one subject of its scope's form")

    def words(self) -> str:
        """Return the action as a person says it."""
        if self.adopts is not None:
            return f"adopt policy {self.adopts}" + "".join(f", drop {cid}" for cid in self.drops)
        if self.charter is not None:
            return f"change the charter to {self.charter}"
        return revocation_words(self.revokes, self.subject)


def adoption(policy: Cid, drops: tuple[Cid, ...] = ()) -> Action:
    """Return the action of adopting a policy in place of others."""
    return Action(adopts=policy, drops=drops, charter=None, revokes=None, subject=b"")


def charter_change(charter: Cid) -> Action:
    """Return the action of putting another charter in place."""
    return Action(adopts=None, drops=(), charter=charter, revokes=None, subject=b"")


def revocation(scope: Scope, subject: bytes) -> Action:
    """Return the action of taking something away."""
    return Action(adopts=None, drops=(), charter=None, revokes=scope, subject=subject)


def is_subject(scope: Scope, subject: bytes) -> bool:
    """Say whether `subject` could name something in `scope`; a revocation that names nothing would revoke nothing."""
    match scope:
        case Scope.DAO:
            return not subject
        case Scope.POLICY:
            return _is_cid(subject) and Cid(subject).codec == DAG_CBOR
        case Scope.DATASET:
            return len(subject) in (LINEAGE_BYTES, LINEAGE_BYTES + TOMBSTONE_BYTES)
        case Scope.LICENSEE:
            return len(subject) == 20
        case Scope.MEASUREMENT:
            return 32 <= len(subject) <= 64


def _is_cid(subject: bytes) -> bool:
    try:
        Cid(subject)
    except InvalidCid:
        return False
    return True


def subject_text(subject: bytes) -> str:
    """Return a revocation's subject as a CID where it is one, otherwise in hex."""
    return str(Cid(subject)) if _is_cid(subject) else subject.hex()


def named_by(scope: Scope, subject: bytes) -> bytes:
    """Return what a revocation takes away: its subject, without the tombstone that a deleted dataset's refers to."""
    return subject[:LINEAGE_BYTES] if scope is Scope.DATASET else subject


def tombstone_in(scope: Scope, subject: bytes) -> Cid | None:
    """Return the tombstone that a revocation refers to; None where it refers to none."""
    digest = subject[LINEAGE_BYTES:] if scope is Scope.DATASET else b""
    return Cid.from_digest(DAG_CBOR, digest) if digest else None


def revocation_words(scope: Scope | None, subject: bytes) -> str:
    """Return a revocation as a person says it."""
    tombstone = tombstone_in(scope, subject) if scope is not None else None
    if scope is None or tombstone is None:
        return f"revoke {scope} {subject_text(subject)}".rstrip()
    return f"revoke {scope} {named_by(scope, subject).hex()}, deleted by its owner: tombstone {tombstone}"
