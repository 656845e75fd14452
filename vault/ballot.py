"""Proposals and ballots: what members are asked, and what each of them answered.

Rule G1: ballots carry a per-voter sequence number and the highest wins, so that two people who count the same set get
the same result whatever order it arrived in. Two different ballots of one voter with one number are decided by the
greater signature. A ballot's signature says nothing of a weight: that is proven beside it, against the charter.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import Cid
from vault.action import Action
from vault.charter import Charter
from vault.codec import Address, Digest, Label, Length, Record, Weight, record
from vault.errors import AccessDenied, InvalidDecision, MalformedObject
from vault.signing import PersonSigned, address_text
from vault.typed_data import Struct
from vault.weights import PROOF_MAX, leaf, root_from_proof

REASON_BYTES_MAX = 200  # everyone's stands in the decision for good
Proof = Annotated[tuple[Digest, ...], Length(0, PROOF_MAX)]


class Support(StrEnum):
    """A voter's answer."""

    AGAINST = "against"
    FOR = "for"
    ABSTAIN = "abstain"


@record
class Proposal(PersonSigned):
    """One action put to the vote. The proposer is part of what is signed and so of its identity."""

    TYPE: ClassVar[str] = "coffer/proposal/v1"
    STRUCT: ClassVar[Struct] = Struct(
        "Proposal",
        (
            ("proposal", "bytes32"),
            ("proposer", "address"),
            ("action", "string"),
            ("opensAt", "uint64"),
            ("closesAt", "uint64"),
        ),
    )

    genesis: Cid
    epoch: int  # of the head it was made against; no revocation in its scope since then may stand (rule G4)
    head: Cid  # that head: its charter says who may vote, and the delegations in it are those that count (rule G3)
    proposer: Address
    weight: Weight  # of the proposer
    proof: Proof  # of that weight
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
            "opensAt": self.opens_at,
            "closesAt": self.closes_at,
        }

    def require_member(self, charter: Charter) -> None:
        """Raise `InvalidDecision` unless the proposer's weight is proven, and enough to propose."""
        require_weight(charter, self.proposer, self.weight, self.proof)
        if self.weight < charter.voting.proposal_weight:  # big-endian and of one length, so in the order of numbers
            least = int.from_bytes(charter.voting.proposal_weight, "big")
            raise InvalidDecision(f"to propose takes a weight of {least}; the proposer's is less")


def require_reason(reason: str) -> None:
    """Raise `MalformedObject` for a reason of more than `REASON_BYTES_MAX`."""
    if len(reason) > REASON_BYTES_MAX // 4 and len(reason.encode()) > REASON_BYTES_MAX:
        raise MalformedObject(f"a reason takes at most {REASON_BYTES_MAX} bytes in UTF-8; say it in fewer words")


@record
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

    def check(self) -> None:
        """Refuse a reason that would take more room than everyone's may."""
        require_reason(self.reason)

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

    def digest(self) -> bytes:
        """Return SHA-256 of the whole ballot: what is acknowledged."""
        return sha256(self.encoded()).digest()

    def rank(self) -> tuple[int, bytes]:
        """Return what decides between ballots of one voter: the greater one counts."""
        return self.sequence, self.signature


@record
class Vote(Record):
    """A ballot as it is handed in: with the voter's weight and its proof."""

    TYPE: ClassVar[str] = "coffer/vote/v1"

    ballot: Ballot
    weight: Weight
    proof: Proof

    def verify(self, charter: Charter, proposal: Proposal) -> None:
        """Raise `InvalidDecision` or `InvalidSignature` unless a member answers this very proposal."""
        if self.ballot.proposal != proposal.cid().digest:
            raise InvalidDecision("the ballot is for another proposal")
        require_weight(charter, self.ballot.voter, self.weight, self.proof)
        self.ballot.verify(charter.domain(proposal.genesis))


def require_weight(charter: Charter, address: bytes, weight: bytes, proof: tuple[bytes, ...]) -> None:
    """Raise `AccessDenied` unless the charter gives `address` this weight."""
    if root_from_proof(leaf(address, int.from_bytes(weight, "big")), proof) != charter.weights_root:
        raise AccessDenied(f"{address_text(address)} has no such weight in this DAO; its roll says who has which")
