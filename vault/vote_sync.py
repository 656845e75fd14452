"""Custodians hand on what they hold of votes, so that all of them close each vote with one set (rule G2).

What is new here is handed to every peer at once, and again until the peer has answered. Each peer is also asked every
few seconds for what changed there, proposals and acts always, votes while they can matter; so one side that reaches the
other is enough. Everything is verified by whoever takes it. A ballot is news when this custodian gives its word on it,
so a ballot crosses each pair of custodians once each way.

Positions say how far both sides have come; they are in memory only, and after a start everything is gone through anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment
from vault.acting import ActState
from vault.ballot import Proposal
from vault.balloting import VOTES_AT_ONCE
from vault.charter import Custodian
from vault.client import CustodyClient
from vault.custody import Custody
from vault.errors import NotYet, RateExceeded, RecordsUnavailable, ServiceUnavailable, StaleState, VaultError
from vault.guardian import GuardianAct
from vault.offered import Answer, KnownProposal, KnownVote, Offer
from vault.visits import Pace, Visits, each

EVERY_S = 3
BACKOFF_S = 0.5
BACKOFF_S_MAX = 15.0
PAGES_MAX = 10_000  # of one list, in one visit
DOUBTED_MAX = 256  # proposals that one peer has and we did not take; the earliest make room
AGAIN = (NotYet, StaleState, RateExceeded, RecordsUnavailable, ServiceUnavailable)
"""What a peer may answer now and not later: it is behind, or lacks what comes before."""

log = logging.getLogger(__name__)


class VotePeer(Protocol):
    """What one custodian asks of another; `vault.client.CustodyClient` is the real one."""

    @property
    def custodian(self) -> Custodian: ...  # noqa: D102
    def submit_proposal(  # noqa: D102
        self, proposal: Proposal, blocks: dict[Cid, bytes], acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment: ...
    def submit_votes(self, genesis: Cid, offers: Sequence[Offer]) -> list[Answer]: ...  # noqa: D102
    def proposals(self, genesis: Cid, after: int) -> list[KnownProposal]: ...  # noqa: D102
    def polls(self, genesis: Cid) -> dict[bytes, int]: ...  # noqa: D102
    def votes(self, genesis: Cid, proposal: bytes, after: int) -> list[KnownVote]: ...  # noqa: D102
    def submit_act(self, signed: GuardianAct) -> ActState: ...  # noqa: D102
    def acts(self, genesis: Cid) -> list[GuardianAct]: ...  # noqa: D102
    def blocks(self, genesis: Cid, cids: Sequence[Cid]) -> dict[Cid, bytes]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


_Waiting = dict[bytes, KnownProposal]


@dataclass(slots=True)
class _Exchange:
    """How far one peer and we have come with each other's lists."""

    told: dict[Cid, int] = field(default_factory=dict)  # by DAO: our position of proposals
    heard: dict[Cid, int] = field(default_factory=dict)  # by DAO: the peer's
    told_votes: dict[bytes, int] = field(default_factory=dict)  # by proposal
    heard_votes: dict[bytes, int] = field(default_factory=dict)
    refused: dict[Cid, _Waiting] = field(default_factory=dict)  # by DAO: the peer did not take them yet
    doubted: dict[Cid, _Waiting] = field(default_factory=dict)  # by DAO: we did not
    told_acts: dict[bytes, GuardianAct] = field(default_factory=dict)


class VoteSync:
    """Keeps the votes of one custodian the same as its peers'."""

    def __init__(
        self,
        custody: Custody,
        addresses: Sequence[str],
        *,
        every_s: float = EVERY_S,
        connect: Callable[[str], VotePeer] = CustodyClient.connect,
    ) -> None:
        self._custody = custody
        pace = Pace(every_s=every_s, backoff_s=BACKOFF_S, backoff_s_max=BACKOFF_S_MAX)
        self._visits: Visits[VotePeer] = Visits("custodian", addresses, connect, self._visit, pace=pace, log=log)
        self._exchanges: dict[str, _Exchange] = {}

    async def start(self) -> None:
        """Begin to visit every peer; call it on the loop that serves the custodian."""
        self._custody.voting.on_news(self._visits.hurry)
        await self._visits.start()

    async def run(self) -> None:
        """Keep in touch until cancelled; raises only for a bug."""
        await self._visits.run()

    async def close(self) -> None:
        """Stop visiting."""
        await self._visits.close()

    async def _visit(self, address: str, client: VotePeer) -> None:
        try:
            await self._exchanged(client, self._exchanges.setdefault(address, _Exchange()))
        except ServiceUnavailable:
            del self._exchanges[address]  # it may come back with less than it had
            raise

    async def _exchanged(self, client: VotePeer, exchange: _Exchange) -> None:
        """Hand on what is new here, then ask for what is new there; one DAO's failure keeps no other from it."""
        await each(
            partial(step, client, genesis, exchange)
            for genesis, _, _ in self._custody.catching_up.tips(client.custodian.key)
            for step in (self._tell, self._tell_acts, self._hear, self._hear_acts)
        )

    async def _tell(self, client: VotePeer, genesis: Cid, exchange: _Exchange) -> None:
        """Hand on proposals, those refused before included, then votes on those that are open."""
        balloting = self._custody.voting.balloting
        waiting = exchange.refused.setdefault(genesis, {})
        for _ in range(PAGES_MAX):
            page = balloting.proposals.page(genesis, exchange.told.get(genesis, 0))
            if not page:
                break
            waiting |= {one.proposal.cid().digest: one for one in page if balloting.proposals.matters(one.proposal)}
            exchange.told[genesis] = page[-1].position
        for digest, one in list(waiting.items()):
            if not balloting.proposals.matters(one.proposal):
                del waiting[digest]
                continue
            blocks = self._custody.voting.outcomes.blocks(genesis, [one.named]) if one.named is not None else {}
            try:
                await asyncio.to_thread(client.submit_proposal, one.proposal, blocks, one.acknowledgments)
            except ServiceUnavailable:
                raise
            except VaultError:
                continue  # it may be behind with the head that the proposal was made against
            del waiting[digest]
        for proposal in balloting.proposals.open(genesis):
            if proposal.cid().digest not in waiting:
                await self._tell_votes(client, proposal, exchange)

    async def _tell_votes(self, client: VotePeer, proposal: Proposal, exchange: _Exchange) -> None:
        digest = proposal.cid().digest
        for _ in range(PAGES_MAX):
            page = self._custody.voting.balloting.votes(proposal.genesis, digest, exchange.told_votes.get(digest, 0))[
                :VOTES_AT_ONCE
            ]
            if not page:
                return
            offers = [(one.vote, one.acknowledgments) for one in page]
            answers = await asyncio.to_thread(client.submit_votes, proposal.genesis, offers)
            for one, answer in zip(page, answers, strict=True):
                if isinstance(answer, AGAIN):
                    raise answer
                exchange.told_votes[digest] = one.position

    async def _hear(self, client: VotePeer, genesis: Cid, exchange: _Exchange) -> None:
        """Take the proposals that changed at a peer, then the votes on those that are open here."""
        balloting = self._custody.voting.balloting
        waiting = exchange.doubted.setdefault(genesis, {})
        for _ in range(PAGES_MAX):
            after = exchange.heard.get(genesis, 0)
            page = await asyncio.to_thread(client.proposals, genesis, after)
            if not page or page[-1].position <= after:
                break
            waiting |= {one.proposal.cid().digest: one for one in page if one.proposal.genesis == genesis}
            exchange.heard[genesis] = page[-1].position
            while len(waiting) > DOUBTED_MAX:
                del waiting[next(iter(waiting))]
        for digest, one in list(waiting.items()):
            if not balloting.proposals.matters(one.proposal):
                del waiting[digest]
                continue
            blocks = await self._named(client, genesis, one)
            with suppress(VaultError):  # we may be behind with the head that it was made against
                balloting.submit_proposal(one.proposal, blocks, one.acknowledgments)
                del waiting[digest]
        changed = await asyncio.to_thread(client.polls, genesis)
        for proposal in balloting.proposals.open(genesis):
            digest = proposal.cid().digest
            is_open = self._custody.catching_up.now() >= proposal.opens_at
            if is_open and changed.get(digest, 0) > exchange.heard_votes.get(digest, 0):
                await self._hear_votes(client, proposal, exchange)

    async def _named(self, client: VotePeer, genesis: Cid, one: KnownProposal) -> dict[Cid, bytes]:
        if one.named is None:
            return {}
        own = self._custody.voting.outcomes.blocks(genesis, [one.named])
        return own or await asyncio.to_thread(client.blocks, genesis, [one.named])

    async def _hear_votes(self, client: VotePeer, proposal: Proposal, exchange: _Exchange) -> None:
        balloting, digest = self._custody.voting.balloting, proposal.cid().digest
        for _ in range(PAGES_MAX):
            after = exchange.heard_votes.get(digest, 0)
            try:
                page = await asyncio.to_thread(client.votes, proposal.genesis, digest, after)
            except StaleState:  # it does not know the proposal yet
                return
            if not page or page[-1].position <= after:
                return
            for first in range(0, len(page), VOTES_AT_ONCE):
                some = page[first : first + VOTES_AT_ONCE]
                asked = balloting.asked(proposal.genesis, [(one.vote, one.acknowledgments) for one in some])
                balloting.answered(asked, await asyncio.to_thread(asked.checked))
            exchange.heard_votes[digest] = page[-1].position

    async def _tell_acts(self, client: VotePeer, genesis: Cid, exchange: _Exchange) -> None:
        waiting = {act.act.digest(): act for act in self._custody.voting.acting.acts(genesis)}
        for digest, act in waiting.items():
            if exchange.told_acts.get(digest) != act:
                await asyncio.to_thread(client.submit_act, act)
                exchange.told_acts[digest] = act
        for digest in [digest for digest, act in exchange.told_acts.items() if act.act.genesis == genesis]:
            if digest not in waiting:
                del exchange.told_acts[digest]

    async def _hear_acts(self, client: VotePeer, genesis: Cid, _: _Exchange) -> None:
        for act in await asyncio.to_thread(client.acts, genesis):
            with suppress(VaultError):  # it is not what we hold to be the DAO's chain
                self._custody.voting.acting.submit_act(act)
