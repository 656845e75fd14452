"""A board with somebody who looks at what is handed in: the DAOs on it, each verified up to a head.

What a board service runs, and what a member runs who takes over what another board has. It signs nothing and decides
nothing; a head is kept when it follows, from raw signatures, from the head before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final

from storage.cid import DAG_CBOR, Cid
from vault.ballot import Proposal
from vault.board import Kept, Kind, Shelf
from vault.charter import Charter
from vault.codec import encode
from vault.decision import Decision, Fetch
from vault.errors import AccessDenied, ForkedHistory, InvalidDecision, MalformedObject, NotYet, StaleState, VaultError
from vault.guardian import GuardianAct
from vault.head import EPOCHS_MAX, Head
from vault.history import Cause, History, cause_from, extended, founded, verified_history
from vault.posted import bytes_max, children
from vault.posting import QuotaUsed, checked, checked_named, head_from

GENESES_MAX: Final = 1000
HEADS_BYTES_MAX: Final = 256 << 20  # of heads that are read before the first of them is verified


class Pinboard:
    """Checks and keeps what is handed in for the DAOs of one board. Use it from one thread at a time."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        clock: Callable[[], int],
        only: frozenset[Cid] | None = None,
        pool: Executor | None = None,
    ) -> None:
        """Look after a board of one's own.

        Args:
            clock: UTC seconds.
            only: the DAOs it is for; None for whichever come, up to `GENESES_MAX`.
            pool: where ballots' signatures are checked; here if None.
        """
        self._shelf = shelf
        self._clock = clock
        self._only = only
        self._pool = pool
        self._histories: dict[Cid, History] = {}
        self._proposals: dict[Cid, Proposal] = {}

    def history(self, genesis: Cid) -> History:
        """Return a DAO's history as this board has verified it.

        Raises: `AccessDenied` where the DAO is not here; what verifying raises where the board's rows were changed.
        """
        if genesis not in self._histories:
            tip = self._shelf.tip(genesis)
            if tip is None or not self.is_welcome(genesis):
                raise AccessDenied(f"DAO {genesis} is not on this board; hand in its charter first, if it takes others")
            at = self._clock()
            self._histories[genesis] = verified_history(genesis, tip, self._fetch_with({}), at=at, pool=self._pool)
        return self._histories[genesis]

    def is_welcome(self, genesis: Cid) -> bool:
        """Say whether this board is for a DAO."""
        return self._only is None or genesis in self._only

    def found(
        self, charter: bytes, blocks: Iterable[bytes] = (), *, on_new: Callable[[], None] = lambda: None
    ) -> History:
        """Keep a DAO's first charter, and what came with it of its roll.

        Args:
            on_new: called before a DAO is kept that was not here; it may raise.
        """
        if len(charter) > bytes_max(Kind.CHARTER):
            raise MalformedObject(f"a charter of {len(charter)} bytes is over the limit of {bytes_max(Kind.CHARTER)}")
        genesis = Cid.of(DAG_CBOR, charter)
        if not self.is_welcome(genesis):
            raise AccessDenied(f"this board is for other DAOs than {genesis}")
        if self._shelf.tip(genesis) is None:
            if len(self._shelf.geneses()) >= GENESES_MAX:
                raise AccessDenied(f"{GENESES_MAX} DAOs are on this board already, its limit; take it to another one")
            history = founded(Charter.from_bytes(charter))
            on_new()
            self._shelf.put(Kind.CHARTER, genesis, genesis, None, charter)
            self._shelf.put(Kind.HEAD, genesis, history.head.cid(), None, history.head.encoded())
            self._shelf.set_tip(genesis, history.head.cid(), 0)
        history = self.history(genesis)
        self._keep_named(history, genesis, Kind.CHARTER, charter, _by_cid(blocks))
        return history

    def post(self, kind: str, genesis: Cid, body: bytes, blocks: Iterable[bytes] = ()) -> Cid:
        """Keep what somebody signed, and what came with it that it names; again is fine.

        Raises: `checked` says what; `AccessDenied` also for a DAO that is not on this board.
        """
        if len(body) > (most := bytes_max(kind)):
            raise MalformedObject(f"a {kind} of {len(body)} bytes is over the limit of {most}")
        cid, offered, history = Cid.of(DAG_CBOR, body), _by_cid(blocks), self.history(genesis)
        if kind == Kind.HEAD:
            return self._next_head(history, body, offered)
        posting = self._checked_anew(kind, body, history, offered)
        if posting is None:
            self._keep_named(history, cid, Kind(kind), body, offered)
            return cid
        if kind == Kind.PROPOSAL:  # what it names first: a proposal on the board has it
            for child, named in children(kind, body).items():
                if child in offered:
                    self._shelf.put(named, genesis, child, None, offered[child])
        self._shelf.keep(genesis, [posting])
        self._keep_named(history, cid, Kind(kind), body, offered)
        return cid

    def post_votes(self, genesis: Cid, votes: Sequence[bytes]) -> list[VaultError | None]:
        """Keep many votes at once, and return what is wrong with each; the same as posting them one by one."""
        history = self.history(genesis)
        waiting: dict[tuple[Cid | None, bytes], Kept] = {}
        failures: list[VaultError | None] = []
        for body in votes:
            try:
                posting = self._checked_anew(Kind.VOTE, body, history, {})
                if posting is not None and (posting.parent, posting.quota) in waiting:
                    self._shelf.keep(genesis, list(waiting.values()))
                    waiting.clear()  # its voter's quota was counted without the one before
                    posting = self._checked_anew(Kind.VOTE, body, history, {})
            except VaultError as error:
                failures.append(error)
                continue
            failures.append(None)
            if posting is not None:
                waiting[posting.parent, posting.quota] = posting
        if waiting:
            self._shelf.keep(genesis, list(waiting.values()))
        return failures

    def post_named(self, genesis: Cid, named_by: Cid, blocks: Iterable[bytes]) -> None:
        """Keep blocks that a charter, proposal, roll or decision on the board names."""
        history, offered = self.history(genesis), _by_cid(blocks)
        for cid in self._shelf.missing(genesis, list(offered)):
            self._shelf.keep(genesis, [self._checked_block(history, offered[cid], named_by)])

    def follow(self, genesis: Cid, tip: Cid, fetch: Fetch) -> History:
        """Follow the chain to a head, link by link; each link that verifies is kept before the next is looked at.

        Args:
            fetch: gives blocks from elsewhere, checked against their CIDs.
        Raises: what `extended` raises; the links before stay.
        """
        history = self.history(genesis)
        for head in _heads_between(history, tip, fetch):
            history = self._followed(history, head, _remembering(self._fetch_with({}, fetch)))
        return history

    def _checked_anew(self, kind: str, body: bytes, history: History, offered: Mapping[Cid, bytes]) -> Kept | None:
        """Return what may be kept, None where it is kept already; the database is asked about valid objects only."""
        genesis, shelf = history.genesis, self._shelf
        cid, at, known = Cid.of(DAG_CBOR, body), self._clock(), self._proposals
        try:
            posting = checked(kind, body, history=history, shelf=shelf, at=at, offered=offered, proposals=known)
        except (NotYet, StaleState, InvalidDecision, QuotaUsed):
            if shelf.missing(genesis, [cid]):
                raise
            return None
        return posting if shelf.missing(genesis, [cid]) else None

    def _next_head(self, history: History, body: bytes, offered: Mapping[Cid, bytes]) -> Cid:
        cid = Cid.of(DAG_CBOR, body)
        if cid not in history.heads:
            head_from(body, history)
            self._followed(history, cid, self._fetch_with({**offered, cid: body}))
        return cid

    def _followed(self, history: History, tip: Cid, fetch: Fetch) -> History:
        """Verify one link and keep all that it is made of, the head last."""
        after = extended(history, tip, fetch, at=self._clock(), pool=self._pool)
        genesis, head = history.genesis, after.head
        if head.cause is not None:
            self._keep_cause(genesis, head.cause, cause_from(fetch(head.cause)), fetch)
        self._shelf.put(Kind.HEAD, genesis, tip, head.cause, head.encoded())
        self._shelf.set_tip(genesis, tip, head.epoch)
        self._histories[genesis] = after
        return after

    def _keep_cause(self, genesis: Cid, cid: Cid, cause: Cause, fetch: Fetch) -> None:
        body = fetch(cid)
        match cause:
            case Decision():
                proposal = cause.proposal
                for child, kind in children(Kind.DECISION, body).items():
                    self._shelf.put(kind, genesis, child, cid if kind is Kind.BLOCK else None, fetch(child))
                self._shelf.put(Kind.PROPOSAL, genesis, proposal.cid(), None, proposal.encoded())
                self._shelf.put(Kind.DECISION, genesis, cid, proposal.cid(), body)
            case GuardianAct():
                about = Cid.of(DAG_CBOR, encode(cause.act.value()))
                self._shelf.put(Kind.ACT, genesis, cid, about, body)
            case _:
                self._shelf.put(Kind.BLOCK, genesis, cid, None, body)

    def _keep_named(self, history: History, cid: Cid, kind: Kind, body: bytes, offered: Mapping[Cid, bytes]) -> None:
        """Keep those offered blocks that an object on the board leads to; others are passed over."""
        ahead = [(cid, kind, body)] if offered else []
        while ahead:
            above, above_kind, above_body = ahead.pop()
            for child, named in children(above_kind, above_body).items():
                if child not in offered:
                    continue
                if self._shelf.missing(history.genesis, [child]):
                    self._shelf.keep(history.genesis, [self._checked_block(history, offered[child], above)])
                ahead.append((child, named, offered[child]))

    def _checked_block(self, history: History, body: bytes, named_by: Cid) -> Kept:
        return checked_named(body, history=history, shelf=self._shelf, at=self._clock(), named_by=named_by)

    def _fetch_with(self, offered: Mapping[Cid, bytes], elsewhere: Fetch | None = None) -> Fetch:
        """Return how to get a block: from what was offered, from the board, or from elsewhere; always checked."""

        def fetch(cid: Cid) -> bytes:
            body = offered.get(cid) or self._shelf.get(cid)
            if body is not None and cid.matches(body):
                return body
            if elsewhere is not None:
                return elsewhere(cid)
            if body is None:
                raise NotYet(f"block {cid} is not on this board; hand it in first")
            raise MalformedObject(f"what this board keeps as {cid} was changed")

        return fetch


def _remembering(fetch: Fetch) -> Fetch:
    """Return how to get blocks of one link: each is looked at more than once, and fetched once."""
    known: dict[Cid, bytes] = {}

    def remembered(cid: Cid) -> bytes:
        if cid not in known:
            known[cid] = fetch(cid)
        return known[cid]

    return remembered


def _by_cid(blocks: Iterable[bytes]) -> dict[Cid, bytes]:
    return {Cid.of(DAG_CBOR, body): body for body in blocks}


def _heads_between(history: History, tip: Cid, fetch: Fetch) -> list[Cid]:
    """Return the heads after a history's own up to `tip`, oldest first; none where `tip` is known.

    Raises: `ForkedHistory` where `tip` does not grow from the history's head.
    """
    between: list[Cid] = []
    cid, epoch, size = tip, EPOCHS_MAX, 0
    while cid not in history.heads:
        body = fetch(cid)
        size += len(body)
        head = Head.from_bytes(body)
        if size > HEADS_BYTES_MAX or head.epoch >= epoch or head.genesis != history.genesis or head.previous is None:
            raise ForkedHistory(f"head {tip} does not lead back to this DAO's charter")
        between.append(cid)
        cid, epoch = head.previous, head.epoch
    if between and cid != history.head.cid():
        raise ForkedHistory(f"head {tip} does not grow from epoch {history.head.epoch}, which was accepted before")
    return between[::-1]
