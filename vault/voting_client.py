"""How members, executors and other custodians speak to a custodian of votes: the part of `CustodyClient` for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from storage.cid import Cid
from vault.acknowledgment import Acknowledgment, Acknowledgments
from vault.acting import ActState
from vault.ballot import Proposal, Vote
from vault.balloting import VOTES_AT_ONCE
from vault.car import blocks_from_car, car_of
from vault.closing import Closing
from vault.decision import Decision
from vault.errors import MalformedObject
from vault.guardian import GuardianAct
from vault.offered import Answer, KnownProposal, KnownVote, Offer
from vault.outcomes import BLOCKS_AT_ONCE, Queued
from vault.proposals import CHANGES_MAX
from vault.submitting import MESSAGE_BYTES, SUBMIT_TIMEOUT_S
from vault.v1 import custody_pb2 as pb
from vault.vote_delegation import DelegationBatch
from vault.wire import error_of

LISTED_MAX = 1000


class Caller(Protocol):
    """A connection to a custodian; `vault.client.CustodyClient` is it."""

    def stage_blocks(self, blocks: Mapping[Cid, bytes]) -> None: ...  # noqa: D102
    def _call(self, method: Callable[[Any], Callable[..., Any]], request: Any, *, timeout_s: float = ...) -> Any: ...


class VotingClient:
    """What a custodian does for a vote. Nothing that it answers is verified but its form."""

    def submit_proposal(
        self: Caller, proposal: Proposal, blocks: Mapping[Cid, bytes], acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment:
        """Hand in a proposal and the block that it names."""
        request = pb.SubmitProposalRequest(
            proposal=proposal.encoded(), car=car_of(blocks) if blocks else b"", acknowledgments=_words(acknowledgments)
        )
        return Acknowledgment.from_bytes(self._call(lambda stub: stub.SubmitProposal, request).acknowledgment)

    def submit_vote(
        self: _VotingCaller, genesis: Cid, vote: Vote, acknowledgments: Sequence[Acknowledgment] = ()
    ) -> Acknowledgment:
        """Hand in a vote. Raises what is wrong with it."""
        (answer,) = self.submit_votes(genesis, [(vote, acknowledgments)])
        if not isinstance(answer, Acknowledgment):
            raise answer
        return answer

    def submit_votes(self: Caller, genesis: Cid, offers: Sequence[Offer]) -> list[Answer]:
        """Hand in up to `VOTES_AT_ONCE` votes on one proposal; return what each was answered."""
        votes = [pb.OfferedVote(vote=vote.encoded(), acknowledgments=_words(given)) for vote, given in offers]
        request = pb.SubmitVotesRequest(genesis=genesis.binary, votes=votes)
        answers = self._call(lambda stub: stub.SubmitVotes, request).answers
        if len(answers) != len(offers) or len(answers) > VOTES_AT_ONCE:
            raise MalformedObject("the custodian did not answer each vote")
        return [_answer(answer) for answer in answers]

    def proposals(self: Caller, genesis: Cid, after: int) -> list[KnownProposal]:
        """Return a page of the proposals that changed after a position."""
        request = pb.ListProposalsRequest(genesis=genesis.binary, after=after)
        return [
            KnownProposal(
                proposal=Proposal.from_bytes(one.proposal),
                acknowledgments=Acknowledgments.from_bytes(one.acknowledgments).given,
                position=one.position,
            )
            for one in islice(self._call(lambda stub: stub.ListProposals, request).proposals, LISTED_MAX)
        ]

    def polls(self: Caller, genesis: Cid) -> dict[bytes, int]:
        """Return the position of the last change to the votes on each proposal where they can still matter."""
        answer = self._call(lambda stub: stub.ListPolls, pb.ListPollsRequest(genesis=genesis.binary))
        return {bytes(one.proposal): int(one.position) for one in islice(answer.polls, CHANGES_MAX)}

    def votes(self: Caller, genesis: Cid, proposal: bytes, after: int) -> list[KnownVote]:
        """Return a page of the votes on a proposal that changed after a position."""
        request = pb.ListVotesRequest(genesis=genesis.binary, proposal=proposal, after=after)
        return [
            KnownVote(
                vote=Vote.from_bytes(one.vote),
                acknowledgments=Acknowledgments.from_bytes(one.acknowledgments).given,
                position=one.position,
            )
            for one in islice(self._call(lambda stub: stub.ListVotes, request).votes, LISTED_MAX)
        ]

    def close_vote(self: Caller, genesis: Cid, proposal: bytes) -> Closing:
        """Return its word on which ballots were cast."""
        request = pb.CloseVoteRequest(genesis=genesis.binary, proposal=proposal)
        answer = self._call(lambda stub: stub.CloseVote, request, timeout_s=SUBMIT_TIMEOUT_S)
        return Closing.from_bytes(answer.closing)

    def queue_decision(self: Caller, decision: Decision, blocks: Mapping[Cid, bytes]) -> Queued:
        """Hand in a decision for its timelock, with its blocks: in as many calls as their size needs."""
        offered = {cid: block for cid, block in blocks.items() if cid != decision.cid()}
        is_large = sum(map(len, offered.values())) > MESSAGE_BYTES
        for message in _messages(offered) if is_large else ():
            self.stage_blocks(message)
        request = pb.QueueDecisionRequest(
            decision=decision.encoded(), car=car_of(offered) if offered and not is_large else b""
        )
        answer = self._call(lambda stub: stub.QueueDecision, request, timeout_s=SUBMIT_TIMEOUT_S)
        return Queued(
            proposal=decision.proposal.cid().digest, decision=Cid(answer.decision), free_at=int(answer.free_at)
        )

    def queued(self: Caller, genesis: Cid) -> list[Queued]:
        """Return the decisions that wait."""
        answer = self._call(lambda stub: stub.ListQueued, pb.ListQueuedRequest(genesis=genesis.binary))
        return [
            Queued(proposal=bytes(one.proposal), decision=Cid(one.decision), free_at=int(one.free_at))
            for one in islice(answer.queued, LISTED_MAX)
        ]

    def submit_act(self: Caller, signed: GuardianAct) -> ActState:
        """Hand in guardians' signatures of an act."""
        answer = self._call(lambda stub: stub.SubmitAct, pb.SubmitActRequest(act=signed.encoded()))
        epoch = int(answer.epoch) if answer.HasField("epoch") else None
        return ActState(signed=GuardianAct.from_bytes(answer.act), epoch=epoch)

    def acts(self: Caller, genesis: Cid) -> list[GuardianAct]:
        """Return the acts that wait for more signatures."""
        answer = self._call(lambda stub: stub.ListActs, pb.ListActsRequest(genesis=genesis.binary))
        return [GuardianAct.from_bytes(act) for act in islice(answer.acts, LISTED_MAX)]

    def submit_delegations(self: Caller, batch: DelegationBatch) -> int:
        """Hand in delegations of votes; return the epoch of the head that holds them."""
        request = pb.SubmitDelegationsRequest(batch=batch.encoded())
        return int(self._call(lambda stub: stub.SubmitDelegations, request).epoch)

    def blocks(self: Caller, genesis: Cid, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Return those of some blocks of governance that it has, checked against their CIDs."""
        found: dict[Cid, bytes] = {}
        wanted = list(dict.fromkeys(cids))
        while wanted:
            asked = wanted[:BLOCKS_AT_ONCE]
            request = pb.GetBlocksRequest(genesis=genesis.binary, cids=[cid.binary for cid in asked])
            answer = blocks_from_car(self._call(lambda stub: stub.GetBlocks, request).car)
            got = {cid: block for cid, block in answer.items() if cid in asked}
            found |= got
            # What did not fit comes with the next call; where nothing came, it has none of these.
            wanted = [cid for cid in wanted if cid not in got] if got else wanted[BLOCKS_AT_ONCE:]
        return found


class _VotingCaller(Protocol):
    def submit_votes(self, genesis: Cid, offers: Sequence[Offer]) -> list[Answer]: ...


def _words(given: Sequence[Acknowledgment]) -> bytes:
    return Acknowledgments(given=tuple(given)).encoded() if given else b""


def _answer(answer: pb.VoteAnswer) -> Answer:
    if answer.acknowledgment:
        return Acknowledgment.from_bytes(answer.acknowledgment)
    return error_of(answer.reason, answer.message)


def _messages(blocks: Mapping[Cid, bytes]) -> Iterator[dict[Cid, bytes]]:
    """Yield the blocks in parts that fit a message each."""
    part: dict[Cid, bytes] = {}
    for cid, block in blocks.items():
        if part and sum(map(len, part.values())) + len(block) > MESSAGE_BYTES:
            yield part
            part = {}
        part[cid] = block
    if part:
        yield part
