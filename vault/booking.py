"""What the books take of an entry: enough to judge and count it, without the whole of it in memory (rules L2, L3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from storage.cid import Cid
from vault.channel import Promised
from vault.entry import Entry, Kind, PassageId, QueryDetail, SealedVectors
from vault.receipt_message import payload_digest
from vault.royalty import Transfer
from vault.window import OpenWindow


@dataclass(slots=True)  # one is made with every passage that leaves, and a frozen one takes twice as long
class PassageShown:
    """A passage that an answer brings; its fields are those of `PassageId`."""

    manifest: Cid
    index: int
    lineage: bytes
    identity: bytes
    owner: bytes
    weight: int


class Answered(NamedTuple):
    """What the books take of a query's detail."""

    body: bytes  # digest of the question
    delegation: bytes
    instance: bytes
    shown: tuple[PassageShown, ...]
    receipt: bytes  # its digest


class Booking(NamedTuple):
    """What the books take of an entry."""

    sequence: int
    kind: Kind
    at: int
    licensee: bytes
    reference: bytes
    transfers: tuple[Transfer, ...]
    amount: int  # that its transfers move in all
    holder: bytes  # whose extraction budget it counts against
    answer: Answered | None
    lost: tuple[OpenWindow, ...] = ()
    vectors: SealedVectors | None = None
    promised: Promised | None = None


def booking_of(entry: Entry) -> Booking:
    """Return what the books take of an entry."""
    return Booking(
        sequence=entry.sequence,
        kind=entry.kind,
        at=entry.at,
        licensee=entry.licensee,
        reference=entry.reference,
        transfers=entry.transfers,
        amount=sum(transfer.amount for transfer in entry.transfers),
        holder=entry.holder(),
        answer=_answered(entry.query) if entry.query is not None else None,
        lost=entry.lost,
        vectors=entry.vectors,
        promised=entry.promised,
    )


def _answered(detail: QueryDetail) -> Answered:
    return Answered(
        body=detail.body,
        delegation=detail.delegation,
        instance=detail.instance,
        shown=tuple(map(_shown, detail.passages)),
        receipt=payload_digest(detail.receipt),
    )


def _shown(one: PassageId) -> PassageShown:
    return PassageShown(one.manifest, one.index, one.lineage, one.identity, one.owner, one.weight)
