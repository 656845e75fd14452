"""A board elsewhere, as a `Board`: what works on one's own works on it. Every object is checked against its CID.

Nobody vouches for the service, and nobody needs to: TLS keeps what is asked from others on the way, and the objects
speak for themselves. What nobody signs, such as a policy or a page of a roll, the service takes only once it has what
names it; it is held back here until then, so that it may be put in any order.
"""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self

import grpc

from storage.cid import DAG_CBOR, Cid
from storage.errors import InvalidCid
from vault.board import ASKED_MAX, ENTRIES_MAX, Entry, Kind, bodies_of
from vault.errors import (
    AccessDenied,
    InvalidDecision,
    MalformedObject,
    NotYet,
    RateExceeded,
    ServiceUnavailable,
    StaleState,
)
from vault.posted import bytes_max, children
from vault.tls import PinnedCertificate
from vault.v1 import governance_pb2 as pb
from vault.v1 import governance_pb2_grpc as rpc
from vault.wire import error_from

CALL_TIMEOUT_S: Final = 30.0  # a head with 20,000 ballots takes some seconds to verify
WATCH_TIMEOUT_S: Final = 700.0
TRIES_MAX: Final = 8  # where the service asks to wait
PAUSE_S: Final = 1.0
CALL_BYTES: Final = 2 << 20  # of blocks in one call
BLOCKS_MAX: Final = 100  # likewise
HELD_BYTES_MAX: Final = 64 << 20
LISTED_MAX: Final = 400_000
LISTED_BYTES_MAX: Final = 512 << 20
_SIMPLE: Final[Mapping[str, tuple[str, type[Any], str]]] = {
    Kind.VOTE: ("PostBallot", pb.PostBallotRequest, "vote"),
    Kind.DELEGATION: ("PostDelegation", pb.PostDelegationRequest, "delegation"),
    Kind.ACT: ("PostAct", pb.PostActRequest, "act"),
    Kind.DECISION: ("PostDecision", pb.PostDecisionRequest, "decision"),
    Kind.PROPOSAL: ("PostProposal", pb.PostProposalRequest, "proposal"),
    Kind.HEAD: ("PostHead", pb.PostHeadRequest, "head"),
    Kind.HEAD_VOTE: ("PostHeadVotes", pb.PostHeadVotesRequest, "votes"),
}


class BoardClient:
    """One board service. Nothing is asked before the first call; a lost connection is made anew."""

    def __init__(self, address: str, *, pause: Callable[[float], None] = time.sleep) -> None:
        """Name a board as `host:port`.

        Args:
            pause: waits so many seconds where the service asks to.
        """
        self.address = address
        self._pause = pause
        self._channel: grpc.Channel | None = None
        self._stub: rpc.GovernanceServiceStub | None = None
        self._held: dict[Cid, bytes] = {}
        self._namers: dict[Cid, Cid] = {}  # of what was put here: what names it

    def put(self, kind: str, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Hand in an object. Raises: what the service says; `MalformedObject` where `cid` does not name `body`."""
        if len(body) > bytes_max(kind) or not cid.matches(body):
            raise MalformedObject(f"these {len(body)} bytes are not the {kind} that {cid} names")
        if cid == genesis:
            self._call("PostCharter", pb.PostCharterRequest(charter=body))
        elif kind == Kind.HEAD and parent is None:
            return  # the first head follows from the charter
        elif kind in _SIMPLE:
            self._post(kind, genesis, body, parent)
        else:
            self._put_named(genesis, cid, parent, body)
            return
        self._put_held(kind, genesis, cid, body)

    def get(self, cid: Cid) -> bytes | None:
        """Return an object's bytes, if the board has it."""
        return self.bodies([cid]).get(cid)

    def bodies(self, cids: Sequence[Cid]) -> dict[Cid, bytes]:
        """Return the bytes of the first of these objects: as many as fit an answer, of those that are there."""
        asked = builtins.list(dict.fromkeys(cids[:ASKED_MAX]))
        answer = self._call("GetObjects", pb.GetObjectsRequest(cids=[cid.binary for cid in asked]))
        by_digest = {cid.digest: cid for cid in asked}
        found: dict[Cid, bytes] = {}
        for body in answer.objects:
            cid = by_digest.get(Cid.of(DAG_CBOR, body).digest)
            if cid is None or cid in found:
                raise MalformedObject(f"the board at {self.address} hands out what it was not asked for")
            found[cid] = body
        return found

    def set_tip(self, genesis: Cid, head: Cid, epoch: int) -> None:
        """Do nothing: the service notes the newest head that it verified."""

    def replace_tip(self, genesis: Cid, head: Cid, epoch: int, *, instead_of: Cid) -> None:
        """Do nothing: the service follows what custodians' votes on it say."""

    def tip(self, genesis: Cid) -> Cid | None:
        """Return the newest head the board says there is."""
        return self._tips(pb.ListDaosRequest(genesis=genesis.binary)).get(genesis)

    def geneses(self) -> builtins.list[Cid]:
        """Return the DAOs on the board."""
        return sorted(self._tips(pb.ListDaosRequest()))

    def list(self, kind: str, genesis: Cid, parent: Cid | None = None) -> builtins.list[tuple[Cid, bytes]]:
        """Return a DAO's objects of one kind, in the order they came.

        Raises: `MalformedObject` where the board lists more than `LISTED_MAX`, or `LISTED_BYTES_MAX` of bytes.
        """
        listed: builtins.list[Cid] = []
        after = 0
        while page := self.since(genesis, after, kind=kind, parent=parent):
            listed += [entry.cid for entry in page]
            after = page[-1].position
            if len(listed) > LISTED_MAX:
                raise MalformedObject(f"the board at {self.address} lists more than {LISTED_MAX} objects of one kind")
        found: builtins.list[tuple[Cid, bytes]] = []
        size = 0
        for cid, body in bodies_of(self, builtins.list(dict.fromkeys(listed))):
            size += len(body)
            if size > LISTED_BYTES_MAX:
                raise MalformedObject(f"the board at {self.address} lists more than {LISTED_BYTES_MAX} bytes")
            found.append((cid, body))
        return found

    def since(
        self, genesis: Cid, after: int, *, kind: str | None = None, parent: Cid | None = None
    ) -> builtins.list[Entry]:
        """Return what came after a position, at most `ENTRIES_MAX` entries; none at the end."""
        request = pb.ListPostingsRequest(
            genesis=genesis.binary, after=after, kind=kind or "", parent=parent.binary if parent else b""
        )
        page = [self._entry(posting) for posting in self._call("ListPostings", request).postings]
        if len(page) > ENTRIES_MAX:
            raise MalformedObject(f"the board at {self.address} lists more than {ENTRIES_MAX} entries on one page")
        last = after
        for entry in page:
            if entry.position <= last or kind not in (None, entry.kind) or parent not in (None, entry.parent):
                raise MalformedObject(f"the board at {self.address} lists what it was not asked for, or twice")
            last = entry.position
        return page

    def watch(self, genesis: Cid, after: int) -> Iterator[Entry]:
        """Yield what came after a position, and what comes, until the service ends it: watch anew from there then."""
        request = pb.WatchPostingsRequest(genesis=genesis.binary, after=after)
        stream = self._connected().WatchPostings(request, timeout=WATCH_TIMEOUT_S)
        try:
            for answer in stream:
                entry = self._entry(answer.posting)
                if entry.position <= after:
                    raise MalformedObject(f"the board at {self.address} shows what it showed before")
                after = entry.position
                yield entry
        except grpc.RpcError as error:
            raise self._failure(error) from error
        finally:
            stream.cancel()

    def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._stub = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, kind: str, genesis: Cid, body: bytes, parent: Cid | None) -> None:
        method, request, name = _SIMPLE[kind]
        fields: dict[str, Any] = {"genesis": genesis.binary, name: [body] if name == "votes" else body}
        if kind == Kind.PROPOSAL:
            fields["blocks"] = [self._held[cid] for cid in children(kind, body) if cid in self._held]
        if kind == Kind.HEAD and parent in self._held:
            fields["blocks"] = [self._held.pop(parent)]
        try:
            self._call(method, request(**fields))
        except (InvalidDecision, StaleState):
            if kind in (Kind.DECISION, Kind.ACT):  # made against a head that the board has yet to hear of
                cid = Cid.of(DAG_CBOR, body)
                self._hold(cid, body)
                self._namers.update(dict.fromkeys(children(kind, body), cid))
            raise

    def _put_named(self, genesis: Cid, cid: Cid, parent: Cid | None, body: bytes) -> None:
        """Hand in what something else names, or hold it until that is there."""
        named_by = parent or self._namers.get(cid)
        if named_by is not None:
            try:
                self._put_blocks(genesis, named_by, [body])
            except (NotYet, AccessDenied):
                pass  # of what names it, or of the DAO, the service has nothing yet
            else:
                return
        self._hold(cid, body)

    def _hold(self, cid: Cid, body: bytes) -> None:
        if sum(map(len, self._held.values())) + len(body) > HELD_BYTES_MAX:
            raise MalformedObject("too much was put on a board elsewhere that nothing on it names")
        self._held[cid] = body

    def _put_held(self, kind: str, genesis: Cid, cid: Cid, body: bytes) -> None:
        """Hand in what was held for an object that is there now, and what that names in its turn."""
        ahead = [(kind, cid, body)]
        while ahead:
            above_kind, above, above_body = ahead.pop()
            named = children(above_kind, above_body)
            self._namers.update(dict.fromkeys(named, above))
            held = {child: self._held.pop(child) for child in named if child in self._held}
            self._put_blocks(genesis, above, held.values())
            ahead += [(named[child], child, held[child]) for child in held]

    def _put_blocks(self, genesis: Cid, named_by: Cid, bodies: Iterable[bytes]) -> None:
        part: builtins.list[bytes] = []
        for body in bodies:
            if part and (sum(map(len, part)) + len(body) > CALL_BYTES or len(part) == BLOCKS_MAX):
                self._post_blocks(genesis, named_by, part)
                part = []
            part.append(body)
        if part:
            self._post_blocks(genesis, named_by, part)

    def _post_blocks(self, genesis: Cid, named_by: Cid, blocks: builtins.list[bytes]) -> None:
        request = pb.PostBlocksRequest(genesis=genesis.binary, named_by=named_by.binary, blocks=blocks)
        self._call("PostBlocks", request)

    def _tips(self, request: pb.ListDaosRequest) -> dict[Cid, Cid]:
        return {self._cid(dao.genesis): self._cid(dao.head) for dao in self._call("ListDaos", request).daos}

    def _entry(self, posting: pb.Posting) -> Entry:
        parent = self._cid(posting.parent) if posting.parent else None
        return Entry(posting.position, posting.kind, self._cid(posting.cid), parent)

    def _cid(self, binary: bytes) -> Cid:
        try:
            return Cid(binary)
        except InvalidCid as error:
            raise MalformedObject(f"the board at {self.address} hands out a CID that is none") from error

    def _call(self, method: str, request: Any) -> Any:
        for attempt in range(TRIES_MAX):
            try:
                return getattr(self._connected(), method)(request, timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as error:
                failure = self._failure(error)
                if not isinstance(failure, RateExceeded) or attempt + 1 == TRIES_MAX:
                    raise failure from error
            self._pause(PAUSE_S * (attempt + 1))
        raise AssertionError  # the last attempt returns or raises

    def _failure(self, error: grpc.RpcError) -> Exception:
        failure = error_from(error, f"board at {self.address}")
        if isinstance(failure, ServiceUnavailable):  # restarted, it has another TLS key
            self.close()
        return failure

    def _connected(self) -> rpc.GovernanceServiceStub:
        if self._stub is None:
            self._channel = PinnedCertificate.fetch(self.address).channel(self.address)
            self._stub = rpc.GovernanceServiceStub(self._channel)
        return self._stub
