"""Two boards brought to the same state, one's own and any other: a service, a folder, a directory on IPFS.

From the other board only that is taken which verifies here, as a service would (`vault.pinboard`): first the chain of
heads, link by link from raw signatures, then what is still open. So a board that hands out garbage, another DAO's
objects, an older head or a fork changes nothing here; and it is given up after a bounded number of objects and bytes.
What was taken stays, so the next run goes on where this one ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from storage.cid import DAG_CBOR, Cid
from storage.errors import StorageError
from vault.ballot import Proposal
from vault.board import ENTRIES_MAX, Board, Kind, Shelf, bodies_of
from vault.board_giving import OPEN_KINDS, Counts, GivenUp, Giving, Listed
from vault.closing import final_at
from vault.errors import AccessDenied, MalformedObject, ServiceUnavailable, StaleState, VaultError
from vault.history import History
from vault.pinboard import Pinboard
from vault.posted import children
from vault.posting import LATE_S

LISTED_MAX: Final = 400_000  # entries of one DAO on the other board
EXAMINED_MAX: Final = 100_000  # objects taken from it in one run
VOTES_AT_ONCE: Final = 200
EXAMINED_BYTES_MAX: Final = 512 << 20
REFUSED_MAX: Final = 1000  # of these that do not verify; then the board is given up


def synced(here: Shelf, there: Board, genesis: Cid, *, at: int, is_giving: bool = True) -> Counts:
    """Take what verifies from another board, and give it what it lacks.

    Args:
        at: UTC seconds.
        is_giving: False for a board that cannot be added to.
    Raises: `ServiceUnavailable` where it does not answer; `AccessDenied` where neither board has the DAO.
    """
    counts = Counts()
    pinboard = Pinboard(here, clock=lambda: at, elsewhere=lambda cid: _fetched(there, cid))
    last = _last_position(here, genesis)
    known = _Taking(here, there, genesis, pinboard, counts, at).run()
    for entry in _entries(here, genesis, last):
        counts.taken[entry[1]] += 1
    ahead = pinboard.ahead(genesis)
    counts.epoch = ahead.history.head.epoch
    if is_giving:
        Giving(here, there, ahead, known, counts).run()
    return counts


class _Taking:
    """What is taken from the other board, in the order in which one thing leads to another."""

    def __init__(self, here: Shelf, there: Board, genesis: Cid, pinboard: Pinboard, counts: Counts, at: int) -> None:
        self._here = here
        self._there = there
        self._genesis = genesis
        self._pinboard = pinboard
        self._counts = counts
        self._at = at
        self._bytes = 0
        self._examined = 0

    def run(self) -> set[Cid]:
        """Take all, and return the CIDs that the other board lists."""
        self._found()
        listed: set[Cid] = set()
        wanted: dict[str, list[tuple[Cid, Cid | None]]] = {kind: [] for kind in OPEN_KINDS}
        try:
            self._chain()
            for page in _pages(self._there, self._genesis):
                listed.update(cid for cid, _, _ in page)
                missing = set(self._here.missing(self._genesis, [cid for cid, kind, _ in page if kind in wanted]))
                for cid, kind, parent in page:
                    if cid in missing:
                        wanted[kind].append((cid, parent))
            for kind in OPEN_KINDS:
                self._open_ones(kind, wanted[kind])
        except GivenUp as reason:
            self._counts.given_up = str(reason)
        except ServiceUnavailable:
            raise
        except (VaultError, StorageError) as error:  # it contradicts itself
            self._counts.given_up = str(error)
        return listed

    def _found(self) -> None:
        if self._here.tip(self._genesis) is None:
            charter = self._there.get(self._genesis)
            if charter is None or Cid.of(DAG_CBOR, charter) != self._genesis:
                raise MalformedObject(f"neither board has DAO {self._genesis}")
            self._pinboard.found(charter)

    def _chain(self) -> None:
        try:
            self._head_votes()
            history = self._pinboard.catch_up(self._genesis, self._fetch)
            tip = self._there.tip(self._genesis)
            if tip is not None and tip not in history.heads:
                self._counts.say(f"its head {tip} is left: it shows too few custodians' votes for that")
            for charter_cid in {self._genesis, history.head.charter}:
                self._named(charter_cid, Kind.CHARTER)
        except ServiceUnavailable:
            raise
        except (VaultError, StorageError) as error:
            self._counts.refused += 1
            self._counts.say(f"its chain is not followed to its end: {error}")

    def _head_votes(self) -> None:
        """Take custodians' votes for heads: they say how far the chain is followed, not the other board's word."""
        cids: list[Cid] = []
        for page in _pages(self._there, self._genesis, kind=Kind.HEAD_VOTE):
            cids += [cid for cid, kind, _ in page if kind == Kind.HEAD_VOTE]
        for cid, body in bodies_of(self._there, self._here.missing(self._genesis, cids)[-EXAMINED_MAX:]):
            self._examine(body)
            try:
                self._pinboard.post_head_votes(self._genesis, [body])
            except (StaleState, AccessDenied):
                continue
            except VaultError as error:
                self._refused(Kind.HEAD_VOTE, cid, error)

    def _open_ones(self, kind: Kind, wanted: list[tuple[Cid, Cid | None]]) -> None:
        history = self._pinboard.history(self._genesis)
        if kind is Kind.VOTE:
            live = _live(self._here, history, self._at)
            wanted = [(cid, parent) for cid, parent in wanted if parent in live]
        bodies = bodies_of(self._there, [cid for cid, _ in wanted])
        if kind is Kind.VOTE:
            while some := list(islice(bodies, VOTES_AT_ONCE)):
                for _, body in some:
                    self._examine(body)
                failures = self._pinboard.post_votes(self._genesis, [body for _, body in some])
                for (cid, _), failure in zip(some, failures, strict=True):
                    self._refused(kind, cid, failure)
            return
        for cid, body in bodies:
            self._examine(body)
            try:
                self._take(kind, body)
            except ServiceUnavailable:
                raise
            except (VaultError, StorageError) as error:
                self._refused(kind, cid, error)

    def _refused(self, kind: Kind, cid: Cid, error: VaultError | StorageError | None) -> None:
        """Count what is not taken; raise `GivenUp` where that is too much, for what was never fine."""
        if error is None:
            return
        self._counts.refused += 1
        if isinstance(error, StaleState):
            return
        self._counts.say(f"{kind} {cid}: {error}")
        if self._counts.refused > REFUSED_MAX:
            raise GivenUp(f"over {REFUSED_MAX} of its objects do not verify; the rest is left") from error

    def _take(self, kind: Kind, body: bytes) -> None:
        cid = Cid.of(DAG_CBOR, body)
        blocks: list[bytes] = []
        if kind is Kind.PROPOSAL:
            missing = self._here.missing(self._genesis, list(children(kind, body)))
            blocks = [self._fetch(child) for child in missing]
        self._pinboard.post(kind, self._genesis, body, blocks)
        self._named(cid, kind)

    def _named(self, cid: Cid, kind: Kind) -> None:
        """Take what an object here names, and what that names, as far as the other board has it."""
        body = self._here.get(cid)
        if body is None:
            return
        named = children(kind, body)
        missing = set(self._here.missing(self._genesis, list(named)))
        for child, child_kind in named.items():
            if child in missing:
                block = self._there.get(child)
                if block is None:
                    continue
                self._examine(block)
                self._pinboard.post_named(self._genesis, cid, [block])
            self._named(child, child_kind)

    def _fetch(self, cid: Cid) -> bytes:
        body = _fetched(self._there, cid)
        self._examine(body)
        return body

    def _examine(self, body: bytes) -> None:
        self._bytes += len(body)
        self._examined += 1
        if self._examined > EXAMINED_MAX or self._bytes > EXAMINED_BYTES_MAX:
            raise GivenUp(f"after {self._examined} objects and {self._bytes} bytes, the rest is left for the next run")


def _fetched(board: Board, cid: Cid) -> bytes:
    body = board.get(cid)
    if body is None or not cid.matches(body):
        raise MalformedObject(f"the other board does not hand out block {cid}")
    return body


def _live(here: Shelf, history: History, at: int) -> set[Cid]:
    """Return the proposals here whose votes are still taken."""
    live: set[Cid] = set()
    for cid, body in here.list(Kind.PROPOSAL, history.genesis):
        try:
            proposal = Proposal.from_bytes(body)
            history.require_current(proposal)
        except VaultError:
            continue
        if at <= final_at(proposal, history.charter) + LATE_S:
            live.add(cid)
    return live


def _pages(board: Board, genesis: Cid, kind: Kind | None = None) -> Iterator[list[Listed]]:
    """Yield the pages of a board's list, whatever it says: ascending, and not without end."""
    after, listed = 0, 0
    while page := board.since(genesis, after, kind=kind)[:ENTRIES_MAX]:
        listed += len(page)
        if listed > LISTED_MAX:
            raise GivenUp(f"it lists more than {LISTED_MAX} objects; the rest is left")
        for entry in page:
            if entry.position <= after:
                raise MalformedObject("it lists what it listed before")
            after = entry.position
        yield [(entry.cid, entry.kind, entry.parent) for entry in page]


def _entries(board: Board, genesis: Cid, after: int) -> Iterator[Listed]:
    while page := board.since(genesis, after):
        yield from ((entry.cid, entry.kind, entry.parent) for entry in page)
        after = page[-1].position


def _last_position(board: Board, genesis: Cid) -> int:
    after = 0
    while page := board.since(genesis, after):
        after = page[-1].position
    return after
