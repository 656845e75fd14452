"""A custodian looks at up to two boards, so that what reaches only a board reaches it as well (rule F4).

From a board come the next heads, proposals, votes, guardians' acts and decisions, and each is taken as if somebody had
handed it in: the custodian verifies it, and gives its word on when it came, which is now. A board can bring news late
or never, and invent none. Delegations stay where they are: which of them make up a batch is for whoever hands one in,
since custodians that each made their own would part over the next head. What the custodian knows of these it tells the
board in its turn (`vault.board_telling`).

Each board is visited by a task of its own. Network calls run in threads; the custodian is only touched on the event
loop that serves it. Positions are in memory: after a start, a board is gone through anew, page by page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from storage.cid import DAG_CBOR, Cid
from storage.errors import StorageError
from vault.ballot import Proposal, Vote
from vault.balloting import VOTES_AT_ONCE
from vault.board import Board, Entry, Kind, bodies_of
from vault.board_client import BoardClient
from vault.board_telling import Telling
from vault.custody import Custody
from vault.decision import Decision
from vault.errors import (
    ForkedHistory,
    InvalidDecision,
    MalformedObject,
    NotYet,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    StaleState,
    VaultError,
)
from vault.guardian import GuardianAct
from vault.head import EPOCHS_MAX, Head
from vault.links import CHAIN_BYTES_MAX, LINK_BLOCKS_MAX, LINK_BYTES_MAX, link_blocks
from vault.posted import children
from vault.visits import Pace, Visits, each

BOARDS_MAX: Final = 2
EVERY_S: Final = 10.0
BACKOFF_S: Final = 1.0
BACKOFF_S_MAX: Final = 60.0
HEADS_AT_ONCE: Final = 100
PAGES_MAX: Final = 10  # of one DAO, in one visit
WAITING_MAX: Final = 4096  # objects of one DAO that are to be tried again; the earliest make room
TRIES_MAX: Final = 1000
FOLLOWED: Final = (Kind.PROPOSAL, Kind.VOTE, Kind.ACT, Kind.DECISION)
AGAIN: Final = (NotYet, StaleState, RateExceeded, RecordsUnavailable)  # what a custodian may say now and not later
log = logging.getLogger(__name__)


class FollowedBoard(Board, Protocol):
    """What is followed; `vault.board_client.BoardClient` is the real one."""

    def close(self) -> None: ...  # noqa: D102


@dataclass(slots=True)
class _Progress:
    """How far a board was followed for one DAO, and what is to be tried again with how often it was."""

    position: int = 0
    heads: int = 0  # position in the list of heads alone
    waiting: dict[Cid, tuple[str, int]] = field(default_factory=dict)

    def again(self, cid: Cid, kind: str, tries: int) -> None:
        if tries < TRIES_MAX:
            while len(self.waiting) >= WAITING_MAX:
                del self.waiting[next(iter(self.waiting))]
            self.waiting[cid] = (kind, tries)


class BoardFollower:
    """Keeps one custodian informed of what is on boards."""

    def __init__(
        self,
        custody: Custody,
        addresses: Sequence[str],
        *,
        connect: Callable[[str], FollowedBoard] = BoardClient,
    ) -> None:
        """Name the boards, at most `BOARDS_MAX`, as host:port. Raises `MalformedObject` for more."""
        pace = Pace(every_s=EVERY_S, backoff_s=BACKOFF_S, backoff_s_max=BACKOFF_S_MAX)
        self._visits: Visits[FollowedBoard] = Visits("board", addresses, connect, self._visit, pace=pace, log=log)
        if len(self._visits.addresses) > BOARDS_MAX:
            raise MalformedObject(f"a custodian follows at most {BOARDS_MAX} boards")
        self._custody = custody
        self._telling = Telling(custody)
        self._progress: dict[tuple[str, Cid], _Progress] = {}

    async def start(self) -> None:
        """Begin to visit every board; call it on the loop that serves the custodian."""
        await self._visits.start()

    async def run(self) -> None:
        """Follow until cancelled; raises only for a bug."""
        await self._visits.run()

    async def close(self) -> None:
        """Stop following."""
        await self._visits.close()

    async def visit(self, address: str) -> None:
        """Look once at a board, at every DAO that this custodian serves; the first failure is raised at the end."""
        await self._visits.once(address)

    async def _visit(self, address: str, board: FollowedBoard) -> None:
        await each(
            partial(step, address, board, genesis)
            for genesis, _, _ in self._custody.catching_up.tips(self._custody.public.key)
            for step in (self._hear_heads, self._hear_postings, self._telling.tell)
        )

    async def _hear_heads(self, address: str, board: FollowedBoard, genesis: Cid) -> None:
        """Take the board's chain, where it goes on from what is known here, link by link."""
        tip = await asyncio.to_thread(board.tip, genesis)
        if tip is None:
            return
        for head in await asyncio.to_thread(self._heads_to, board, genesis, tip):
            blocks = await asyncio.to_thread(_link, board, head)
            with suppress(StaleState):  # somebody else brought more meanwhile
                await self._custody.submit_head_aside(head, blocks, peer=f"board {address}")
        await self._hear_others(address, board, genesis)

    async def _hear_others(self, address: str, board: FollowedBoard, genesis: Cid) -> None:
        """Take the heads that could come next, which stand there beside the one that the board is at."""
        progress = self._progress.setdefault((address, genesis), _Progress())
        page: list[Entry] = await asyncio.to_thread(partial(board.since, genesis, progress.heads, kind=Kind.HEAD))
        for entry in page[:HEADS_AT_ONCE]:
            is_new = entry.kind == Kind.HEAD and not self._custody.catching_up.knows(genesis, entry.cid)
            if is_new and entry.position > progress.heads:
                with suppress(NotYet, StaleState, ForkedHistory, InvalidDecision, MalformedObject):
                    blocks = await asyncio.to_thread(_link, board, entry.cid)
                    await self._custody.submit_head_aside(entry.cid, blocks, peer=f"board {address}")
            progress.heads = max(progress.heads, entry.position)

    def _heads_to(self, board: FollowedBoard, genesis: Cid, tip: Cid) -> list[Cid]:
        """Return the heads up to `tip` that are not known here, oldest first."""
        heads: list[Cid] = []
        cid, epoch, size = tip, EPOCHS_MAX, 0
        while not self._custody.catching_up.knows(genesis, cid):
            body = _block(board, cid)
            size += len(body)
            head = Head.from_bytes(body)
            if size > CHAIN_BYTES_MAX or head.epoch >= epoch or head.genesis != genesis or head.previous is None:
                raise MalformedObject(f"the board's head {tip} does not lead back to the charter of {genesis}")
            heads.append(cid)
            cid, epoch = head.previous, head.epoch
        return heads[::-1]

    async def _hear_postings(self, address: str, board: FollowedBoard, genesis: Cid) -> None:
        progress = self._progress.setdefault((address, genesis), _Progress())
        earlier, progress.waiting = progress.waiting, {}
        await self._take(board, genesis, [(cid, kind) for cid, (kind, _) in earlier.items()], progress, earlier)
        for _ in range(PAGES_MAX):
            page: list[Entry] = await asyncio.to_thread(board.since, genesis, progress.position)
            if not page or page[-1].position <= progress.position:
                return
            await self._take(board, genesis, [(one.cid, one.kind) for one in page], progress, {})
            progress.position = page[-1].position

    async def _take(
        self,
        board: FollowedBoard,
        genesis: Cid,
        listed: Sequence[tuple[Cid, str]],
        progress: _Progress,
        earlier: dict[Cid, tuple[str, int]],
    ) -> None:
        """Hand objects to the custodian, kind by kind; what it may take later is kept in mind."""
        kinds = dict(listed)
        for kind in FOLLOWED:
            cids = [cid for cid, one in kinds.items() if one == kind]
            for start in range(0, len(cids), VOTES_AT_ONCE):
                some = cids[start : start + VOTES_AT_ONCE]
                bodies = await asyncio.to_thread(_bodies, board, some)
                for cid in await self._not_taken(board, genesis, kind, bodies):
                    progress.again(cid, kind, earlier.get(cid, (kind, 0))[1] + 1)

    async def _not_taken(
        self, board: FollowedBoard, genesis: Cid, kind: Kind, bodies: Sequence[tuple[Cid, bytes]]
    ) -> list[Cid]:
        """Hand in objects of one kind; return those that are to be tried again."""
        if kind is Kind.VOTE:
            return await self._votes_not_taken(genesis, bodies)
        again: list[Cid] = []
        for cid, body in bodies:
            try:
                await self._hand_in(board, genesis, kind, body)
            except ServiceUnavailable:
                raise
            except (*AGAIN, InvalidDecision):
                again.append(cid)  # this custodian may be behind with the head that it was made against
            except (VaultError, StorageError) as error:
                log.debug("%s %s is not taken: %s", kind, cid, error)
        return again

    async def _hand_in(self, board: FollowedBoard, genesis: Cid, kind: Kind, body: bytes) -> None:
        voting = self._custody.voting
        if kind is Kind.ACT:
            signed = GuardianAct.from_bytes(body)
            if signed.act.genesis == genesis:
                voting.acting.submit_act(signed)
            return
        proposal = Decision.from_bytes(body).proposal if kind is Kind.DECISION else Proposal.from_bytes(body)
        if proposal.genesis != genesis or not voting.balloting.proposals.matters(proposal):
            return
        if kind is Kind.PROPOSAL:
            blocks = await asyncio.to_thread(_named, board, kind, body)
            voting.balloting.submit_proposal(proposal, blocks)
        elif proposal.cid().digest not in {one.proposal for one in voting.outcomes.queued(genesis)}:
            decision, blocks = Decision.from_bytes(body), await asyncio.to_thread(_named, board, kind, body)
            free_at = await asyncio.to_thread(voting.outcomes.free_at, decision, blocks)
            voting.outcomes.kept(decision, blocks, free_at)

    async def _votes_not_taken(self, genesis: Cid, bodies: Sequence[tuple[Cid, bytes]]) -> list[Cid]:
        balloting = self._custody.voting.balloting
        by_proposal: dict[bytes, dict[Cid, Vote]] = {}
        for cid, body in bodies:
            with suppress(VaultError):
                vote = Vote.from_bytes(body)
                by_proposal.setdefault(vote.ballot.proposal, {})[cid] = vote
        again: list[Cid] = []
        for votes in by_proposal.values():
            try:
                asked = balloting.asked(genesis, [(vote, ()) for vote in votes.values()])
                answers = balloting.answered(asked, await asyncio.to_thread(asked.checked))
            except AGAIN:
                again += votes
            except VaultError as error:
                log.debug("votes are not taken: %s", error)
            else:
                again += [cid for cid, answer in zip(votes, answers, strict=True) if isinstance(answer, AGAIN)]
        return again


def _bodies(board: FollowedBoard, cids: Sequence[Cid]) -> list[tuple[Cid, bytes]]:
    return list(bodies_of(board, cids))


def _block(board: FollowedBoard, cid: Cid) -> bytes:
    body = board.get(cid)
    if body is None or Cid.of(DAG_CBOR, body) != cid:
        raise MalformedObject(f"the board does not hand out block {cid}, which it names")
    return body


def _link(board: FollowedBoard, head: Cid) -> dict[Cid, bytes]:
    """Return the blocks of a head's link, as large as any may be."""
    known: dict[Cid, bytes] = {}

    def fetch(cid: Cid) -> bytes:
        if cid not in known:
            known[cid] = _block(board, cid)
        if len(known) > LINK_BLOCKS_MAX or sum(map(len, known.values())) > LINK_BYTES_MAX:
            raise MalformedObject(f"a link of the board's chain has over {LINK_BYTES_MAX} bytes")
        return known[cid]

    return link_blocks(head, fetch)


def _named(board: FollowedBoard, kind: Kind, body: bytes) -> dict[Cid, bytes]:
    """Return what an object names, as far as the board has it."""
    named = {cid: board.get(cid) for cid in children(kind, body)}
    blocks = {cid: block for cid, block in named.items() if block is not None}
    if sum(map(len, blocks.values())) > LINK_BYTES_MAX:
        raise MalformedObject(f"what a {kind} names has over {LINK_BYTES_MAX} bytes")
    return blocks
