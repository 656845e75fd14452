"""The custodian's gRPC edge for votes: parse, one call, render. What takes long is done in threads, of which few."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, Acknowledgments
from vault.ballot import Proposal, Vote
from vault.balloting import VOTES_AT_ONCE
from vault.car import blocks_from_car, car_of
from vault.closing import Closing
from vault.custody import Custody
from vault.decision import Decision
from vault.errors import MalformedObject, RateExceeded
from vault.guardian import GuardianAct
from vault.offered import Answer, Offer
from vault.outcomes import BLOCKS_AT_ONCE
from vault.polls import VoteRow
from vault.rate import peer_name
from vault.staging import Staging
from vault.v1 import custody_pb2 as pb
from vault.vote_delegation import DelegationBatch
from vault.wire import answered, status_of

PROPOSAL_BYTES_MAX = 16 << 10
VOTE_BYTES_MAX = 4 << 10
WORDS_BYTES_MAX = 32 << 10
ACT_BYTES_MAX = 8 << 10
PAGE_BYTES = 2 << 20
CHECKED_ALONE = 4  # votes in one message; the signatures of more are checked in a thread
THREADS_MAX = 2  # at once, for votes
VOTING_METHODS = tuple(
    f"/vault.v1.CustodyService/{name}"
    for name in (
        "SubmitProposal", "SubmitVotes", "ListProposals", "ListPolls", "ListVotes", "CloseVote", "QueueDecision",
        "ListQueued", "SubmitAct", "ListActs", "SubmitDelegations", "GetBlocks",
    )
)  # fmt: skip

Context = grpc.aio.ServicerContext[Any, Any]


class VotingMethods:
    """The part of `vault.custody_server.CustodyServicer` that votes need."""

    _custody: Custody
    _staging: Staging
    _turns: asyncio.Semaphore
    _deciding: set[str]  # peers whose decision is being verified

    @answered
    async def SubmitProposal(  # noqa: N802, D102
        self, request: pb.SubmitProposalRequest, _: Context
    ) -> pb.SubmitProposalResponse:
        acknowledgment = self._custody.voting.balloting.submit_proposal(
            Proposal.from_bytes(request.proposal, bytes_max=PROPOSAL_BYTES_MAX),
            blocks_from_car(request.car),
            _words(request.acknowledgments),
        )
        return pb.SubmitProposalResponse(acknowledgment=acknowledgment.encoded())

    @answered
    async def SubmitVotes(  # noqa: N802, D102
        self, request: pb.SubmitVotesRequest, _: Context
    ) -> pb.SubmitVotesResponse:
        if len(request.votes) > VOTES_AT_ONCE:
            raise MalformedObject(f"at most {VOTES_AT_ONCE} votes are handed in at once")
        offers: list[Offer] = [
            (Vote.from_bytes(one.vote, bytes_max=VOTE_BYTES_MAX), _words(one.acknowledgments)) for one in request.votes
        ]
        balloting = self._custody.voting.balloting
        asked = balloting.asked(Cid(request.genesis), offers)
        if len(offers) <= CHECKED_ALONE:
            failures = asked.checked()
        else:
            async with self._turns:
                failures = await asyncio.to_thread(asked.checked)
        answers = balloting.answered(asked, failures)
        return pb.SubmitVotesResponse(answers=[_answer(answer) for answer in answers])

    @answered
    async def ListProposals(  # noqa: N802, D102
        self, request: pb.ListProposalsRequest, _: Context
    ) -> pb.ListProposalsResponse:
        known = self._custody.voting.balloting.proposals.page(Cid(request.genesis), _position(request.after))
        return pb.ListProposalsResponse(
            proposals=[
                pb.ListedProposal(
                    proposal=one.proposal.encoded(),
                    acknowledgments=Acknowledgments(given=one.acknowledgments).encoded(),
                    named=one.named.binary if one.named is not None else b"",
                    position=one.position,
                )
                for one in known
            ]
        )

    @answered
    async def ListPolls(self, request: pb.ListPollsRequest, _: Context) -> pb.ListPollsResponse:  # noqa: N802, D102
        changes = self._custody.voting.balloting.proposals.changes(Cid(request.genesis))
        return pb.ListPollsResponse(
            polls=[pb.Poll(proposal=proposal, position=position) for proposal, position in changes]
        )

    @answered
    async def ListVotes(self, request: pb.ListVotesRequest, _: Context) -> pb.ListVotesResponse:  # noqa: N802, D102
        known = self._custody.voting.balloting.vote_rows(
            Cid(request.genesis), request.proposal, _position(request.after)
        )
        return pb.ListVotesResponse(votes=_page(known))

    @answered
    async def CloseVote(self, request: pb.CloseVoteRequest, _: Context) -> pb.CloseVoteResponse:  # noqa: N802, D102
        outcomes, genesis = self._custody.voting.outcomes, Cid(request.genesis)
        async with self._turns:
            while True:
                ending = outcomes.ending(genesis, request.proposal)
                if isinstance(ending, Closing):
                    return pb.CloseVoteResponse(closing=ending.encoded())
                pages = await asyncio.to_thread(outcomes.counted, ending)
                outcomes.ended(ending, pages)

    @answered
    async def QueueDecision(  # noqa: N802, D102
        self, request: pb.QueueDecisionRequest, context: Context
    ) -> pb.QueueDecisionResponse:
        decision, peer = Decision.from_bytes(request.decision), peer_name(context.peer())
        if peer in self._deciding:
            raise RateExceeded("another decision from this address is being verified; wait for its answer")
        blocks = self._staging.of(peer) | blocks_from_car(request.car)
        outcomes = self._custody.voting.outcomes
        self._deciding.add(peer)
        try:
            async with self._turns:
                free_at = await asyncio.to_thread(outcomes.free_at, decision, blocks)
        finally:
            self._deciding.discard(peer)
        kept = outcomes.kept(decision, blocks, free_at)
        self._staging.drop(peer, blocks)
        return pb.QueueDecisionResponse(decision=kept.decision.binary, free_at=kept.free_at)

    @answered
    async def ListQueued(self, request: pb.ListQueuedRequest, _: Context) -> pb.ListQueuedResponse:  # noqa: N802, D102
        queued = self._custody.voting.outcomes.queued(Cid(request.genesis))
        return pb.ListQueuedResponse(
            queued=[
                pb.QueuedDecision(proposal=one.proposal, decision=one.decision.binary, free_at=one.free_at)
                for one in queued
            ]
        )

    @answered
    async def SubmitAct(self, request: pb.SubmitActRequest, _: Context) -> pb.SubmitActResponse:  # noqa: N802, D102
        signed = GuardianAct.from_bytes(request.act, bytes_max=ACT_BYTES_MAX)
        state = self._custody.voting.acting.submit_act(signed)
        return pb.SubmitActResponse(act=state.signed.encoded(), epoch=state.epoch)

    @answered
    async def ListActs(self, request: pb.ListActsRequest, _: Context) -> pb.ListActsResponse:  # noqa: N802, D102
        acts = self._custody.voting.acting.acts(Cid(request.genesis))
        return pb.ListActsResponse(acts=[act.encoded() for act in acts])

    @answered
    async def SubmitDelegations(  # noqa: N802, D102
        self, request: pb.SubmitDelegationsRequest, _: Context
    ) -> pb.SubmitDelegationsResponse:
        batch = DelegationBatch.from_bytes(request.batch)
        return pb.SubmitDelegationsResponse(epoch=self._custody.voting.acting.submit_delegations(batch))

    @answered
    async def GetBlocks(self, request: pb.GetBlocksRequest, _: Context) -> pb.GetBlocksResponse:  # noqa: N802, D102
        if len(request.cids) > BLOCKS_AT_ONCE:
            raise MalformedObject(f"at most {BLOCKS_AT_ONCE} blocks are asked for at once")
        found = self._custody.voting.outcomes.blocks(Cid(request.genesis), [Cid(cid) for cid in request.cids])
        return pb.GetBlocksResponse(car=car_of(found) if found else b"")


def _words(encoded: bytes) -> tuple[Acknowledgment, ...]:
    return Acknowledgments.from_bytes(encoded, bytes_max=WORDS_BYTES_MAX).given if encoded else ()


def _position(after: int) -> int:
    if after >= 1 << 63:
        raise MalformedObject("no list has so many changes")
    return after


def _answer(answer: Answer) -> pb.VoteAnswer:
    if isinstance(answer, Acknowledgment):
        return pb.VoteAnswer(acknowledgment=answer.encoded())
    _, reason, message = status_of(answer)
    return pb.VoteAnswer(reason=reason, message=message)


def _page(rows: Sequence[VoteRow]) -> list[pb.ListedVote]:
    page: list[pb.ListedVote] = []
    size = 0
    for row in rows:
        if size > PAGE_BYTES:
            break
        page.append(pb.ListedVote(vote=row.body, acknowledgments=row.acknowledgments, position=row.position))
        size += page[-1].ByteSize()
    return page
