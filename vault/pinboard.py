"""A board with somebody who looks at what is handed in: the DAOs on it, each verified up to a head.

What a board service runs, and what a member runs who takes over what another board has. It signs nothing and decides
nothing; a head is kept when it follows, from raw signatures, from the head before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from storage.cid import DAG_CBOR, Cid
from vault.ballot import Proposal
from vault.board import Kept, Kind, Shelf
from vault.board_chains import BoardChains
from vault.charter import Charter
from vault.decision import Fetch
from vault.errors import AccessDenied, InvalidDecision, MalformedObject, NotYet, StaleState, VaultError
from vault.history import History, founded
from vault.posted import bytes_max, children
from vault.posting import QuotaUsed, checked

GENESES_MAX: Final = 1000


class Pinboard(BoardChains):
    """Checks and keeps what is handed in for the DAOs of one board. Use it from one thread at a time."""

    def __init__(
        self,
        shelf: Shelf,
        *,
        clock: Callable[[], int],
        only: frozenset[Cid] | None = None,
        elsewhere: Fetch | None = None,
    ) -> None:
        """Look after a board of one's own.

        Args:
            clock: UTC seconds.
            only: the DAOs it is for; None for whichever come, up to `GENESES_MAX`.
            elsewhere: gives blocks of the board's own chain that were lost or changed here.
        """
        super().__init__(shelf, clock=clock, elsewhere=elsewhere)
        self._only = only
        self._proposals: dict[Cid, Proposal] = {}

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
            return self._next_head(genesis, body, offered)
        if kind == Kind.HEAD_VOTE:
            self.post_head_votes(genesis, [body])
            return cid
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
        if kind in (Kind.DECISION, Kind.ACT):
            self._look_ahead(genesis)
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
        self._look_ahead(genesis)

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


def _by_cid(blocks: Iterable[bytes]) -> dict[Cid, bytes]:
    return {Cid.of(DAG_CBOR, body): body for body in blocks}
