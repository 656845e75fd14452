"""What guardians do: stop. k of them cancel a grant before it is carried out, or revoke at once; they never grant."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, ClassVar

from storage.cid import Cid
from vault.action import Scope, is_subject, revocation_words
from vault.charter import GUARDIANS_MAX, Charter
from vault.codec import Address, Digest, Length, Record, WalletSignature, encode, record
from vault.errors import InvalidDecision, InvalidSignature, MalformedObject
from vault.signing import SigningKey, address_text, recovered
from vault.typed_data import Struct

EPOCHS_VALID = 64  # within so many of the head it was signed at, an act has to be carried out

STRUCT = Struct(
    "GuardianAct",
    (("act", "bytes32"), ("action", "string"), ("epoch", "uint64")),
)


@record
class Act(Record):
    """What guardians sign: one proposal to cancel, or one thing to revoke."""

    TYPE: ClassVar[str] = "coffer/act/v1"

    genesis: Cid
    epoch: int  # of a head of the chain
    head: Cid  # that head
    cancels: Digest | None  # digest of the proposal's CID
    revokes: Scope | None
    subject: Annotated[bytes, Length(0, 64)]
    nonce: Digest

    def check(self) -> None:
        """Refuse an act that does nothing or two things at once."""
        if (self.cancels is None) == (self.revokes is None):
            raise MalformedObject("guardians cancel a proposal or revoke: one of them")
        if self.revokes is None and self.subject:
            raise MalformedObject("only a revocation has a subject")
        if self.revokes is not None and not is_subject(self.revokes, self.subject):
            raise MalformedObject("a revocation names one subject of its scope's form")

    def words(self) -> str:
        """Return the act as a person says it."""
        if self.cancels is not None:
            return f"cancel proposal {self.cancels.hex()}"
        return revocation_words(self.revokes, self.subject)

    def message(self) -> Mapping[str, Any]:
        """Return what a guardian's wallet shows."""
        return {"act": self.digest(), "action": self.words(), "epoch": self.epoch}

    def digest(self) -> bytes:
        """Return SHA-256 of the act: its identity, whoever signed it."""
        return sha256(encode(self.value())).digest()


@record
class GuardianSignature(Record):
    """One guardian's signature of an act."""

    guardian: Address
    signature: WalletSignature

    @classmethod
    def made(cls, act: Act, guardian: SigningKey, charter: Charter) -> GuardianSignature:
        """Return a guardian's signature."""
        digest = charter.domain(act.genesis).digest(STRUCT, act.message())
        return cls(guardian=guardian.address, signature=guardian.sign(digest))


@record
class GuardianAct(Record):
    """An act with guardians' signatures."""

    TYPE: ClassVar[str] = "coffer/guardian-act/v1"

    act: Act
    signatures: Annotated[tuple[GuardianSignature, ...], Length(1, GUARDIANS_MAX)]  # ascending by guardian

    def check(self) -> None:
        """Refuse signatures out of order or given twice."""
        guardians = [signature.guardian for signature in self.signatures]
        if guardians != sorted(set(guardians)):
            raise MalformedObject("guardians sign once each, ascending by address")

    def verify_signatures(self, charter: Charter, *, genesis: Cid) -> None:
        """Raise `InvalidSignature` unless each signature is a guardian's of this charter; any number of them."""
        if self.act.genesis != genesis:
            raise InvalidDecision("the act is for another DAO")
        digest = charter.domain(genesis).digest(STRUCT, self.act.message())
        for one in self.signatures:
            if one.guardian not in charter.guardians:
                raise InvalidSignature(f"{address_text(one.guardian)} is no guardian of this DAO")
            if recovered(digest, one.signature) != one.guardian:
                raise InvalidSignature(f"the act is not signed by {address_text(one.guardian)}")

    def verify(self, charter: Charter, *, genesis: Cid) -> None:
        """Raise `InvalidSignature` or `InvalidDecision` unless k guardians of this charter signed it."""
        self.verify_signatures(charter, genesis=genesis)
        if len(self.signatures) < max(1, charter.guardian_signatures):
            raise InvalidDecision(
                f"{len(self.signatures)} guardians signed; the charter asks for {charter.guardian_signatures}"
            )
