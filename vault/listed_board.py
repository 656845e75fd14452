"""What boards made of named files have in common: where each object lies follows from its name alone.

The layout is `<genesis>/<kind>/<name>`, with `<cid>` or `<cid>.<parent>` as the name, and `<genesis>/tip`. Where there
are many of one kind, they may lie one level deeper, in folders of two characters.
"""

from __future__ import annotations

import builtins
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from storage.cid import Cid
from storage.errors import InvalidCid
from vault.board import ENTRIES_MAX, Entry, Kind
from vault.errors import MalformedObject, RecordsUnavailable

FILES_MAX: Final = 400_000  # of all DAOs together
GENESES_MAX: Final = 1000
READ_BYTES: Final = 2 << 20  # in one answer; the first object comes whatever its size
IGNORED_MAX: Final = 20  # sentences kept
TIP_NAME: Final = "tip"
TIP_BYTES_MAX: Final = 200
SHARD_CHARS: Final = 2
EPOCH_DIGITS: Final = 6
_RANKS: Final[Mapping[str, int]] = {kind: rank for rank, kind in enumerate(Kind)}
Place = TypeVar("Place")  # where an object lies: a path, or the CID of a file


@dataclass(slots=True)
class _Dao(Generic[Place]):
    entries: list[Entry] = field(default_factory=list)
    known: set[Cid] = field(default_factory=set)
    tip: Place | None = None


class ListedBoard(Generic[Place]):
    """A board whose objects were found by listing folders."""

    name: str

    def __init__(self) -> None:
        self._daos: dict[Cid, _Dao[Place]] = {}
        self._places: dict[Cid, Place] = {}
        self._ignored: dict[str, None] = {}

    @property
    def ignored(self) -> tuple[str, ...]:
        """Return a sentence for each of the first files that were passed over."""
        return tuple(self._ignored)

    def get(self, cid: Cid) -> bytes | None:
        """Return an object's bytes, if it is there; what is not what its name says is passed over."""
        if cid not in self._places:
            self._refresh()
        if cid not in self._places:
            return None
        body = self._read(self._places[cid])
        if body is None or not cid.matches(body):
            self._ignore(f"{cid} in {self.name} is not what its name says")
            return None
        return body

    def bodies(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Return the bytes of the first of these objects that are here, up to `READ_BYTES` together."""
        found: dict[Cid, bytes] = {}
        size = 0
        for cid in cids:
            body = self.get(cid) if cid in self._places else None
            if body is None:
                continue
            size += len(body)
            if found and size > READ_BYTES:
                break
            found[cid] = body
        return found

    def tip(self, genesis: Cid) -> Cid | None:
        """Return the newest head that was noted."""
        noted = self._noted_tip(genesis)
        return noted[1] if noted else None

    def geneses(self) -> builtins.list[Cid]:
        """Return the DAOs that are here and have a head."""
        self._refresh()
        return [genesis for genesis in sorted(self._daos) if self.tip(genesis) is not None]

    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> builtins.list[tuple[Cid, bytes]]:
        """Return a DAO's objects of one kind, in the order they were found."""
        self._refresh()
        chosen = (entry.cid for entry in self._entries(genesis) if _is_asked(entry, kind, parent))
        found = ((cid, self.get(cid)) for cid in chosen)
        return [(cid, body) for cid, body in found if body is not None]

    def since(
        self, genesis: Cid, after: int, *, kind: str | None = None, parent: Cid | None = None
    ) -> builtins.list[Entry]:
        """Return what was found after a position, at most `ENTRIES_MAX` entries; none at the end.

        Files have no order of their own: positions count from when this object was made, and mean nothing to another.
        """
        self._refresh()
        later = self._entries(genesis)[after:]  # an entry's position is its index, counted from 1
        page: builtins.list[Entry] = []
        for entry in later:
            if _is_asked(entry, kind, parent):
                page.append(entry)
                if len(page) == ENTRIES_MAX:
                    break
        return page

    @abstractmethod
    def _refresh(self) -> None:
        """Look at what is there now, and tell `_found` and `_found_tip` of it."""

    @abstractmethod
    def _read(self, place: Place) -> bytes | None:
        """Return what lies at a place, at most `OBJECT_BYTES_MAX`; None where that is no file of such a size."""

    def _found(self, genesis: Cid, kind: str, names: Iterable[tuple[str, Place]]) -> None:
        """Take up the files of one folder; odd names are passed over with a sentence."""
        dao = self._daos.setdefault(genesis, _Dao())
        for text, place in sorted(names, key=lambda item: item[0]):
            try:
                cid, parent = place_from(text)
            except InvalidCid:
                self._ignore(f"{text[:80]!r} in {self.name} is no object's name")
                continue
            if cid in dao.known:
                continue
            if len(self._places) >= FILES_MAX:
                raise RecordsUnavailable(f"{self.name} holds more than {FILES_MAX} files; split it up")
            self._places[cid] = place
            dao.known.add(cid)
            dao.entries.append(Entry(len(dao.entries) + 1, kind, cid, parent))

    def _found_tip(self, genesis: Cid, place: Place) -> None:
        self._daos.setdefault(genesis, _Dao()).tip = place

    def _noted_tip(self, genesis: Cid) -> tuple[int, Cid] | None:
        """Return the epoch and the head that a tip's file says; None where it says nothing of the kind."""
        dao = self._daos.get(genesis)
        if dao is None:
            self._refresh()
            dao = self._daos.get(genesis)
        if dao is None or dao.tip is None:
            return None
        body = self._read(dao.tip)
        try:
            return tip_from(body or b"")
        except (MalformedObject, InvalidCid):
            self._ignore(f"the tip of {genesis} in {self.name} is not one")
            return None

    def _entries(self, genesis: Cid) -> builtins.list[Entry]:
        dao = self._daos.get(genesis)
        return dao.entries if dao is not None else []

    def _is_known(self, genesis: Cid, cid: Cid) -> bool:
        return genesis in self._daos and cid in self._daos[genesis].known

    def _ignore(self, sentence: str) -> None:
        if len(self._ignored) < IGNORED_MAX:
            self._ignored[sentence] = None


def name_of(cid: Cid, parent: Cid | None) -> str:
    """Return the name of an object's file."""
    return f"{cid}.{parent}" if parent else str(cid)


def place_from(name: str) -> tuple[Cid, Cid | None]:
    """Return an object's CID and its parent's, or raise `InvalidCid`; one object has one name."""
    first, dot, second = name.partition(".")
    cid, parent = Cid.parse(first), Cid.parse(second) if dot else None
    if name_of(cid, parent) != name:
        raise InvalidCid("the CID is not in the base that names are written in")
    return cid, parent


def tip_text(epoch: int, head: Cid) -> bytes:
    """Return what stands in a tip's file."""
    return f"{epoch} {head}\n".encode()


def tip_from(body: bytes) -> tuple[int, Cid]:
    """Return a tip's epoch and head, or raise `MalformedObject` or `InvalidCid`."""
    epoch, _, head = body[:TIP_BYTES_MAX].decode("ascii", "replace").strip().partition(" ")
    if not (epoch.isascii() and epoch.isdigit() and len(epoch) <= EPOCH_DIGITS):
        raise MalformedObject("a tip is an epoch and the CID of a head")
    return int(epoch), Cid.parse(head)


def by_rank(kinds: Iterable[str]) -> builtins.list[str]:
    """Return those names that are kinds, in the order in which objects lead to one another."""
    return sorted((kind for kind in kinds if kind in _RANKS), key=_RANKS.__getitem__)


def is_shard(name: str) -> bool:
    """Say whether a folder in a kind's folder holds objects of that kind."""
    return len(name) == SHARD_CHARS and name.isascii() and name.isalnum()


def _is_asked(entry: Entry, kind: str | None, parent: Cid | None) -> bool:
    return kind in (None, entry.kind) and parent in (None, entry.parent)
