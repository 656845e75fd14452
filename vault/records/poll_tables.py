"""The tables of votes, as a custodian keeps them; bounded like those of `vault.records.tables`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, Index, LargeBinary
from sqlmodel import Field

from storage.cid import CID_BYTES
from vault.records.tables import ADDRESS_BYTES, DIGEST_BYTES, Table

PROPOSAL_BYTES_MAX: Final = 16 << 10  # with 64 policies to drop and a proof of its proposer's weight
VOTE_BYTES_MAX: Final = 4 << 10
ACKNOWLEDGMENTS_BYTES_MAX: Final = 32 << 10  # three words of each of 16 custodians
CLOSING_BYTES_MAX: Final = 32 << 10  # with the CIDs of all its pages
ACT_BYTES_MAX: Final = 8 << 10


def _lengths(**columns: tuple[int, int]) -> tuple[CheckConstraint, ...]:
    return tuple(
        CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=f"{column}_length")
        for column, (least, most) in columns.items()
    )


def _least(*columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(CheckConstraint(f"{column} >= 0", name=f"{column}_least") for column in columns)


def _key() -> Any:
    return Field(sa_type=LargeBinary, primary_key=True)


def _number() -> Any:
    return Field(sa_type=BigInteger)


_CID: Final = (CID_BYTES, CID_BYTES)
_DIGEST: Final = (DIGEST_BYTES, DIGEST_BYTES)
_ADDRESS: Final = (ADDRESS_BYTES, ADDRESS_BYTES)
_WORDS: Final = (1, ACKNOWLEDGMENTS_BYTES_MAX)


class AcceptedProposal(Table, table=True):
    """A proposal that this custodian acknowledged."""

    __tablename__ = "custody_proposal"
    __table_args__ = (
        *_lengths(
            proposal=_DIGEST,
            genesis=_CID,
            proposer=_ADDRESS,
            body=(1, PROPOSAL_BYTES_MAX),
            acknowledgments=_WORDS,
        ),
        *_least("arrived_at", "position"),
        CheckConstraint("is_direct IN (0, 1)", name="is_direct_known"),
        Index(None, "genesis", "position"),
    )

    proposal: bytes = _key()
    genesis: bytes
    proposer: bytes
    body: bytes
    acknowledgments: bytes
    arrived_at: int = _number()
    is_direct: int = _number()
    position: int = _number()


class AcceptedVote(Table, table=True):
    """A ballot that this custodian holds; it goes once a greater one of its voter came no later."""

    __tablename__ = "custody_vote"
    __table_args__ = (
        *_lengths(
            proposal=_DIGEST,
            ballot=_DIGEST,
            voter=_ADDRESS,
            body=(1, VOTE_BYTES_MAX),
            acknowledgments=_WORDS,
        ),
        CheckConstraint("period BETWEEN 0 AND 2", name="period_known"),
        *_least("direct", "position"),
        Index(None, "proposal", "voter"),
        Index(None, "proposal", "position"),
    )

    proposal: bytes = _key()
    ballot: bytes = _key()
    voter: bytes
    body: bytes
    acknowledgments: bytes
    period: int = _number()
    direct: int = _number()
    position: int = _number()


class SignedClosing(Table, table=True):
    """The one set of ballots that this custodian closed a vote with; triggers refuse to change or delete one."""

    __tablename__ = "custody_closing"
    __table_args__ = _lengths(proposal=_DIGEST, genesis=_CID, closing=(1, CLOSING_BYTES_MAX))

    proposal: bytes = _key()
    genesis: bytes
    closing: bytes


class QueuedDecision(Table, table=True):
    """The first verified decision on a proposal, and from when it may be carried out; triggers refuse changes."""

    __tablename__ = "custody_queued"
    __table_args__ = (
        *_lengths(proposal=_DIGEST, genesis=_CID, decision=_CID),
        *_least("free_at"),
        Index(None, "genesis"),
    )

    proposal: bytes = _key()
    genesis: bytes
    decision: bytes
    free_at: int = _number()


class PendingAct(Table, table=True):
    """An act of guardians that is not carried out yet, with the signatures that came."""

    __tablename__ = "custody_act"
    __table_args__ = (
        *_lengths(act=_DIGEST, genesis=_CID, body=(1, ACT_BYTES_MAX)),
        *_least("epoch"),
        Index(None, "genesis"),
    )

    act: bytes = _key()
    genesis: bytes
    epoch: int = _number()
    body: bytes


class DelegatedLast(Table, table=True):
    """When this custodian last took a batch of delegations for a DAO."""

    __tablename__ = "custody_delegated"
    __table_args__ = (*_lengths(genesis=_CID), *_least("at"))

    genesis: bytes = _key()
    at: int = _number()
