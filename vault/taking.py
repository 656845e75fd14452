"""Taking over a chain: verified from raw signatures, and a large one beside the event loop.

Verifying a decision of many ballots takes seconds. It then happens in a thread, of which there are few, and what came
of it counts only if the DAO's history is still the one it began with. One peer has one such chain verified at a time,
so no stranger takes every thread. What was verified is then a matter of votes (`vault.succession`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from storage.cid import Cid
from storage.errors import BlockNotFound
from vault.charter import Charter
from vault.contest import Contest
from vault.decision import Decision
from vault.errors import AccessDenied, ForkedHistory, MalformedObject, NotYet, RateExceeded, StaleState
from vault.head import Head
from vault.history import Cause, History, advanced, cause_from, verified_history
from vault.leading import Leading
from vault.links import Fetch
from vault.offered_chain import Offer, View, Votes, offered
from vault.station import Station
from vault.succession import Succession

ASIDE_MAX: Final = 2  # chains verified beside the loop at once
LARGE_BYTES: Final = 64 << 10  # of blocks, those that are here already included; less is verified at once
HEADS_AT_ONCE: Final = 64  # likewise
TRIES_MAX: Final = 3  # where others bring more of the same DAO meanwhile


class Taking:
    """Takes over the chains of every DAO served."""

    def __init__(
        self,
        station: Station,
        succession: Succession,
        *,
        require_named: Callable[[Charter], None],
        require_link: Callable[[Cid, Fetch], None],
    ) -> None:
        """Begin where the histories are.

        Args:
            require_named: raises unless a new DAO's charter names this custodian.
            require_link: raises where this custodian votes for no such head, though it is what its cause leads to.
        """
        self._histories, self._blobs, self._clock = station.histories, station.blobs, station.clock
        self._succession = succession
        self._require_named = require_named
        self._require_link = require_link
        self._turns = asyncio.Semaphore(ASIDE_MAX)
        self._leading = Leading()
        self._peers: set[str] = set()  # whose chains are being verified aside

    def follow(self, tip: Cid, blocks: Mapping[Cid, bytes], votes: Votes = ()) -> int:
        """Verify a chain to `tip` from its genesis, vote where there is to vote, and return the epoch followed."""
        view, fetch = self._view(tip, blocks)
        try:
            offer = offered(view, tip, fetch, votes)
        except (StaleState, ForkedHistory):
            self._heard(view, votes)
            raise
        return self._taken(offer, self._verified(offer, fetch), fetch, votes)

    def take_effect(self, genesis: Cid, cause: Cause) -> int:
        """Have a cause that names no blocks carried out: next where nothing else was voted for, otherwise after that.

        Returns the epoch followed by then. Raises: what `vault.history.advanced` raises.
        """
        after = advanced(self._succession.contest(genesis).followed, cause, self._blobs.get, at=self._clock())
        head = after.head
        return self.follow(head.cid(), {head.cid(): head.encoded(), cause.cid(): cause.encoded()})

    async def follow_aside(self, tip: Cid, blocks: Mapping[Cid, bytes], votes: Votes = (), *, peer: str) -> int:
        """Do as `follow`, without keeping the event loop from its other work; call it on that loop.

        Raises: `RateExceeded` while another chain of this peer's is being verified.
        """
        if not self._is_large(tip, blocks):
            return self.follow(tip, blocks, votes)
        if peer in self._peers:
            raise RateExceeded("another chain from this address is being verified; wait for its answer")
        self._peers.add(peer)
        try:
            await self._turns.acquire()
        except asyncio.CancelledError:
            self._peers.discard(peer)
            raise
        task = asyncio.get_running_loop().create_task(self._followed(tip, blocks, votes))
        task.add_done_callback(lambda _: self._end_turn(peer))
        return await asyncio.shield(task)  # whoever hangs up neither stops the thread nor frees its place

    def _is_large(self, tip: Cid, blocks: Mapping[Cid, bytes]) -> bool:
        """Say whether a chain takes long to verify: by all the blocks it needs, also those that are here already."""
        size = sum(map(len, blocks.values()))
        view, fetch = self._view(tip, blocks)
        cid: Cid | None = tip
        for _ in range(HEADS_AT_ONCE):
            if size >= LARGE_BYTES:
                return True
            if cid is None or cid in view.known:
                return False
            head = Head.from_bytes(fetch(cid))
            if head.cause is not None and isinstance(cause := cause_from(fetch(head.cause)), Decision):
                size += sum(len(fetch(one)) for one in (head.cause, *cause.pages()) if one not in blocks)
            cid = head.previous
        return True

    async def _followed(self, tip: Cid, blocks: Mapping[Cid, bytes], votes: Votes) -> int:
        for _ in range(TRIES_MAX):
            view, fetch = self._view(tip, blocks)
            before = self._histories.get(view.genesis)
            try:
                offer = await asyncio.to_thread(offered, view, tip, fetch, votes)
                verified = await asyncio.to_thread(self._verified, offer, fetch)
            except (StaleState, ForkedHistory):
                self._heard(view, votes)
                raise
            if self._histories.get(view.genesis) is before:
                epoch = self._taken(offer, verified, fetch, votes)
                await self._succession.carry_on(view.genesis)
                return epoch
        raise StaleState("this DAO's chain grew while what was handed in was verified; ask again")

    def _end_turn(self, peer: str) -> None:
        self._peers.discard(peer)
        self._turns.release()

    def _view(self, tip: Cid, blocks: Mapping[Cid, bytes]) -> tuple[View, Fetch]:
        """Return what is known of the DAO of a chain, and how to get blocks, as any thread may use it."""

        def fetch(cid: Cid) -> bytes:
            try:
                return blocks[cid] if cid in blocks else self._blobs.get(cid)
            except BlockNotFound as error:
                raise MalformedObject(f"the chain lacks a block: {error}") from error

        genesis = Head.from_bytes(fetch(tip)).genesis
        if genesis not in self._histories:
            return View(genesis, None, {}, ()), fetch
        contest = self._succession.contest(genesis)
        known = {one.heads[-1]: one for one in (*contest.histories.values(), contest.followed, contest.settled)}
        return View(genesis, contest.settled, known, tuple(contest.shown())), fetch

    def _heard(self, view: View, votes: Votes) -> None:
        """Take votes that came with a chain that is of no use; they were verified."""
        if view.settled is not None and self._succession.hear(view.genesis, votes):
            self._succession.settle(view.genesis, is_new=True)

    def _verified(self, offer: Offer, fetch: Fetch) -> list[History]:
        """Return the histories to each of the missing heads, the founding one first where the DAO is new."""
        at = self._clock()
        found: list[History] = []
        history = offer.base
        if history is None and offer.past is not None:
            history = verified_history(offer.genesis, offer.past, self._blobs.get, at=at)
        if history is None:
            raise ForkedHistory(f"the chain does not grow from the charter {offer.genesis}")
        if offer.is_new:
            self._require_named(history.charter)
            found.append(history)
        free = []
        for n, head in enumerate(offer.missing):
            history = self._leading.after(history, head, fetch, at=at)
            if n >= offer.certified and head not in offer.voted:
                self._require_link(head, fetch)
                free.append(history)
            found.append(history)
        if not offer.is_new:
            _require_apart(free)
        return found

    def _taken(self, offer: Offer, verified: Sequence[History], fetch: Fetch, votes: Votes) -> int:
        genesis, is_new = offer.genesis, False
        if genesis not in self._histories:
            first, *verified = verified
            if first.head.epoch:
                raise AccessDenied(
                    f"this custodian no longer knows DAO {genesis}; hand in its chain from the charter on"
                )
            self._blobs.put(genesis, fetch(genesis))
            self._blobs.put(first.heads[-1], first.head.encoded())
            self._histories.follow(first, settled=first)
            is_new = True
        contest = self._succession.contest(genesis)
        self._succession.offer(genesis, verified, fetch)
        is_new |= self._succession.hear(genesis, votes)
        self._succession.settle(genesis, is_new=is_new)
        for history in verified[offer.certified : offer.certified + 1]:
            is_chosen = history.heads[-1] in (*contest.own.values(), *contest.followed.heads)
            if not is_chosen and history.head.cause is not None:
                self._succession.wait_for(genesis, history.head.cause, history)
                self._succession.settle(genesis)
        _require_not_lost(contest, verified)
        return contest.followed.head.epoch


def _require_apart(histories: Sequence[History]) -> None:
    """Raise `NotYet` where delegations follow on others in what a lone custodian follows at once, without a vote."""
    batches = [one.charter for one in histories if one.charter_epoch < one.delegated_epoch == one.head.epoch]
    if len(batches) > 1 and len(batches[-1].custodians) == 1 and batches[-1].voting.delegations_every_s:
        raise NotYet("a chain brings several batches of delegations; hand in one after the other")


def _require_not_lost(contest: Contest, verified: Sequence[History]) -> None:
    """Raise `ForkedHistory` where another head came in the place of one that was handed in."""
    for history in verified[-1:]:
        epoch, head = history.head.epoch, history.heads[-1]
        if epoch <= contest.followed.head.epoch and contest.followed.heads[epoch] != head:
            raise ForkedHistory(
                f"head {contest.followed.heads[epoch]} won epoch {epoch}, not {head}; carry it out after that"
            )
