"""The tables of which head comes next, as a custodian keeps them; bounded like those of `vault.records.tables`."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, CheckConstraint, LargeBinary
from sqlmodel import Field

from storage.cid import CID_BYTES
from vault.records.tables import DIGEST_BYTES, Table

VOTE_BYTES_MAX: Final = 512


def _long(column: str, least: int, most: int) -> CheckConstraint:
    return CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=f"{column}_length")


def _cid(*columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(_long(column, CID_BYTES, CID_BYTES) for column in columns)


def _epoch() -> CheckConstraint:
    return CheckConstraint("epoch >= 1", name="epoch_least")


def _key() -> Any:
    return Field(sa_type=LargeBinary, primary_key=True)


def _number_key() -> Any:
    return Field(sa_type=BigInteger, primary_key=True, sa_column_kwargs={"autoincrement": False})


class SignedHead(Table, table=True):
    """The one head of an epoch that this custodian voted for; triggers refuse to change or delete one."""

    __tablename__ = "custody_signed_head"
    __table_args__ = (*_cid("genesis", "head"), _epoch())

    genesis: bytes = _key()
    epoch: int = _number_key()
    head: bytes


class HeardHeadVote(Table, table=True):
    """Another custodian's vote for a head; a liar may have two of an epoch."""

    __tablename__ = "custody_head_vote"
    __table_args__ = (
        *_cid("genesis", "head"),
        _long("custodian", DIGEST_BYTES, DIGEST_BYTES),
        _long("vote", 1, VOTE_BYTES_MAX),
        _epoch(),
    )

    genesis: bytes = _key()
    epoch: int = _number_key()
    custodian: bytes = _key()
    head: bytes = _key()
    vote: bytes


class WaitingCause(Table, table=True):
    """Something verified that is to be carried out, whichever head comes before it."""

    __tablename__ = "custody_cause"
    __table_args__ = _cid("genesis", "cause")

    genesis: bytes = _key()
    cause: bytes = _key()
