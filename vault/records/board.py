"""The board: a member's copy of governance objects, as canonical bytes that whoever reads them verifies again."""

from __future__ import annotations

import builtins
from typing import Final

from sqlmodel import col, select

from storage.cid import Cid
from vault.errors import ForkedHistory, MalformedObject, StaleState
from vault.records.database import Records
from vault.records.model import BOARD_KINDS
from vault.records.room import require_room
from vault.records.tables import BoardObject, BoardTip

OBJECTS_MAX: Final = 100_000  # of one kind in one DAO
GENESES_MAX: Final = 1000


class Board:
    """What one member knows of the DAOs it follows."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Keep an object; the same again is fine.

        Args:
            kind: one of `BOARD_KINDS`.
            parent: what the object is about, as the proposal of a ballot.
            body: the canonical bytes that `cid` names.
        Raises: MalformedObject: `body` is not what `cid` names. RecordsUnavailable: `OBJECTS_MAX` are here already.
        """
        _require_kind(kind)
        if not cid.matches(body):
            raise MalformedObject(f"these {len(body)} bytes are not the object that {cid} names")
        above = parent.binary if parent else None
        with self._records.writing(b"board" + genesis.binary) as session:
            known = session.exec(select(BoardObject).where(BoardObject.cid == cid.binary)).first()
            if known is None:
                siblings = (BoardObject.genesis == genesis.binary, BoardObject.kind == kind)
                require_room(session, BoardObject, *siblings, most=OBJECTS_MAX)
                session.add(BoardObject(kind=kind, genesis=genesis.binary, cid=cid.binary, parent=above, body=body))
            elif (known.kind, known.genesis, known.parent) != (kind, genesis.binary, above):
                raise ValueError(f"{cid} is on the board already as another kind, or in another place")

    def get(self, cid: Cid) -> bytes | None:
        """Return the object's bytes."""
        with self._records.reading() as session:
            return session.exec(select(BoardObject.body).where(BoardObject.cid == cid.binary)).first()

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        """Note the newest verified head of a DAO; the same again is fine.

        Raises: StaleState: a later epoch was noted. ForkedHistory: this epoch was noted with another head.
        """
        with self._records.writing(b"tip" + genesis.binary) as session:
            tip = session.get(BoardTip, genesis.binary)
            if tip is None:
                require_room(session, BoardTip, most=GENESES_MAX)
                session.add(BoardTip(genesis=genesis.binary, head=head.binary, epoch=epoch))
            elif epoch < tip.epoch:
                raise StaleState(f"epoch {epoch} is older than epoch {tip.epoch}, followed before")
            elif epoch == tip.epoch and head.binary != tip.head:
                raise ForkedHistory(f"epoch {epoch} has another head already: {Cid(tip.head)}")
            else:
                tip.head, tip.epoch = head.binary, epoch
                session.add(tip)

    def tip(self, genesis: Cid) -> Cid | None:
        """Return the newest head that was noted for a DAO."""
        with self._records.reading() as session:
            tip = session.get(BoardTip, genesis.binary)
            return Cid(tip.head) if tip else None

    def geneses(self) -> builtins.list[Cid]:
        """Return the DAOs followed, in the order of their CIDs; at most `GENESES_MAX`."""
        with self._records.reading() as session:
            followed = session.exec(select(BoardTip.genesis).order_by(col(BoardTip.genesis)))
            return [Cid(genesis) for genesis in followed]

    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> builtins.list[tuple[Cid, bytes]]:
        """Return a DAO's objects of one kind with their bytes, in the order they came; at most `OBJECTS_MAX`.

        Args:
            parent: only those about it; None for all.
        """
        _require_kind(kind)
        chosen = select(BoardObject.cid, BoardObject.body).where(
            BoardObject.genesis == genesis.binary, BoardObject.kind == kind
        )
        if parent is not None:
            chosen = chosen.where(BoardObject.parent == parent.binary)
        with self._records.reading() as session:
            return [(Cid(cid), body) for cid, body in session.exec(chosen.order_by(col(BoardObject.position)))]


def _require_kind(kind: str) -> None:
    if kind not in BOARD_KINDS:
        raise ValueError(f"a board keeps {', '.join(sorted(BOARD_KINDS))}; not {kind}")
