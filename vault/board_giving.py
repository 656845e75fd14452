"""What another board is given of one's own: the charter with its roll, the chain link by link, then what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from storage.cid import DAG_CBOR, Cid
from vault.board import Board, Kind, Shelf
from vault.decision import Decision
from vault.errors import ServiceUnavailable, VaultError
from vault.guardian import GuardianAct
from vault.head import Head
from vault.history import History, cause_from
from vault.posted import children

NOT_TAKEN_MAX: Final = 200  # objects that the other board does not take; then it is given no more
REASONS_MAX: Final = 8
OPEN_KINDS: Final = (Kind.PROPOSAL, Kind.DECISION, Kind.DELEGATION, Kind.ACT, Kind.VOTE)
Listed = tuple[Cid, str, Cid | None]


@dataclass(slots=True, kw_only=True)
class Counts:
    """What a run did.

    Attributes:
        taken, given: new objects here and there, by kind.
        refused: objects of the other board that do not verify, or not now.
        not_taken: objects that the other board did not take.
        reasons: why, a sentence each, of the first of them.
        given_up: why the run ended before all was looked at, or empty.
        epoch: of the head here, afterwards.
    """

    taken: Counter[str] = field(default_factory=Counter)
    given: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    not_taken: int = 0
    reasons: dict[str, None] = field(default_factory=dict)
    given_up: str = ""
    epoch: int = 0

    def say(self, reason: str) -> None:
        """Note why something was not taken, once."""
        if len(self.reasons) < REASONS_MAX:
            self.reasons[reason] = None


class GivenUp(Exception):
    """A bound was reached; what was done by then stays."""


class Giving:
    """What is given to the other board: the charter, the chain, then what is open."""

    def __init__(self, here: Shelf, there: Board, history: History, known: set[Cid], counts: Counts) -> None:
        self._here = here
        self._there = there
        self._history = history
        self._known = known
        self._counts = counts

    def run(self) -> None:
        """Give what the other board lacks, until it refuses too much."""
        genesis, heads = self._history.genesis, self._history.heads
        try:
            self._give(Kind.CHARTER, genesis, None)
            for epoch, cid in enumerate(heads):
                if cid not in self._known:
                    self._give_link(cid)
                    self._set_tip(cid, epoch)
            for kind in OPEN_KINDS:
                self._give_open(kind)
        except GivenUp as reason:
            self._counts.given_up = str(reason)

    def _give_link(self, cid: Cid) -> None:
        """Give a head, and what caused it before that."""
        head = Head.from_bytes(self._here.get(cid) or b"")
        if head.cause is not None:
            kind, parent = self._place_of(head.cause)
            self._give(kind, head.cause, parent)
        self._give(Kind.HEAD, cid, head.cause)

    def _place_of(self, cause: Cid) -> tuple[Kind, Cid | None]:
        match cause_from(self._here.get(cause) or b""):
            case Decision() as decision:
                return Kind.DECISION, decision.proposal.cid()
            case GuardianAct() as signed:
                return Kind.ACT, Cid.from_digest(DAG_CBOR, signed.act.digest())
            case _:
                return Kind.BLOCK, None

    def _set_tip(self, head: Cid, epoch: int) -> None:
        try:
            self._there.set_tip(self._history.genesis, head, epoch)
        except ServiceUnavailable:
            raise
        except VaultError as error:
            self._counts.say(f"its tip is left as it is: {error}")

    def _give_open(self, kind: Kind) -> None:
        over: set[Cid] = set()
        for cid, _, parent in list(_listed(self._here, self._history.genesis, kind)):
            if parent not in over and not self._give(kind, cid, parent) and parent is not None:
                over.add(parent)  # voting on it has ended there, or it is unknown: the other votes fare no better

    def _give(self, kind: Kind, cid: Cid, parent: Cid | None) -> bool:
        """Give an object, and what it names, unless it is there; return whether it is there now."""
        body = self._here.get(cid)
        if body is None or not cid.matches(body):
            return False
        is_whole = kind is not Kind.CHARTER or self._known.issuperset(children(kind, body))
        if cid not in self._known or not is_whole:
            self._known.discard(cid)
            for child, child_kind in children(kind, body).items() if kind is Kind.PROPOSAL else ():
                self._put(child_kind, child, None)  # before what names it: a proposal needs it
            if not self._put(kind, cid, parent):
                return False
        for child, child_kind in children(kind, body).items():
            self._give(child_kind, child, cid if child_kind is Kind.BLOCK else None)
        return True

    def _put(self, kind: Kind, cid: Cid, parent: Cid | None) -> bool:
        body = self._here.get(cid)
        if cid in self._known or body is None:
            return True
        try:
            self._there.put(kind, self._history.genesis, cid, parent, body)
        except ServiceUnavailable:
            raise
        except VaultError as error:
            self._counts.not_taken += 1
            self._counts.say(f"the other board does not take {kind} {cid}: {error}")
            if self._counts.not_taken > NOT_TAKEN_MAX:
                raise GivenUp(f"over {NOT_TAKEN_MAX} objects were not taken there; the rest is kept") from error
            return False
        self._known.add(cid)
        self._counts.given[kind] += 1
        return True


def _listed(board: Board, genesis: Cid, kind: Kind) -> Iterator[Listed]:
    after = 0
    while page := board.since(genesis, after, kind=kind):
        yield from ((entry.cid, entry.kind, entry.parent) for entry in page)
        after = page[-1].position
