"""Custodians among themselves: heads gossip, and whoever was restored catches up (rules F4, F5).

A new head, handed in or heard, is handed on to every peer at once, and so are votes for what may come next with the
heads that they are for (`vault.succession`); and each peer is asked every few seconds for what it has. Everything goes
through `Custody.submit_head`, which verifies the chain from raw signatures, so a peer can bring news but invent none.
No host and no board can keep it back: a revocation handed to one custodian reaches all that it can reach, directly or
through others. Boards are a database that members share today, so none is polled yet.

Each peer is visited by a task of its own (`vault.visits`). Network calls run in threads; the custodian is only touched
on the event loop that serves it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Protocol

from storage.cid import Cid
from vault.catching_up import Told
from vault.charter import Custodian
from vault.client import CustodyClient
from vault.custody import Custody
from vault.custody_state import CustodyState, StateQuestion
from vault.destroying import heard_from
from vault.destruction import Destruction
from vault.errors import AccessDenied, ForkedHistory, InvalidSignature, MalformedObject, StaleState
from vault.head import EPOCHS_MAX
from vault.head_vote import HeadVote, KnownTip, voters_of
from vault.history import History
from vault.links import CHAIN_BYTES_MAX, LINK_BYTES_MAX, next_links
from vault.listing import latest_manifests
from vault.manifest import Manifest
from vault.served import GENESES_MAX
from vault.visits import Pace, Visits, each

EVERY_S = 10
START_WAIT_S = 10.0  # for peers to answer before serving begins; a dead one must not keep us from serving
ORDERS_EVERY_S = 60  # a peer's list of owners' orders to destroy shares is read
EXCHANGES_MAX = 8  # with a peer in one visit
BACKOFF_S = 1.0
BACKOFF_S_MAX = 60.0
log = logging.getLogger(__name__)


class Peer(Protocol):
    """What one custodian asks of another; `vault.client.CustodyClient` is the real one."""

    @property
    def custodian(self) -> Custodian: ...  # noqa: D102
    def known_tips(self, custodian: bytes) -> list[KnownTip]: ...  # noqa: D102
    def head_votes(self, genesis: Cid) -> tuple[list[HeadVote], list[Cid]]: ...  # noqa: D102
    def chain(self, genesis: Cid, known: Cid | None) -> tuple[Cid, dict[Cid, bytes]]: ...  # noqa: D102
    def branch(self, genesis: Cid, known: Cid | None, tip: Cid | None) -> tuple[Cid, dict[Cid, bytes]]: ...  # noqa: D102
    def submit_head(  # noqa: D102
        self, head: Cid, blocks: dict[Cid, bytes], votes: Sequence[HeadVote] = ()
    ) -> int: ...
    def custody_state(self, question: StateQuestion) -> CustodyState: ...  # noqa: D102
    def manifests(self, genesis: Cid, after: bytes) -> tuple[list[Manifest], bytes]: ...  # noqa: D102
    def destroyed(self, genesis: Cid, after: bytes) -> tuple[list[Destruction], bytes]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class CustodySync:
    """Keeps one custodian in touch with its peers."""

    def __init__(
        self,
        custody: Custody,
        addresses: Sequence[str],
        *,
        every_s: float = EVERY_S,
        start_wait_s: float = START_WAIT_S,
        connect: Callable[[str], Peer] = CustodyClient.connect,
    ) -> None:
        self._custody = custody
        self._start_wait_s = start_wait_s
        pace = Pace(every_s=every_s, backoff_s=BACKOFF_S, backoff_s_max=BACKOFF_S_MAX)
        self._visits: Visits[Peer] = Visits("custodian", addresses, connect, self._visit, pace=pace, log=log)
        self._told: dict[Cid, dict[bytes, Told]] = {}
        self._asking: dict[bytes, asyncio.Lock] = {}  # by the peers' keys
        self._heard_at: dict[tuple[bytes, Cid], int] = {}  # when a peer was asked for owners' orders about a DAO
        self._is_starting = True

    async def start(self) -> None:
        """Visit every peer once, waiting a bounded time, and take over what they remember; then go on in background.

        Call it before the custodian serves: until then it has signed nothing that a higher state could contradict.
        """
        self._custody.on_head = self._visits.hurry
        await self._visits.start(wait_s=self._start_wait_s)
        for genesis in list(self._told):
            await self._adopt(genesis)
        self._is_starting = False

    async def run(self) -> None:
        """Keep in touch until cancelled; raises only for a bug."""
        await self._visits.run()

    async def close(self) -> None:
        """Stop visiting."""
        await self._visits.close()

    async def _visit(self, _: str, client: Peer) -> None:
        """Bring both sides to the newest head of every DAO they share, then ask what the peer remembers.

        What goes wrong with one DAO does not keep the others from being visited; the first failure is raised.
        """
        mine, peer = self._custody.public.key, client.custodian.key
        if peer == mine:
            raise MalformedObject("this peer is the custodian itself; name the others with --peer")
        found = await asyncio.to_thread(client.known_tips, mine)
        tips = {tip.genesis: tip for tip in islice(found, GENESES_MAX)}
        shared = [genesis for genesis, _, _ in self._custody.catching_up.tips(peer)]
        is_asked = False

        async def meet(genesis: Cid) -> None:
            nonlocal is_asked
            await self._converge(client, genesis, tips.get(genesis))
            is_full = self._is_starting or self._custody.catching_up.is_behind(genesis)
            if is_full or not is_asked:  # one question tells the peer how far our numbers have come
                await self._ask(client, genesis, is_full=is_full)
                is_asked = True
            if genesis in tips:
                await self._hear_orders(client, genesis)

        await each(partial(meet, genesis) for genesis in dict.fromkeys([*shared, *tips]))

    async def _hear_orders(self, client: Peer, genesis: Cid) -> None:
        """Destroy what owners ordered the peer to destroy; once in a while, since hardly ever one is new."""
        last = self._heard_at.get((client.custodian.key, genesis))
        now = self._custody.catching_up.now()
        is_behind = self._is_starting or self._custody.catching_up.is_behind(genesis)
        if last is not None and now < last + ORDERS_EVERY_S and not is_behind:
            return
        orders: list[Destruction] = []
        page_after = partial(client.destroyed, genesis)
        await asyncio.to_thread(heard_from, page_after, orders.extend)
        heard = self._custody.destroying.hear(genesis, orders)
        self._heard_at[client.custodian.key, genesis] = now
        if heard:
            log.warning("%d shares were destroyed, as their owners ordered another custodian", heard)

    async def _converge(self, client: Peer, genesis: Cid, tip: KnownTip | None) -> None:
        """Exchange news with a peer until there are none: what one side brings, the other may answer with a vote."""
        for _ in range(EXCHANGES_MAX):
            before = self._custody.known_tips(client.custodian.key)
            await self._exchange(client, genesis, tip)
            found = await asyncio.to_thread(client.known_tips, self._custody.public.key)
            after = next((one for one in islice(found, GENESES_MAX) if one.genesis == genesis), None)
            if after == tip and before == self._custody.known_tips(client.custodian.key):
                return
            tip = after

    async def _exchange(self, client: Peer, genesis: Cid, tip: KnownTip | None) -> None:
        """Bring both sides to the same heads and the same votes."""
        own = self._custody.known_tips(client.custodian.key)
        mine = next((one for one in own if one.genesis == genesis), None)
        with suppress(StaleState):  # somebody else brought more meanwhile
            if tip is None:
                await self._hand_on(client, genesis, None)
            elif mine is None:
                votes, _ = await asyncio.to_thread(client.head_votes, genesis)
                await self._hear(client, genesis, votes, None)
            elif tip != mine:
                votes, missing = await asyncio.to_thread(client.head_votes, genesis)
                await self._hear_all(client, tip, votes)
                await self._tell_all_of(client, tip, votes, missing)
        if mine is not None and tip is not None and tip.epoch <= mine.epoch and not self._knows(genesis, tip.head):
            raise ForkedHistory(f"DAO {genesis} has two heads of epoch {tip.epoch}, one of them {tip.head} at the peer")
        await self._custody.succession.carry_on(genesis)

    def _knows(self, genesis: Cid, head: Cid) -> bool:
        if self._custody.catching_up.knows(genesis, head):
            return True
        try:
            self._custody.branch(genesis, head)
        except StaleState:
            return False
        return True

    async def _hear_all(self, client: Peer, tip: KnownTip, votes: Sequence[HeadVote]) -> None:
        """Take the peer's chain, and the heads that others voted for after it; then the votes."""
        genesis = tip.genesis
        is_ahead = tip.epoch > self._custody.succession.contest(genesis).followed.head.epoch
        if is_ahead or not self._knows(genesis, tip.head):
            await self._hear(client, genesis, votes, None)
        settled = self._custody.succession.contest(genesis).settled.head.epoch
        for head in voters_of(vote for vote in votes if vote.epoch > settled):
            if not self._knows(genesis, head):
                with suppress(StaleState, ForkedHistory, MalformedObject):  # the peer may have none of its blocks
                    await self._hear(client, genesis, votes, head)
        self._custody.hear_votes(genesis, votes)

    async def _tell_all_of(
        self, client: Peer, tip: KnownTip, votes: Sequence[HeadVote], missing: Sequence[Cid]
    ) -> None:
        """Hand a peer the chain, heads that may come next, and votes, as far as it lacks them."""
        genesis = tip.genesis
        contest = self._custody.succession.contest(genesis)
        ours, _ = self._custody.head_votes(genesis)
        if tip.head != contest.followed.heads[-1] and tip.head in contest.followed.heads:
            await self._hand_on(client, genesis, tip.head)
        has = {vote.head for vote in votes}.difference(missing)
        for head in dict.fromkeys([*contest.voted_beyond(), *missing]):
            branch = self._custody.succession.branch(genesis, head)
            if branch is not None and head not in has and tip.head in branch.heads:
                with suppress(StaleState, ForkedHistory):
                    await self._hand_on(client, genesis, tip.head, branch)
        if not {vote.signature for vote in ours} <= {vote.signature for vote in votes}:
            for head in (contest.settled.heads[-1], *contest.voted_beyond()):
                with suppress(StaleState, ForkedHistory, MalformedObject):  # what the peer may not have
                    await asyncio.to_thread(client.submit_head, head, {}, ours)
                    break

    async def _hand_on(self, client: Peer, genesis: Cid, known: Cid | None, branch: History | None = None) -> None:
        """Hand a peer the chain after the head it knows, to the followed head or to another."""
        votes, _ = self._custody.head_votes(genesis)
        piece = self._custody.catching_up.piece
        for _ in range(EPOCHS_MAX):
            head, blocks = await asyncio.to_thread(
                next_links, lambda known, skip: piece(genesis, known, skip, branch), known
            )
            if head == known:
                return
            await asyncio.to_thread(client.submit_head, head, blocks, votes)
            known = head

    async def _hear(self, client: Peer, genesis: Cid, votes: Sequence[HeadVote], tip: Cid | None) -> None:
        """Take the chain from a peer, to the head that it follows or to another one that may come next."""
        starts = self._starts(genesis)
        for n, known in enumerate(starts):
            try:
                await self._hear_after(client, genesis, votes, known, tip, is_fork=n > 1)
            except StaleState:
                if known == starts[-1]:
                    raise
            else:
                return

    def _starts(self, genesis: Cid) -> list[Cid | None]:
        """Return heads that a peer may know, latest first: those followed and settled, then ever longer past ones."""
        if genesis not in self._custody.succession.geneses():
            return [None]
        contest = self._custody.succession.contest(genesis)
        heads, back = contest.settled.heads, 2
        starts: list[Cid | None] = [contest.followed.heads[-1], heads[-1]]
        while back <= len(heads):
            starts.append(heads[-back])
            back *= 2
        return list(dict.fromkeys([*starts, heads[0]]))

    async def _hear_after(
        self,
        client: Peer,
        genesis: Cid,
        votes: Sequence[HeadVote],
        known: Cid | None,
        tip: Cid | None,
        *,
        is_fork: bool,
    ) -> None:
        size, name = 0, client.custodian.key.hex()
        gathered: dict[Cid, bytes] = {}
        for _ in range(EPOCHS_MAX):
            if size > (LINK_BYTES_MAX if is_fork else CHAIN_BYTES_MAX):
                raise MalformedObject(f"a peer's chain goes on after {size} bytes; the rest is taken next time")
            if tip is None:
                head, blocks = await asyncio.to_thread(client.chain, genesis, known)
            else:
                head, blocks = await asyncio.to_thread(client.branch, genesis, known, tip)
            size += sum(map(len, blocks.values()))
            if head == known:
                break
            gathered = gathered | blocks if is_fork else blocks
            known = head
            if not is_fork:
                await self._custody.submit_head_aside(head, gathered, votes, peer=name)
        if is_fork and gathered and known is not None:  # only its end shows that it won
            await self._custody.submit_head_aside(known, gathered, votes, peer=name)

    async def _ask(self, client: Peer, genesis: Cid, *, is_full: bool) -> None:
        """Ask what a peer remembers; in full only where that may be taken over.

        A custodian is asked one question at a time: where it has two addresses, one must not overtake another.
        """
        async with self._asking.setdefault(client.custodian.key, asyncio.Lock()):
            await self._ask_alone(client, genesis, is_full=is_full)

    async def _ask_alone(self, client: Peer, genesis: Cid, *, is_full: bool) -> None:
        catching_up = self._custody.catching_up
        asked_at = catching_up.now()
        question = catching_up.question(genesis, client.custodian.key)
        state = await asyncio.to_thread(client.custody_state, question)
        if state.custodian != client.custodian.key:
            raise InvalidSignature("a peer answers with another custodian's state than its own")
        told = catching_up.told(question, state, (), asked_at=asked_at)
        if is_full:
            page_after = partial(client.manifests, genesis)
            manifests = await asyncio.to_thread(latest_manifests, page_after, genesis, catching_up.charter(genesis))
            self._told.setdefault(genesis, {})[state.custodian] = replace(told, manifests=tuple(manifests))
            if not self._is_starting:
                await self._adopt(genesis)

    async def _adopt(self, genesis: Cid) -> None:
        told, catching_up = list(self._told.get(genesis, {}).values()), self._custody.catching_up
        try:
            if catching_up.takes(genesis, told, is_starting=self._is_starting):
                await asyncio.to_thread(catching_up.keep_manifests, told)
            if catching_up.adopt(genesis, told, is_starting=self._is_starting):
                self._told.pop(genesis, None)
                await self._custody.succession.carry_on(genesis)
        except (AccessDenied, ForkedHistory) as error:
            self._visits.complain(f"DAO {genesis}", error)
