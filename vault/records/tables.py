"""The tables. Nothing in them is plaintext or a key; every column is bounded by a CHECK that both databases enforce.

A change here needs a revision in `vault/migrations/versions`; a test compares the two.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, CheckConstraint, Index, Integer, LargeBinary, MetaData, UniqueConstraint
from sqlmodel import Field, SQLModel

from storage.cid import CID_BYTES
from vault.codec import OBJECT_BYTES_MAX

SEALED_BYTES_MAX: Final = 5 << 20  # ledger entries that became durable together, with their salt and tag
ENTRIES_MAX: Final = 1024  # in one such row
DEPOSIT_BYTES_MAX: Final = 1 << 14  # a share deposit: an HPKE message of 4096 bytes, and who signed it
ORDER_BYTES_MAX: Final = 1024  # an owner's order to destroy a share
STATE_SHARE_BYTES_MAX: Final = 1 << 14
HAND_BACK_BYTES_MAX: Final = 1024
TITLE_CHARS_MAX: Final = 200
KIND_CHARS_MAX: Final = 16
QUOTA_BYTES_MAX: Final = 64
QUESTION_BYTES_MAX: Final = 512  # another custodian's signed question
DIGEST_BYTES: Final = 32  # ledger and dataset ids, MACs, instance keys
ADDRESS_BYTES: Final = 20

_Position = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only as INTEGER


def _is_long(column: str, least: int, most: int) -> CheckConstraint:
    return CheckConstraint(f"length({column}) BETWEEN {least} AND {most}", name=f"{column}_length")


def _digest(*columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(_is_long(column, DIGEST_BYTES, DIGEST_BYTES) for column in columns)


def _cid(*columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(_is_long(column, CID_BYTES, CID_BYTES) for column in columns)


def _from(least: int, *columns: str) -> tuple[CheckConstraint, ...]:
    return tuple(CheckConstraint(f"{column} >= {least}", name=f"{column}_least") for column in columns)


def _number(*, key: bool = False) -> Any:
    return Field(sa_type=BigInteger, primary_key=key, sa_column_kwargs={"autoincrement": False} if key else {})


def _key() -> Any:
    return Field(sa_type=LargeBinary, primary_key=True)


class Table(SQLModel):
    """Base of our tables, with their own metadata and constraint names that revisions can refer to."""

    metadata: ClassVar[MetaData] = MetaData(
        naming_convention={
            "ck": "%(table_name)s_%(constraint_name)s",
            "ix": "%(table_name)s_%(column_0_N_name)s",
            "pk": "%(table_name)s_key",
            "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        }
    )


class JournalEntry(Table, table=True):
    """Ledger entries sealed together, up to the one of this sequence; triggers refuse to change or delete them."""

    __tablename__ = "journal"
    __table_args__ = (
        *_digest("ledger", "mac"),
        *_from(1, "sequence"),
        CheckConstraint(f"entries BETWEEN 1 AND {ENTRIES_MAX}", name="entries_number"),
        _is_long("sealed", 1, SEALED_BYTES_MAX),
    )

    ledger: bytes = _key()
    sequence: int = _number(key=True)
    entries: int = _number()
    sealed: bytes
    mac: bytes


class AcceptedHead(Table, table=True):
    """A head that is settled, as far as this custodian knows (`vault.head_vote`)."""

    __tablename__ = "custody_head"
    __table_args__ = (*_cid("genesis", "head"), *_from(0, "epoch"))

    genesis: bytes = _key()
    epoch: int = _number(key=True)
    head: bytes


class RegisteredManifest(Table, table=True):
    """The one manifest of a dataset version; triggers refuse to change or delete one."""

    __tablename__ = "custody_manifest"
    __table_args__ = (*_digest("dataset"), *_from(1, "version"), *_cid("manifest"))

    dataset: bytes = _key()
    version: int = _number(key=True)
    manifest: bytes


class LineageCount(Table, table=True):
    """How many lineages of manifests were begun under a DAO."""

    __tablename__ = "custody_lineages"
    __table_args__ = (*_cid("genesis"), *_from(0, "lineages"))

    genesis: bytes = _key()
    lineages: int = _number()


class StoredDeposit(Table, table=True):
    """An owner's share deposit, sealed to this custodian."""

    __tablename__ = "custody_deposit"
    __table_args__ = (*_cid("manifest"), _is_long("deposit", 1, DEPOSIT_BYTES_MAX))

    manifest: bytes = _key()
    deposit: bytes


class DestroyedShare(Table, table=True):
    """A share that its owner had destroyed, when, and by which order; triggers refuse to change or delete one."""

    __tablename__ = "custody_destroyed"
    __table_args__ = (
        *_cid("manifest", "genesis"),
        *_from(0, "destroyed_at"),
        _is_long("signed", 1, ORDER_BYTES_MAX),
    )

    manifest: bytes = _key()
    genesis: bytes
    destroyed_at: int = _number()
    signed: bytes


class StateShare(Table, table=True):
    """A share of a ledger's state key, sealed to this custodian; triggers refuse to change one once it was used."""

    __tablename__ = "custody_state_share"
    __table_args__ = (*_digest("ledger"), _is_long("sealed", 1, STATE_SHARE_BYTES_MAX))

    ledger: bytes = _key()
    sealed: bytes


class GrantedLease(Table, table=True):
    """Who serves a ledger, until when, and how far that ledger had come; no instance once it was handed back."""

    __tablename__ = "custody_lease"
    __table_args__ = (*_digest("ledger", "instance", "anchor_mac"), *_from(0, "not_after", "anchor_sequence"))

    ledger: bytes = _key()
    instance: bytes | None
    not_after: int = _number()
    anchor_sequence: int = _number()
    anchor_mac: bytes


class WindowGranted(Table, table=True):
    """How much an instance may serve past an entry: consumed, until the instance returns it or another settles it."""

    __tablename__ = "custody_window"
    __table_args__ = (*_digest("ledger", "instance"), *_from(0, "start"), *_from(1, "entries", "passages", "spend"))

    ledger: bytes = _key()
    instance: bytes = _key()
    start: int = _number()
    entries: int = _number()
    passages: int = _number()
    spend: int = _number()


class LastHandBack(Table, table=True):
    """The last hand-back of a ledger, as its instance signed it."""

    __tablename__ = "custody_hand_back"
    __table_args__ = (*_digest("ledger"), _is_long("hand_back", 1, HAND_BACK_BYTES_MAX))

    ledger: bytes = _key()
    hand_back: bytes


class CustodyCondition(Table, table=True):
    """One row: when this custodian was restored, if ever, and the number of the last question it asked others."""

    __tablename__ = "custody_condition"
    __table_args__ = (CheckConstraint("id = 1", name="id_only"), *_from(0, "restored_at", "number"))

    id: int = _number(key=True)
    restored_at: int | None = Field(sa_type=BigInteger)
    number: int = _number()


class CaughtUp(Table, table=True):
    """A DAO that this custodian has caught up with since it was restored."""

    __tablename__ = "custody_caught_up"
    __table_args__ = _cid("genesis")

    genesis: bytes = _key()


class KeptQuestion(Table, table=True):
    """Another custodian's signed question of the highest number."""

    __tablename__ = "custody_question"
    __table_args__ = (*_digest("custodian"), *_from(0, "number"), _is_long("question", 1, QUESTION_BYTES_MAX))

    custodian: bytes = _key()
    number: int = _number()
    question: bytes


class CatalogedDataset(Table, table=True):
    """A dataset version of this owner's."""

    __tablename__ = "catalog_dataset"
    __table_args__ = (
        *_digest("dataset"),
        *_from(1, "version"),
        *_cid("genesis", "manifest"),
        _is_long("owner", ADDRESS_BYTES, ADDRESS_BYTES),
        _is_long("title", 0, TITLE_CHARS_MAX),
        CheckConstraint("state IN ('sealed', 'published')", name="state_known"),
        *_from(0, "passages", "documents", "sealed_bytes", "created_at"),
        UniqueConstraint("manifest"),
    )

    dataset: bytes = _key()
    version: int = _number(key=True)
    title: str = Field(max_length=TITLE_CHARS_MAX)
    owner: bytes
    genesis: bytes
    manifest: bytes
    state: str = Field(max_length=KIND_CHARS_MAX)
    passages: int = _number()
    documents: int = _number()
    sealed_bytes: int = _number()
    created_at: int = _number()


class BoardObject(Table, table=True):
    """A governance object as canonical bytes, in the order it came."""

    __tablename__ = "board_object"
    __table_args__ = (
        _is_long("kind", 1, KIND_CHARS_MAX),
        *_cid("genesis", "cid", "parent"),
        _is_long("body", 1, OBJECT_BYTES_MAX),
        _is_long("quota", 1, QUOTA_BYTES_MAX),
        UniqueConstraint("cid", "genesis"),
        Index(None, "genesis", "kind", "parent"),
        Index(None, "genesis", "kind", "quota"),
        Index(None, "genesis", "position"),
    )

    position: int | None = Field(default=None, sa_type=_Position, primary_key=True)
    kind: str = Field(max_length=KIND_CHARS_MAX)
    genesis: bytes
    cid: bytes
    parent: bytes | None
    body: bytes
    quota: bytes | None  # what it counts against, as its voter
    until: int | None = Field(sa_type=BigInteger)  # UTC seconds; open so long


class BoardTip(Table, table=True):
    """The newest head that this member followed a DAO to."""

    __tablename__ = "board_tip"
    __table_args__ = (*_cid("genesis", "head"), *_from(0, "epoch"))

    genesis: bytes = _key()
    head: bytes
    epoch: int = _number()
