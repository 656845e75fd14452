"""A board's gRPC edge: parse, one call, render. It holds no key and signs nothing.

What is handed in is looked at in one thread, so that the board needs no lock and a head with many ballots keeps nobody
from reading; what is read, in a few others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

import grpc

from storage.cid import Cid
from vault.board import ASKED_MAX, Entry, Kind, Shelf
from vault.codec import INTEGER_MAX
from vault.errors import MalformedObject, RateExceeded
from vault.guard import guarded_server
from vault.head_vote import VOTES_MAX
from vault.listening import started
from vault.pinboard import Pinboard
from vault.rate import PeerLimit, peer_name
from vault.tls import TlsIdentity
from vault.v1 import governance_pb2 as pb
from vault.v1 import governance_pb2_grpc as rpc
from vault.wire import answered

CALLS_MAX: Final = 100  # at once
PEER_CALLS_MAX: Final = 24  # of them from one address
READERS: Final = 4
WATCHERS_MAX: Final = 12
PEER_WATCHERS_MAX: Final = 3
WATCH_S_MAX: Final = 600.0
WRITE_S_MAX: Final = 30.0  # for a watcher to read one posting
POLL_S: Final = 5.0  # another process may write to the same records
BLOCKS_MAX: Final = 500  # beside an object, in one call
FOUNDED_PER_S: Final = 1 / 600  # new DAOs of one address
FOUNDED_BURST: Final = 5.0
LIMITED_METHODS: Final = tuple(
    f"/vault.v1.GovernanceService/{method.name}"
    for method in pb.DESCRIPTOR.services_by_name["GovernanceService"].methods
)

Context = grpc.aio.ServicerContext[Any, Any]
Result = TypeVar("Result")


class GovernanceServicer(rpc.GovernanceServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Serves one board."""

    def __init__(self, shelf: Shelf, pinboard: Pinboard, founding: PeerLimit) -> None:
        self._shelf = shelf
        self._pinboard = pinboard
        self._founding = founding
        self._writer = ThreadPoolExecutor(1, "board-writer")
        self._readers = ThreadPoolExecutor(READERS, "board-reader")
        self._news = asyncio.Event()
        self._watching: Counter[str] = Counter()
        self._closing = asyncio.Event()

    @answered
    async def ListDaos(self, request: pb.ListDaosRequest, _: Context) -> pb.ListDaosResponse:  # noqa: N802, D102
        def daos() -> list[pb.Dao]:
            named = [Cid(request.genesis)] if request.genesis else self._shelf.geneses()
            tips = ((genesis, self._shelf.tip(genesis)) for genesis in named if self._pinboard.is_welcome(genesis))
            return [pb.Dao(genesis=genesis.binary, head=tip.binary) for genesis, tip in tips if tip is not None]

        return pb.ListDaosResponse(daos=await self._read(daos))

    @answered
    async def PostCharter(  # noqa: N802, D102
        self, request: pb.PostCharterRequest, context: Context
    ) -> pb.PostCharterResponse:
        peer, blocks = peer_name(context.peer()), _blocks(request)

        def found() -> Cid:
            return self._pinboard.found(request.charter, blocks, on_new=lambda: self._founding.take(peer)).genesis

        return pb.PostCharterResponse(genesis=(await self._write(found)).binary)

    @answered
    async def PostProposal(self, request: pb.PostProposalRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.PROPOSAL, request, request.proposal, _blocks(request))
        return pb.PostProposalResponse()

    @answered
    async def PostBallot(self, request: pb.PostBallotRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.VOTE, request, request.vote)
        return pb.PostBallotResponse()

    @answered
    async def PostDelegation(self, request: pb.PostDelegationRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.DELEGATION, request, request.delegation)
        return pb.PostDelegationResponse()

    @answered
    async def PostAct(self, request: pb.PostActRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.ACT, request, request.act)
        return pb.PostActResponse()

    @answered
    async def PostDecision(self, request: pb.PostDecisionRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.DECISION, request, request.decision, _blocks(request))
        return pb.PostDecisionResponse()

    @answered
    async def PostHead(self, request: pb.PostHeadRequest, _: Context) -> Any:  # noqa: N802, D102
        await self._post(Kind.HEAD, request, request.head, _blocks(request))
        return pb.PostHeadResponse()

    @answered
    async def PostHeadVotes(self, request: pb.PostHeadVotesRequest, _: Context) -> Any:  # noqa: N802, D102
        genesis, votes = Cid(request.genesis), list(request.votes)
        if len(votes) > VOTES_MAX:
            raise MalformedObject(f"at most {VOTES_MAX} votes for heads are handed in at once")
        await self._write(lambda: self._pinboard.post_head_votes(genesis, votes))
        return pb.PostHeadVotesResponse()

    @answered
    async def PostBlocks(self, request: pb.PostBlocksRequest, _: Context) -> Any:  # noqa: N802, D102
        genesis, named_by, blocks = Cid(request.genesis), Cid(request.named_by), _blocks(request)
        await self._write(lambda: self._pinboard.post_named(genesis, named_by, blocks))
        return pb.PostBlocksResponse()

    @answered
    async def ListPostings(  # noqa: N802, D102
        self, request: pb.ListPostingsRequest, _: Context
    ) -> pb.ListPostingsResponse:
        genesis, after = Cid(request.genesis), _position(request.after)
        parent = Cid(request.parent) if request.parent else None
        entries = await self._read(lambda: self._shelf.since(genesis, after, kind=request.kind or None, parent=parent))
        return pb.ListPostingsResponse(postings=map(_posting, entries))

    @answered
    async def GetObjects(self, request: pb.GetObjectsRequest, _: Context) -> pb.GetObjectsResponse:  # noqa: N802, D102
        if len(request.cids) > ASKED_MAX:
            raise MalformedObject(f"ask for at most {ASKED_MAX} objects at once")
        cids = [Cid(cid) for cid in request.cids]
        found = await self._read(lambda: self._shelf.bodies(cids))
        return pb.GetObjectsResponse(objects=list(found.values()))

    @answered
    async def WatchPostings(self, request: pb.WatchPostingsRequest, context: Context) -> None:  # noqa: N802, D102
        genesis, after = Cid(request.genesis), _position(request.after)
        with self._one_more_watcher(peer_name(context.peer())), suppress(TimeoutError):
            async with asyncio.timeout(WATCH_S_MAX):
                while not self._closing.is_set():
                    news, start = self._news, after
                    for entry in await self._read(partial(self._shelf.since, genesis, start)):
                        async with asyncio.timeout(WRITE_S_MAX):
                            await context.write(pb.WatchPostingsResponse(posting=_posting(entry)))
                        after = entry.position
                    if after == start:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(POLL_S):
                                await news.wait()

    async def close(self) -> None:
        """End every watch, and take nothing more."""
        self._closing.set()
        self._tell()
        await asyncio.to_thread(self._writer.shutdown)
        await asyncio.to_thread(self._readers.shutdown)

    async def _post(self, kind: Kind, request: Any, body: bytes, blocks: list[bytes] | None = None) -> None:
        genesis = Cid(request.genesis)
        await self._write(lambda: self._pinboard.post(kind, genesis, body, blocks or ()))

    async def _write(self, work: Callable[[], Result]) -> Result:
        result = await asyncio.get_running_loop().run_in_executor(self._writer, work)
        self._tell()
        return result

    async def _read(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @contextmanager
    def _one_more_watcher(self, peer: str) -> Iterator[None]:
        if self._watching.total() >= WATCHERS_MAX or self._watching[peer] >= PEER_WATCHERS_MAX:
            raise RateExceeded("too many are watching this board, or from one address; list its postings instead")
        self._watching[peer] += 1
        try:
            yield
        finally:
            self._watching[peer] -= 1
            self._watching += Counter()  # forgets those at zero


def _blocks(request: Any) -> list[bytes]:
    if len(request.blocks) > BLOCKS_MAX:
        raise MalformedObject(f"hand in at most {BLOCKS_MAX} blocks at once")
    return list(request.blocks)


def _position(after: int) -> int:
    if after > INTEGER_MAX:
        raise MalformedObject("no posting has such a position")
    return after


def _posting(entry: Entry) -> pb.Posting:
    parent = entry.parent.binary if entry.parent else b""
    return pb.Posting(position=entry.position, kind=entry.kind, cid=entry.cid.binary, parent=parent)


class BoardServer:
    """A board that is being served."""

    def __init__(self, server: grpc.aio.Server, servicer: GovernanceServicer, port: int) -> None:
        self._server = server
        self._servicer = servicer
        self.port = port

    async def stop(self, grace_s: float) -> None:
        """End watches, answer what was asked, and stop."""
        closing = asyncio.ensure_future(self._servicer.close())
        await self._server.stop(grace_s)
        await closing


async def board_server(
    shelf: Shelf,
    pinboard: Pinboard,
    tls: TlsIdentity,
    listen: str,
    *,
    limit: PeerLimit | None = None,
    founding: PeerLimit | None = None,
) -> BoardServer:
    """Start serving on `host:port` (port 0: any free one).

    Args:
        limit: how often, and how much, one peer may ask or hand in.
        founding: how often one peer may bring a DAO that is new here.
    Raises: `OSError` where the address cannot be listened on.
    """
    server = guarded_server(calls_max=CALLS_MAX, peer_calls_max=PEER_CALLS_MAX, limited=LIMITED_METHODS, limit=limit)
    servicer = GovernanceServicer(shelf, pinboard, founding or PeerLimit(per_s=FOUNDED_PER_S, burst=FOUNDED_BURST))
    rpc.add_GovernanceServiceServicer_to_server(servicer, server)
    port = await started(server, tls, listen, pb.DESCRIPTOR.services_by_name["GovernanceService"])
    return BoardServer(server, servicer, port)
