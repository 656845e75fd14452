"""The chains on a board of one's own: verified head by head, and followed as far as custodians settled on them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from storage.cid import DAG_CBOR, Cid
from vault.board import Kept, Kind, Shelf
from vault.board_heads import Ahead, ahead_of
from vault.decision import Decision, Fetch
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, NotYet, StaleState, VaultError
from vault.head import Head
from vault.head_vote import MISSING_MAX, VOTE_BYTES_MAX, HeadVote
from vault.history import Cause, History, cause_from, link_cids, verified_history
from vault.leading import Leading, remembering
from vault.posted import about_of, bytes_max, children, place_of
from vault.posting import checked_named, head_from
from vault.vote_delegation import DelegationBatch


class BoardChains:
    """The part of `vault.pinboard.Pinboard` that heads need. Use it from one thread at a time."""

    def __init__(self, shelf: Shelf, *, clock: Callable[[], int], elsewhere: Fetch | None) -> None:
        self._shelf = shelf
        self._clock = clock
        self._elsewhere = elsewhere
        self._daos: dict[Cid, Ahead] = {}
        self._leading = Leading()

    @abstractmethod
    def is_welcome(self, genesis: Cid) -> bool:
        """Say whether this board is for a DAO."""

    def history(self, genesis: Cid) -> History:
        """Return a DAO's history as this board has verified it.

        Raises: `AccessDenied` where the DAO is not here; what verifying raises where the board's rows were changed.
        """
        return self.ahead(genesis).history

    def ahead(self, genesis: Cid) -> Ahead:
        """Return a DAO's history, and what could come next; raise what `history` does."""
        if genesis not in self._daos:
            tip = self._shelf.tip(genesis)
            if tip is None or not self.is_welcome(genesis):
                raise AccessDenied(f"DAO {genesis} is not on this board; hand in its charter first, if it takes others")
            at = self._clock()
            lost: dict[Cid, bytes] = {}
            fetch = self._fetch_with({}, self._noting(lost))
            history = verified_history(genesis, tip, fetch, at=at)
            self._mend(history, lost)
            self._daos[genesis] = ahead_of(self._shelf, history)
        return self._daos[genesis]

    def begin(self, history: History) -> None:
        """Take a history as verified where it is the one that this board is at; otherwise it is verified anew."""
        if self._shelf.tip(history.genesis) == history.heads[-1]:
            self._daos.setdefault(history.genesis, ahead_of(self._shelf, history))

    def _noting(self, lost: dict[Cid, bytes]) -> Fetch | None:
        """Return how to get blocks elsewhere, those that were got being noted."""
        elsewhere = self._elsewhere
        if elsewhere is None:
            return None

        def fetch(cid: Cid) -> bytes:
            lost[cid] = elsewhere(cid)
            return lost[cid]

        return fetch

    def _mend(self, history: History, lost: Mapping[Cid, bytes]) -> None:
        """Keep what was lost or changed here of a chain that holds."""
        genesis = history.genesis
        for cid, body in lost.items():
            self._shelf.mend(genesis, cid, body)
        fetch = self._fetch_with(lost)
        for cid in history.heads if lost else ():
            head = Head.from_bytes(fetch(cid))
            if head.cause is not None:
                self._keep_cause(genesis, head.cause, cause_from(fetch(head.cause)), fetch)
            self._shelf.put(Kind.HEAD, genesis, cid, head.cause, head.encoded())
        if genesis in lost:
            self._shelf.put(Kind.CHARTER, genesis, genesis, None, lost[genesis])

    def post_head_votes(self, genesis: Cid, bodies: Sequence[bytes]) -> None:
        """Keep custodians' votes for heads, and follow what they settle on.

        Raises: what is wrong with the first of them, where none is of use.
        """
        ahead, kept, failures, known = self.ahead(genesis), list[Kept](), list[VaultError](), 0
        for body in bodies:
            try:
                vote = HeadVote.from_bytes(body, bytes_max=VOTE_BYTES_MAX)
                if ahead.hear(vote):
                    posting = Kept(
                        kind=Kind.HEAD_VOTE, cid=vote.cid(), parent=vote.head, body=body, quota=vote.custodian
                    )
                    kept.append(posting)
                else:
                    known += 1
            except VaultError as error:
                failures.append(error)
        if kept:
            self._shelf.keep(genesis, kept)
        elif failures and not known:
            raise failures[0]
        self._advance(genesis)

    def follow(self, genesis: Cid, tip: Cid, fetch: Fetch) -> History:
        """Follow the chain to a head that custodians follow, link by link, whatever was followed and is not settled.

        Each link that verifies is kept before the next is looked at.

        Args:
            fetch: gives blocks from elsewhere, checked against their CIDs.
        Raises: what `extended` raises; the links before stay. `ForkedHistory` where custodians voted otherwise before.
        """
        ahead = self.ahead(genesis)
        path, _ = ahead.path(tip, fetch)
        self._go(ahead, path, fetch)
        ahead.settle()
        return ahead.history

    def go_back(self, genesis: Cid, head: Cid) -> History:
        """Leave what was followed after a head; nothing that custodians settled on is left."""
        ahead = self.ahead(genesis)
        heads = ahead.history.heads
        if head == heads[-1] or (epoch := heads.index(head)) < ahead.base:
            return ahead.history
        history = verified_history(genesis, head, self._fetch_with({}), at=self._clock())
        self._shelf.replace_tip(genesis, head, epoch, instead_of=heads[-1])
        ahead.move(history, self._shelf.get)
        return history

    def catch_up(self, genesis: Cid, fetch: Fetch) -> History:
        """Follow the chain as far as the votes here say that custodians settled on it, with blocks from elsewhere.

        Args:
            fetch: gives blocks from elsewhere, checked against their CIDs; it raises `VaultError` for one it lacks.
        """
        ahead = self.ahead(genesis)
        for cid in ahead.voted()[:MISSING_MAX]:
            with suppress(VaultError):
                self._keep_head(ahead, cid, Head.from_bytes(body := fetch(cid)), body, {})
        self._advance(genesis, fetch)
        return ahead.history

    def _next_head(self, genesis: Cid, body: bytes, offered: Mapping[Cid, bytes]) -> Cid:
        """Keep a head that may come next, and go on to it where custodians settled on it."""
        cid, ahead = Cid.of(DAG_CBOR, body), self.ahead(genesis)
        if cid in ahead.history.heads:
            return cid
        head = Head.from_bytes(body)
        if not ahead.is_voted(cid) and cid not in ahead.heads and cid != self._lacking(ahead):
            head_from(body, ahead.history)
            self._require_caused(ahead, cid, head, self._fetch_with({**offered, cid: body}))
        self._keep_head(ahead, cid, head, body, offered)
        self._advance(genesis)
        return cid

    def _require_caused(self, ahead: Ahead, cid: Cid, head: Head, fetch: Fetch) -> None:
        """Raise where a head that nobody voted for does not follow from a decision or act, or another already does.

        Members could make any number from their delegations, and anyone from a decision's proof cut up in other ways.
        """
        if head.cause is None:
            raise MalformedObject("a head after genesis names its cause")
        cause = cause_from(fetch(head.cause))
        if isinstance(cause, DelegationBatch):
            raise NotYet("no custodian has voted for this head; hand it to them, and their votes to this board")
        others = [one.cause for one in ahead.heads.values() if one.previous == head.previous and one.cause is not None]
        if any(about_of(cause_from(fetch(other))) == about_of(cause) for other in others):
            raise StaleState("another head that carries out the same waits here already")
        self._leading.after(ahead.history, cid, fetch, at=self._clock())

    def _keep_head(self, ahead: Ahead, cid: Cid, head: Head, body: bytes, offered: Mapping[Cid, bytes]) -> None:
        genesis = ahead.history.genesis
        if head.genesis != genesis or head.epoch <= ahead.base or len(body) > bytes_max(Kind.HEAD):
            raise ForkedHistory(f"the head is another DAO's, or not after epoch {ahead.base}, which is settled")
        self._shelf.put(Kind.HEAD, genesis, cid, head.cause, body)
        ahead.heads[cid] = head
        if head.cause is not None and head.cause in offered and self._shelf.missing(genesis, [head.cause]):
            cause = offered[head.cause]
            kind, parent = place_of(cause_from(cause))
            self._shelf.put(kind, genesis, head.cause, parent, cause)
            self._keep_named(ahead.history, head.cause, kind, cause, offered)

    def _lacking(self, ahead: Ahead) -> Cid | None:
        """Return the head that is wanted next: on the way to what custodians settled on."""
        return ahead.path(ahead.settled(), lambda _: None)[1]

    def _advance(self, genesis: Cid, elsewhere: Fetch | None = None) -> None:
        """Go on to what custodians settled on, as far as its blocks are here, or elsewhere."""
        ahead = self.ahead(genesis)
        path, _ = ahead.path(ahead.settled(), elsewhere or (lambda _: None))
        self._go(ahead, path, elsewhere)
        ahead.settle()

    def _look_ahead(self, genesis: Cid) -> None:
        """Go on where what came was all that was lacking; what is wrong with a head is nothing against what came."""
        if self.ahead(genesis).heads:
            with suppress(VaultError):
                self._advance(genesis)

    def _go(self, ahead: Ahead, path: Sequence[Cid], elsewhere: Fetch | None) -> None:
        """Verify links one by one and keep all that each is made of, the head last; one that lacks blocks waits."""
        before = ahead.history
        for cid in path:
            fetch = remembering(self._fetch_with({}, elsewhere))
            head = ahead.heads.get(cid) or Head.from_bytes(fetch(cid))
            if elsewhere is None and self._is_lacking_blocks(ahead, cid, head):
                return
            if head.previous != before.head.cid() and head.previous is not None:
                before = verified_history(before.genesis, head.previous, fetch, at=self._clock())
            try:
                before = self._leading.after(before, cid, fetch, at=self._clock())
            except NotYet:
                if elsewhere is not None:
                    raise
                return
            self._keep_link(ahead, before, fetch)

    def _keep_link(self, ahead: Ahead, after: History, fetch: Fetch) -> None:
        genesis, head, cid = after.genesis, after.head, after.heads[-1]
        if head.cause is not None:
            self._keep_cause(genesis, head.cause, cause_from(fetch(head.cause)), fetch)
        self._shelf.put(Kind.HEAD, genesis, cid, head.cause, head.encoded())
        if head.previous == (noted := ahead.history.heads[-1]):
            self._shelf.set_tip(genesis, cid, head.epoch)
        else:
            self._shelf.replace_tip(genesis, cid, head.epoch, instead_of=noted)
        ahead.move(after, self._shelf.get)

    def _is_lacking_blocks(self, ahead: Ahead, cid: Cid, head: Head) -> bool:
        genesis = ahead.history.genesis
        if head.cause is not None and self._shelf.missing(genesis, [head.cause]):
            return True
        return bool(self._shelf.missing(genesis, link_cids(cid, self._fetch_with({}))))

    def _keep_cause(self, genesis: Cid, cid: Cid, cause: Cause, fetch: Fetch) -> None:
        body = fetch(cid)
        match cause:
            case Decision():
                proposal = cause.proposal
                for child, kind in children(Kind.DECISION, body).items():
                    self._shelf.put(kind, genesis, child, cid if kind is Kind.BLOCK else None, fetch(child))
                self._shelf.put(Kind.PROPOSAL, genesis, proposal.cid(), None, proposal.encoded())
            case _:
                pass
        kind, parent = place_of(cause)
        self._shelf.put(kind, genesis, cid, parent, body)

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
