"""Proposals and ballots: what members are asked, and what each of them answered.

Rule G1: ballots carry a per-voter sequence number and the highest wins, so that two people who count the same set get
the same result whatever order it arrived in. Two different ballots of one voter with one number are decided by the
greater SHA-256 of their encodings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.charter import BASIS_POINTS, Charter
from vault.codec import Address, Digest, Label, Length, Record
from vault.errors import InvalidDecision, MalformedObject
from vault.signing import PersonSigned
from vault.typed_data import Struct

POLICIES_MAX = 64


class Scope(StrEnum):
    """What a revocation takes away."""

    DAO = "dao"
    DATASET = "dataset"  # subject: the manifest's CID
    POLICY = "policy"  # subject: the policy's CID
    LICENSEE = "licensee"  # subject: the licensee's address
    MEASUREMENT = "measurement"  # subject: the measurement


class Support(StrEnum):
    """A voter's answer."""

    AGAINST = "against"
    FOR = "for"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action(Record):
    """What a proposal does when it is carried: adopt a policy (dropping others), or revoke within a scope."""

    adopts: Cid | None
    drops: Annotated[tuple[Cid, ...], Length(0, POLICIES_MAX)]
    revokes: Scope | None
    subject: Annotated[bytes, Length(0, 64)]

    def check(self) -> None:
        """Refuse an action that does nothing or two things at once."""
        if (self.adopts is None) == (self.revokes is None):
            raise MalformedObject("an action either adopts a policy or revokes")
        if self.revokes is None and self.subject:
            raise MalformedObject("only a revocation has a subject")
        if self.revokes is not None and (self.drops or not _is_subject(self.revokes, self.subject)):
            raise MalformedObject("a revocation names one subject of its scope's form, and drops by its scope")

    def words(self) -> str:
        """Return the action as a person says it."""
        if self.adopts is not None:
            return f"adopt policy {self.adopts}" + "".join(f", drop {cid}" for cid in self.drops)
        return f"revoke {self.revokes} {subject_text(self.subject)}".rstrip()


def _is_subject(scope: Scope, subject: bytes) -> bool:
    """Say whether `subject` could name something in `scope`; a revocation that names nothing would revoke nothing."""
    match scope:
        case Scope.DAO:
            return not subject
        case Scope.DATASET | Scope.POLICY:
            return _is_cid(subject) and Cid(subject).codec == DAG_CBOR
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal(PersonSigned):
    """One action put to the vote. The proposer is part of what is signed and so of its identity."""

    TYPE: ClassVar[str] = "coffer/proposal/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Proposal",
        (("proposal", "bytes32"), ("proposer", "address"), ("action", "string"), ("closesAt", "uint64")),
    )

    genesis: Cid
    epoch: int  # of the head it was made against; no revocation in its scope since then may stand (rule G4)
    head: Cid  # that head, so that nobody can vote today on what tomorrow's revocation is meant to stop
    proposer: Address
    action: Action
    opens_at: int
    closes_at: int
    nonce: Digest

    def signer(self) -> bytes:
        """Return the proposer."""
        return self.proposer

    def message(self) -> Mapping[str, Any]:
        """Return what the proposer's wallet shows."""
        return {
            "proposal": self.unsigned_digest(),
            "proposer": self.proposer,
            "action": self.action.words(),
            "closesAt": self.closes_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot(PersonSigned):
    """One voter's answer to one proposal."""

    TYPE: ClassVar[str] = "coffer/ballot/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Ballot",
        (
            ("proposal", "bytes32"),
            ("voter", "address"),
            ("support", "string"),
            ("sequence", "uint64"),
            ("reason", "string"),
        ),
    )

    proposal: Digest  # digest of the signed proposal's CID
    voter: Address
    support: Support
    sequence: int
    reason: Label

    def signer(self) -> bytes:
        """Return the voter."""
        return self.voter

    def message(self) -> Mapping[str, Any]:
        """Return what the voter's wallet shows: every field, so nothing is signed unseen."""
        return {
            "proposal": self.proposal,
            "voter": self.voter,
            "support": self.support.value,
            "sequence": self.sequence,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Weights by answer, and what the charter asks of them."""

    weight_for: int
    weight_against: int
    weight_abstain: int
    total: int
    quorum_bps: int
    threshold_bps: int

    def has_quorum(self) -> bool:
        """Say whether enough weight was cast, of the total."""
        cast = self.weight_for + self.weight_against + self.weight_abstain
        return cast * BASIS_POINTS >= self.quorum_bps * self.total

    def is_carried(self) -> bool:
        """Say whether quorum and threshold, both of the total weight, are met and more are for than against."""
        return (
            self.has_quorum()
            and self.weight_for * BASIS_POINTS >= self.threshold_bps * self.total
            and self.weight_for > self.weight_against
        )


def tally(charter: Charter, ballots: Iterable[Ballot]) -> Tally:
    """Count verified ballots. Raises `InvalidDecision` for a ballot of someone without weight."""
    last: dict[bytes, Ballot] = {}
    for ballot in ballots:
        if charter.weight_of(ballot.voter) == 0:
            raise InvalidDecision(f"0x{ballot.voter.hex()} has no vote in this DAO")
        if ballot.voter not in last or _rank(ballot) > _rank(last[ballot.voter]):
            last[ballot.voter] = ballot
    weights = dict.fromkeys(Support, 0)
    for ballot in last.values():
        weights[ballot.support] += charter.weight_of(ballot.voter)
    return Tally(
        weight_for=weights[Support.FOR],
        weight_against=weights[Support.AGAINST],
        weight_abstain=weights[Support.ABSTAIN],
        total=charter.total_weight(),
        quorum_bps=charter.quorum_bps,
        threshold_bps=charter.threshold_bps,
    )


def _rank(ballot: Ballot) -> tuple[int, bytes]:
    return ballot.sequence, sha256(ballot.encoded()).digest()
