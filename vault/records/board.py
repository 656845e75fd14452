"""The board: governance objects as canonical bytes, in the order they came; whoever reads them verifies them again."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

from sqlalchemy import bindparam, func, update
from sqlmodel import col, select

from storage.cid import Cid
from vault.board import ENTRIES_MAX, Entry, Kept
from vault.errors import ForkedHistory, MalformedObject, StaleState
from vault.records.database import Records
from vault.records.model import BOARD_KINDS
from vault.records.room import require_room
from vault.records.tables import BoardObject, BoardTip

OBJECTS_MAX: Final = 100_000  # of one kind in one DAO; of what has a parent, about that one
LISTED_MAX: Final = 4 * OBJECTS_MAX
GENESES_MAX: Final = 1000
READ_MAX: Final = 500  # CIDs in one statement
READ_BYTES: Final = 2 << 20  # of bodies in one answer; the first comes whatever its size
_PARENTED: Final = frozenset({"vote", "block"})

_BODY: Final = select(BoardObject.body).where(col(BoardObject.cid) == bindparam("own")).limit(1)
_KNOWN: Final = select(BoardObject.cid).where(
    col(BoardObject.cid).in_(bindparam("some", expanding=True)), col(BoardObject.genesis) == bindparam("dao")
)


class Board:
    """What one member, or one service, knows of the DAOs it follows."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Keep an object; the same again is fine, and so is another parent, which only says what it is about.

        Args:
            kind: one of `BOARD_KINDS`.
            parent: what the object is about, as the proposal of a vote.
            body: the canonical bytes that `cid` names.
        Raises: MalformedObject: `body` is not what `cid` names. RecordsUnavailable: `OBJECTS_MAX` are here already.
        """
        self.keep(genesis, [Kept(kind=kind, cid=cid, parent=parent, body=body)])

    def keep(self, genesis: Cid, objects: Sequence[Kept]) -> None:
        """Keep objects as `put` does, all of them or none."""
        for one in objects:
            _require_kind(one.kind)
            if not one.cid.matches(one.body):
                raise MalformedObject(f"these {len(one.body)} bytes are not the object that {one.cid} names")
        with self._records.writing(b"board" + genesis.binary) as session:
            new = {one.cid: one for one in objects}
            for some in _in_parts([cid.binary for cid in new]):
                here = (col(BoardObject.cid).in_(some), BoardObject.genesis == genesis.binary)
                for cid, kind in session.exec(select(BoardObject.cid, BoardObject.kind).where(*here)):
                    if new.pop(Cid(cid)).kind != kind:
                        raise ValueError(f"{Cid(cid)} is on the board already as another kind: {kind}")
            for (kind, parent), number in Counter(map(_siblings, new.values())).items():
                conditions = [BoardObject.genesis == genesis.binary, BoardObject.kind == kind]
                if kind in _PARENTED:
                    conditions.append(BoardObject.parent == (parent.binary if parent else None))
                require_room(session, BoardObject, *conditions, most=OBJECTS_MAX - number + 1)
            session.add_all(_row(genesis, one) for one in new.values())

    def mend(self, genesis: Cid, cid: Cid, body: bytes) -> None:
        """Put an object's bytes in the place of others that stand under its name: somebody changed them."""
        if not cid.matches(body):
            raise MalformedObject(f"these {len(body)} bytes are not the object that {cid} names")
        own = (col(BoardObject.cid) == cid.binary, col(BoardObject.genesis) == genesis.binary)
        with self._records.writing(b"board" + genesis.binary) as session:
            session.exec(update(BoardObject).where(*own).values(body=body))

    def get(self, cid: Cid) -> bytes | None:
        """Return the object's bytes."""
        with self._records.fetching() as connection:
            found: bytes | None = connection.execute(_BODY, {"own": cid.binary}).scalar()
            return found

    def bodies(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Return the bytes of the first of these objects that are here, up to `READ_BYTES` together."""
        asked = [cid.binary for cid in cids[:READ_MAX]]
        named = col(BoardObject.cid).in_(asked)
        with self._records.reading() as session:
            sizes = dict(session.exec(select(BoardObject.cid, func.length(BoardObject.body)).where(named)).all())
            held = [cid for cid in dict.fromkeys(asked) if cid in sizes]
            ends = accumulate(sizes[cid] for cid in held)
            chosen = [cid for n, (cid, end) in enumerate(zip(held, ends, strict=True)) if not n or end <= READ_BYTES]
            found = select(BoardObject.cid, BoardObject.body).where(col(BoardObject.cid).in_(chosen))
            read = dict(session.exec(found).all())
        return {Cid(cid): read[cid] for cid in chosen if cid in read}

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

    def replace_tip(self, genesis: Cid, head: Cid, epoch: int, *, instead_of: Cid) -> None:
        """Note the head that custodians settled on, in the place of one that they did not.

        Raises: StaleState: another head than `instead_of` is noted by now.
        """
        with self._records.writing(b"tip" + genesis.binary) as session:
            tip = session.get(BoardTip, genesis.binary)
            if tip is None or tip.head != instead_of.binary:
                raise StaleState(f"head {instead_of} is no longer the tip; look again")
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
        """Return a DAO's objects of one kind with their bytes, in the order they came; at most `LISTED_MAX`.

        Args:
            parent: only those about it; None for all.
        """
        _require_kind(kind)
        chosen = select(BoardObject.cid, BoardObject.body).where(*_chosen(genesis, kind, parent))
        with self._records.reading() as session:
            rows = session.exec(chosen.order_by(col(BoardObject.position)).limit(LISTED_MAX))
            return [(Cid(cid), body) for cid, body in rows]

    def since(
        self, genesis: Cid, after: int, *, kind: str | None = None, parent: Cid | None = None
    ) -> builtins.list[Entry]:
        """Return what came after a position, at most `ENTRIES_MAX` entries; none at the end."""
        chosen = select(BoardObject.position, BoardObject.kind, BoardObject.cid, BoardObject.parent).where(
            BoardObject.position > after,  # type: ignore[operator]  # a row that was written has one
            *_chosen(genesis, kind, parent),
        )
        with self._records.reading() as session:
            rows = session.exec(chosen.order_by(col(BoardObject.position)).limit(ENTRIES_MAX)).all()
        return [
            Entry(position, kind, Cid(cid), Cid(parent) if parent else None)  # type: ignore[arg-type]
            for position, kind, cid, parent in rows
        ]

    def count(self, kind: str, genesis: Cid, *, parent: Cid | None = None, quota: bytes | None = None) -> int:
        """Return how many objects of a kind there are: about one thing, against one quota, where these are given."""
        conditions = _chosen(genesis, kind, parent)
        if quota is not None:
            conditions.append(BoardObject.quota == quota)
        return self._counted(conditions)

    def open_count(self, kind: str, genesis: Cid, *, at: int) -> int:
        """Return how many objects of a kind are open after a time (UTC seconds)."""
        return self._counted([*_chosen(genesis, kind, None), BoardObject.until > at])  # type: ignore[operator]

    def missing(self, genesis: Cid, cids: Sequence[Cid]) -> builtins.list[Cid]:
        """Return those of the CIDs that are not here under this DAO."""
        known: set[bytes] = set()
        with self._records.fetching() as connection:
            for some in _in_parts([cid.binary for cid in cids]):
                known.update(connection.execute(_KNOWN, {"dao": genesis.binary, "some": some}).scalars())
        return [cid for cid in cids if cid.binary not in known]

    def _counted(self, conditions: Iterable[Any]) -> int:
        with self._records.fetching() as connection:
            return connection.execute(select(func.count()).select_from(BoardObject).where(*conditions)).scalar_one()


def _siblings(one: Kept) -> tuple[str, Cid | None]:
    return one.kind, one.parent if one.kind in _PARENTED else None


def _row(genesis: Cid, one: Kept) -> BoardObject:
    return BoardObject(
        kind=one.kind,
        genesis=genesis.binary,
        cid=one.cid.binary,
        parent=one.parent.binary if one.parent else None,
        body=one.body,
        quota=one.quota or None,
        until=one.until or None,
    )


def _chosen(genesis: Cid, kind: str | None, parent: Cid | None) -> builtins.list[Any]:
    conditions: builtins.list[Any] = [BoardObject.genesis == genesis.binary]
    if kind is not None:
        conditions.append(BoardObject.kind == kind)
    if parent is not None:
        conditions.append(BoardObject.parent == parent.binary)
    return conditions


def _in_parts(cids: builtins.list[bytes]) -> Iterable[builtins.list[bytes]]:
    return (cids[start : start + READ_MAX] for start in range(0, len(cids), READ_MAX))


def _require_kind(kind: str) -> None:
    if kind not in BOARD_KINDS:
        raise ValueError(f"a board keeps {', '.join(sorted(BOARD_KINDS))}; not {kind}")
