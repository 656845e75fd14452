"""The custodian's gRPC edge: parse, one call, render."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from typing import Any

import grpc

from storage.cid import Cid
from vault.car import blocks_from_car, car_of
from vault.custodian import NONCE_LIFETIME_S
from vault.custody import Custody
from vault.custody_state import QUESTION_BYTES_MAX, StateQuestion
from vault.destruction import ORDER_BYTES_MAX, Destruction
from vault.errors import MalformedObject
from vault.evidence import Binding, Evidence
from vault.guard import guarded_server
from vault.head import Head
from vault.head_vote import VOTE_BYTES_MAX, VOTES_MAX, HeadVote
from vault.listening import started
from vault.manifest import Manifest, ShareDeposit
from vault.rate import BYTES_PER_CALL, PeerLimit, peer_name
from vault.release import HandBack, LeaseRequest, StateDeposit
from vault.staging import PEER_BYTES_MAX, Staging
from vault.tls import TlsIdentity
from vault.v1 import custody_pb2 as pb
from vault.v1 import custody_pb2_grpc as rpc
from vault.voting_server import THREADS_MAX, VOTING_METHODS, VotingMethods
from vault.wire import answered

CALLS_MAX = 100  # at once
PEER_CALLS_MAX = 24  # of them from one address
FOUNDED_PER_DAY = 20  # DAOs new to a custodian, from one address
DAY_S = 86_400
STAGED_BYTES_PER_S = 1 << 20  # from one address, once it staged as much as it may
LIMITED_METHODS = (
    "/vault.v1.CustodyService/Identify",
    "/vault.v1.CustodyService/Challenge",
    "/vault.v1.CustodyService/SubmitHead",
    "/vault.v1.CustodyService/DepositShare",
    "/vault.v1.CustodyService/DestroyShare",
    "/vault.v1.CustodyService/ListDestroyed",
    "/vault.v1.CustodyService/Release",
    "/vault.v1.CustodyService/DepositState",
    "/vault.v1.CustodyService/HandBack",
    "/vault.v1.CustodyService/GetTips",
    "/vault.v1.CustodyService/GetChain",
    "/vault.v1.CustodyService/GetHeadVotes",
    "/vault.v1.CustodyService/GetCustodyState",
    "/vault.v1.CustodyService/ListManifests",
    *VOTING_METHODS,
)

Context = grpc.aio.ServicerContext[Any, Any]


class CustodyServicer(VotingMethods, rpc.CustodyServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Serves one `Custody`. Calls run one after another on the event loop, so its state needs no lock."""

    def __init__(
        self,
        custody: Custody,
        tls_key: bytes,
        *,
        founding: PeerLimit | None = None,
        friends: Container[str] = (),
    ) -> None:
        """Serve a custodian.

        Args:
            founding: how often one address may bring a DAO that is new here.
            friends: addresses of the other custodians (`vault.rate.peer_name`), which may bring any number.
        """
        self._custody = custody
        self._founding = founding or PeerLimit(per_s=FOUNDED_PER_DAY / DAY_S, burst=FOUNDED_PER_DAY)
        self._friends = friends
        self._tls_key = tls_key
        self._staging = Staging()
        self._turns = asyncio.Semaphore(THREADS_MAX)
        self._deciding = set()
        self._staging_limit = _staging_limit()

    @answered
    async def Identify(self, request: pb.IdentifyRequest, _: Context) -> pb.IdentifyResponse:  # noqa: N802, D102
        record, signature = self._custody.identify(request.nonce, self._tls_key)
        return pb.IdentifyResponse(custodian=record.encoded(), signature=signature)

    @answered
    async def SubmitHead(  # noqa: N802, D102
        self, request: pb.SubmitHeadRequest, context: Context
    ) -> pb.SubmitHeadResponse:
        peer = peer_name(context.peer())
        blocks = self._staging.of(peer) | blocks_from_car(request.car)
        if len(request.votes) > VOTES_MAX:
            raise MalformedObject(f"at most {VOTES_MAX} votes for heads are handed in at once")
        votes = [HeadVote.from_bytes(vote, bytes_max=VOTE_BYTES_MAX) for vote in request.votes]
        if peer not in self._friends and self._is_of_new_dao(Cid(request.head), blocks):
            self._founding.take(peer)
        epoch = await self._custody.submit_head_aside(Cid(request.head), blocks, votes, peer=peer)
        self._staging.drop(peer, blocks)
        return pb.SubmitHeadResponse(epoch=epoch)

    def _is_of_new_dao(self, head: Cid, blocks: Mapping[Cid, bytes]) -> bool:
        return head in blocks and self._custody.is_new(Head.from_bytes(blocks[head]).genesis)

    @answered
    async def StageBlocks(  # noqa: N802, D102
        self, request: pb.StageBlocksRequest, context: Context
    ) -> pb.StageBlocksResponse:
        peer = peer_name(context.peer())
        self._staging_limit.take(peer)
        self._staging_limit.charge(peer, len(request.car))
        self._staging.put(peer, blocks_from_car(request.car))
        return pb.StageBlocksResponse()

    @answered
    async def DepositShare(  # noqa: N802, D102
        self, request: pb.DepositShareRequest, _: Context
    ) -> pb.DepositShareResponse:
        manifest = Manifest.from_bytes(request.manifest)
        self._custody.deposit_share(manifest, ShareDeposit.from_bytes(request.deposit))
        return pb.DepositShareResponse()

    @answered
    async def DestroyShare(  # noqa: N802, D102
        self, request: pb.DestroyShareRequest, _: Context
    ) -> pb.DestroyShareResponse:
        order = Destruction.from_bytes(request.order, bytes_max=ORDER_BYTES_MAX)
        receipt = self._custody.destroy_share(Manifest.from_bytes(request.manifest), order)
        return pb.DestroyShareResponse(receipt=receipt.encoded())

    @answered
    async def ListDestroyed(  # noqa: N802, D102
        self, request: pb.ListDestroyedRequest, _: Context
    ) -> pb.ListDestroyedResponse:
        orders, following = self._custody.destroying.orders(Cid(request.genesis), request.after)
        return pb.ListDestroyedResponse(orders=[order.encoded() for order in orders], next=following)

    @answered
    async def Challenge(self, request: pb.ChallengeRequest, _: Context) -> pb.ChallengeResponse:  # noqa: N802, D102
        nonce = self._custody.challenge(request.instance, request.keys)
        return pb.ChallengeResponse(nonce=nonce, lifetime_s=NONCE_LIFETIME_S)

    @answered
    async def Release(self, request: pb.ReleaseRequest, _: Context) -> pb.ReleaseResponse:  # noqa: N802, D102
        released = self._custody.release(
            Binding.from_bytes(request.binding),
            Evidence.from_bytes(request.evidence),
            LeaseRequest.from_bytes(request.request),
            known_head=Cid(request.known_head) if request.known_head else None,
        )
        return pb.ReleaseResponse(
            lease=released.lease.encoded(),
            car=car_of(dict(released.blocks)),
            shares=[share.encoded() for share in released.shares],
            state_share=released.state_share.encoded() if released.state_share else b"",
        )

    @answered
    async def DepositState(  # noqa: N802, D102
        self, request: pb.DepositStateRequest, _: Context
    ) -> pb.DepositStateResponse:
        self._custody.deposit_state(StateDeposit.from_bytes(request.deposit))
        return pb.DepositStateResponse()

    @answered
    async def HandBack(self, request: pb.HandBackRequest, _: Context) -> pb.HandBackResponse:  # noqa: N802, D102
        self._custody.hand_back(HandBack.from_bytes(request.hand_back))
        return pb.HandBackResponse()

    @answered
    async def GetTips(self, request: pb.GetTipsRequest, _: Context) -> pb.GetTipsResponse:  # noqa: N802, D102
        known = self._custody.known_tips(request.custodian)
        return pb.GetTipsResponse(
            tips=[
                pb.Tip(genesis=tip.genesis.binary, head=tip.head.binary, epoch=tip.epoch, votes=tip.votes)
                for tip in known
            ]
        )

    @answered
    async def GetHeadVotes(  # noqa: N802, D102
        self, request: pb.GetHeadVotesRequest, _: Context
    ) -> pb.GetHeadVotesResponse:
        votes, missing = self._custody.head_votes(Cid(request.genesis))
        return pb.GetHeadVotesResponse(
            votes=[vote.encoded() for vote in votes], missing=[head.binary for head in missing]
        )

    @answered
    async def GetChain(self, request: pb.GetChainRequest, _: Context) -> pb.GetChainResponse:  # noqa: N802, D102
        known = Cid(request.known_head) if request.known_head else None
        genesis, catching_up = Cid(request.genesis), self._custody.catching_up
        branch = self._custody.branch(genesis, Cid(request.branch)) if request.branch else None
        piece = await asyncio.to_thread(catching_up.piece, genesis, known, request.skip, branch)
        return pb.GetChainResponse(head=piece.head.binary if piece.head else b"", car=car_of(piece.blocks))

    @answered
    async def GetCustodyState(  # noqa: N802, D102
        self, request: pb.GetCustodyStateRequest, _: Context
    ) -> pb.GetCustodyStateResponse:
        question = StateQuestion.from_bytes(request.question, bytes_max=QUESTION_BYTES_MAX)
        return pb.GetCustodyStateResponse(state=self._custody.catching_up.answer(question).encoded())

    @answered
    async def ListManifests(  # noqa: N802, D102
        self, request: pb.ListManifestsRequest, _: Context
    ) -> pb.ListManifestsResponse:
        manifests, following = self._custody.catching_up.manifests(Cid(request.genesis), request.after)
        return pb.ListManifestsResponse(manifests=[manifest.encoded() for manifest in manifests], next=following)


def _staging_limit() -> PeerLimit:
    """Return the limit that StageBlocks counts by: keeping bytes costs less than what other methods do with them."""
    return PeerLimit(per_s=STAGED_BYTES_PER_S / BYTES_PER_CALL, burst=PEER_BYTES_MAX / BYTES_PER_CALL)


async def custody_server(
    custody: Custody,
    tls: TlsIdentity,
    listen: str,
    *,
    limit: PeerLimit | None = None,
    founding: PeerLimit | None = None,
    friends: frozenset[str] = frozenset(),
) -> tuple[grpc.aio.Server, int]:
    """Start serving on `host:port` (port 0: any free one) and return the server and its port.

    Args:
        limit: how often one peer may call what costs signatures, nonces or disk.
        founding: how often one peer may bring a DAO that is new here.
        friends: the other custodians' addresses (`vault.rate.peer_name`), which neither limit is for.
    Raises: `OSError` where the address cannot be listened on.
    """
    server = guarded_server(
        calls_max=CALLS_MAX, peer_calls_max=PEER_CALLS_MAX, limited=LIMITED_METHODS, limit=limit, friends=friends
    )
    servicer = CustodyServicer(custody, tls.key_hash, founding=founding, friends=friends)
    rpc.add_CustodyServiceServicer_to_server(servicer, server)
    return server, await started(server, tls, listen, pb.DESCRIPTOR.services_by_name["CustodyService"])
