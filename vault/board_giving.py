"""What another board is given of one's own: the charter with its roll, the chain link by link, then what is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from storage.cid import Cid
from vault.board import Board, Kind, Shelf
from vault.board_heads import Ahead
from vault.errors import InvalidDecision, NotYet, ServiceUnavailable, StaleState, VaultError
from vault.head import Head
from vault.history import cause_from
from vault.posted import children, place_of

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

    def __init__(self, here: Shelf, there: Board, ahead: Ahead, known: set[Cid], counts: Counts) -> None:
        self._here = here
        self._there = there
        self._ahead = ahead
        self._history = ahead.history
        self._known = known
        self._counts = counts

    def run(self) -> None:
        """Give what the other board lacks, until it refuses too much."""
        genesis, heads = self._history.genesis, self._history.heads
        try:
            self._give(Kind.CHARTER, genesis, None)
            for vote in (vote for some in self._ahead.votes.values() for vote in some):
                self._give(Kind.HEAD_VOTE, vote.cid(), vote.head)
            new = [cid for cid in heads if cid not in self._known]
            for cid in reversed(new):  # a board that looks at them takes what leads to a head that was voted for
                self._give_link(cid)
            self._set_tip()
            for kind in OPEN_KINDS:
                self._give_open(kind)
        except GivenUp as reason:
            self._counts.given_up = str(reason)

    def _give_link(self, cid: Cid) -> None:
        """Give a head, and what caused it before that."""
        head = Head.from_bytes(self._here.get(cid) or b"")
        if head.cause is None:
            self._give(Kind.HEAD, cid, None)
            return
        kind, parent = place_of(cause_from(self._here.get(head.cause) or b""))
        self._give(kind, head.cause, parent, is_again=True)
        if self._give(Kind.HEAD, cid, head.cause):
            self._give(kind, head.cause, parent)  # with what it names, where the head had to come first

    def _set_tip(self) -> None:
        """Note our head there, in the place of another one where custodians' votes for ours are there as well."""
        genesis, heads, base = self._history.genesis, self._history.heads, self._ahead.base
        try:
            noted = self._there.tip(genesis)
            if noted in heads or noted is None:
                if noted is None or heads.index(noted) < len(heads) - 1:
                    self._there.set_tip(genesis, heads[-1], len(heads) - 1)
            elif base:
                self._there.replace_tip(genesis, heads[base], base, instead_of=noted)
        except ServiceUnavailable:
            raise
        except VaultError as error:
            self._counts.say(f"its tip is left as it is: {error}")

    def _give_open(self, kind: Kind) -> None:
        over: set[Cid] = set()
        for cid, _, parent in list(_listed(self._here, self._history.genesis, kind)):
            if parent not in over and not self._give(kind, cid, parent) and parent is not None:
                over.add(parent)  # voting on it has ended there, or it is unknown: the other votes fare no better

    def _give(self, kind: Kind, cid: Cid, parent: Cid | None, *, is_again: bool = False) -> bool:
        """Give an object, and what it names, unless it is there; return whether it is there now.

        Args:
            is_again: where it is not taken now, it will be given again.
        """
        body = self._here.get(cid)
        if body is None or not cid.matches(body):
            return False
        is_whole = kind is not Kind.CHARTER or self._known.issuperset(children(kind, body))
        if cid not in self._known or not is_whole:
            self._known.discard(cid)
            for child, child_kind in children(kind, body).items() if kind is Kind.PROPOSAL else ():
                self._put(child_kind, child, None)  # before what names it: a proposal needs it
            if not self._put(kind, cid, parent, is_again=is_again):
                return False
        for child, child_kind in children(kind, body).items():
            self._give(child_kind, child, cid if child_kind is Kind.BLOCK else None)
        return True

    def _put(self, kind: Kind, cid: Cid, parent: Cid | None, *, is_again: bool = False) -> bool:
        body = self._here.get(cid)
        if cid in self._known or body is None:
            return True
        try:
            self._there.put(kind, self._history.genesis, cid, parent, body)
        except ServiceUnavailable:
            raise
        except VaultError as error:
            if is_again:
                return False
            self._counts.not_taken += 1
            self._counts.say(f"the other board does not take {kind} {cid}: {error}")
            if self._counts.not_taken > NOT_TAKEN_MAX:
                raise GivenUp(f"over {NOT_TAKEN_MAX} objects were not taken there; the rest is kept") from error
            return False
        self._known.add(cid)
        self._counts.given[kind] += 1
        return True


def put_link(board: Board, genesis: Cid, cid: Cid, blocks: Mapping[Cid, bytes]) -> None:
    """Put a head on a board, with what caused it and what that names.

    Raises: what the board says of the head, or of what came with it.
    """
    head = Head.from_bytes(blocks[cid])
    if head.cause is None:
        return  # it follows from the charter
    body = blocks[head.cause]
    kind, parent = place_of(cause_from(body))
    with suppress(InvalidDecision, StaleState, NotYet):  # it may be of a head that the board has yet to hear of
        board.put(kind, genesis, head.cause, parent, body)
    board.put(Kind.HEAD, genesis, cid, head.cause, blocks[cid])
    for child, child_kind in children(kind, body).items():
        if child in blocks:
            board.put(child_kind, genesis, child, head.cause if child_kind is Kind.BLOCK else None, blocks[child])


def _listed(board: Board, genesis: Cid, kind: Kind) -> Iterator[Listed]:
    after = 0
    while page := board.since(genesis, after, kind=kind):
        yield from ((entry.cid, entry.kind, entry.parent) for entry in page)
        after = page[-1].position
