"""Ledger entries: one thing that happened, and the transfers that belong together (rules L2, L3)."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.channel import Promised
from vault.codec import Address, Digest, Length, PublicKey, Record, record
from vault.cose import MESSAGE_BYTES_MAX
from vault.errors import MalformedObject
from vault.licensees import SHARED_BUDGET
from vault.policy import K_LIMIT
from vault.question import VECTOR_BYTES_MAX
from vault.record_encoding import encoded
from vault.royalty import Transfer
from vault.scores import packed_scores as packed_scores
from vault.scores import unpacked_scores as unpacked_scores
from vault.window import REPORTED_MAX, OpenWindow

ENTRY_BYTES_MAX = MESSAGE_BYTES_MAX + (1 << 17)


class Kind(StrEnum):
    """What an entry books."""

    DEPOSIT = "deposit"
    QUERY = "query"
    VOID = "void"
    OPENING = "opening"  # an instance begins, and accounts for the windows that others lost
    REFUND = "refund"  # credit that such an opening put in suspense comes back
    EPOCH = "epoch"  # a royalty epoch closes: what follows is the next one's
    SNAPSHOT = "snapshot"  # the vectors of a dataset version were sealed beside it
    CHANNEL = "channel"  # a payment channel was opened, or its terms were raised
    VOUCHER = "voucher"  # a licensee promised more by a channel


@record
class PassageId(Record):
    """A passage as the books know it: its dataset version and place, and its lasting identity (rule O1)."""

    manifest: Cid
    index: int
    lineage: Digest
    identity: Digest
    owner: Address
    weight: int  # what it counted in the split of the price


@record
class SealedVectors(Record):
    """Which snapshot of a dataset version's vectors counts: of storage, only what the books name is ever opened."""

    manifest: Cid
    root: Cid


@record
class QueryDetail(Record):
    """What a retry needs to give the same answer again. Sealed with its entry; never in the clear."""

    body: Digest
    policy: Cid
    delegation: Digest
    instance: PublicKey  # whose key signed the receipt
    vector: Annotated[bytes, Length(0, VECTOR_BYTES_MAX)] = field(repr=False)  # empty where words alone ranked
    passages: Annotated[tuple[PassageId, ...], Length(0, K_LIMIT)]
    scores: Annotated[
        bytes, Length(0, 8 * K_LIMIT)
    ]  # of the passages as they left: big-endian float64, one after another
    shares_budget: bool  # it counts against the one budget of all who ask without a credential (rule O2)
    is_partial: bool
    receipt: Annotated[bytes, Length(64, MESSAGE_BYTES_MAX)]

    def check(self) -> None:
        """Refuse another number of scores than of passages."""
        if len(self.scores) != 8 * len(self.passages):
            raise MalformedObject("every passage of an answer has one score")


@record
class Entry(Record):
    """One thing that happened, and the transfers that belong together."""

    TYPE: ClassVar[str] = "coffer/entry/v1"

    sequence: int  # from 1, without gaps
    kind: Kind
    at: int
    licensee: Address  # zeros for what concerns all
    reference: Digest  # deposit or request id, unique per licensee and kind; instance; number of opening or epoch
    transfers: Annotated[tuple[Transfer, ...], Length(0, K_LIMIT + 3)]
    query: QueryDetail | None
    lost: Annotated[tuple[OpenWindow, ...], Length(0, REPORTED_MAX)] = ()
    vectors: SealedVectors | None = None
    promised: Promised | None = None

    def holder(self) -> bytes:
        """Return whose extraction budget the entry counts against."""
        return SHARED_BUDGET if self.query is not None and self.query.shares_budget else self.licensee

    def encoded(self) -> bytes:
        """Return the record's canonical bytes."""
        return encoded(self)

    def check(self) -> None:
        """Refuse a query without detail, or detail without a query."""
        if (self.query is not None) != (self.kind is Kind.QUERY):
            raise MalformedObject("exactly the query entries carry a query's detail")
        if self.lost and self.kind is not Kind.OPENING:
            raise MalformedObject("windows are lost at an opening")
        if (self.vectors is not None) != (self.kind is Kind.SNAPSHOT):
            raise MalformedObject("exactly the snapshot entries name sealed vectors")
        if (self.promised is not None) != (self.kind in (Kind.CHANNEL, Kind.VOUCHER)):
            raise MalformedObject("exactly the entries of channels and vouchers hold one")
