"""A board's service: watching, bounds on what is asked, health and reflection, and what its client makes of lies."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import pytest

from storage.cid import DAG_CBOR, Cid
from tests.boards import Service, affairs, own_board, put_all, put_chain, put_open
from tests.builders import NOW, seeded
from tests.loops import WAIT_S
from vault import board_client, board_server
from vault.assembly import put
from vault.board import Entry, Kind
from vault.board_client import BoardClient
from vault.errors import MalformedObject, NotYet, RateExceeded, ServiceUnavailable
from vault.rate import PeerLimit
from vault.records.board import Board
from vault.tls import PinnedCertificate
from vault.v1 import governance_pb2 as pb

MADE = affairs()
GENESIS = MADE.genesis


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    with own_board(tmp_path) as board:
        put_chain(board, MADE)
        yield board


@pytest.fixture
def service(board: Board) -> Iterator[Service]:
    service = Service(board)
    yield service
    service.close()


@pytest.fixture
def client(service: Service) -> Iterator[BoardClient]:
    with BoardClient(service.address, pause=lambda _: None) as client:
        yield client


def watched(client: BoardClient, after: int = 0) -> Queue[Any]:
    """Watch in a thread; what comes goes into the queue, and at last how it ended."""
    seen: Queue[Any] = Queue()

    def watch() -> None:
        try:
            for entry in client.watch(GENESIS, after):
                seen.put(entry)
            seen.put("ended")
        except Exception as error:  # noqa: BLE001  # the test looks at it
            seen.put(error)

    threading.Thread(target=watch, daemon=True).start()
    return seen


class TestWatching:
    def test_what_is_there_comes_first_and_then_what_is_handed_in(self, board: Board, client: BoardClient) -> None:
        before = board.since(GENESIS, 0)
        seen = watched(client)
        assert [seen.get(timeout=WAIT_S) for _ in before] == before
        put_open(client, MADE)
        kinds = [seen.get(timeout=WAIT_S).kind for _ in range(7)]
        assert kinds == ["policy", "proposal", "vote", "vote", "vote", "delegation", "act"]

    def test_a_watch_goes_on_from_a_position(self, board: Board, client: BoardClient) -> None:
        before = board.since(GENESIS, 0)
        seen = watched(client, before[-3].position)
        assert [seen.get(timeout=WAIT_S) for _ in range(2)] == before[-2:]

    def test_what_another_process_writes_is_seen_as_well(
        self, board: Board, client: BoardClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(board_server, "POLL_S", 0.05)
        seen = watched(client, board.since(GENESIS, 0)[-1].position)
        put(board, Kind.POLICY, GENESIS, MADE.policy)
        assert seen.get(timeout=WAIT_S).cid == MADE.policy.cid()

    def test_it_ends_cleanly_when_the_service_stops(self, board: Board) -> None:
        service = Service(board)
        with BoardClient(service.address) as client:
            seen = watched(client, board.since(GENESIS, 0)[-2].position)
            assert isinstance(seen.get(timeout=WAIT_S), Entry)
            service.close()
            assert seen.get(timeout=WAIT_S) == "ended"

    def test_it_ends_by_itself_after_a_time(
        self, board: Board, client: BoardClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(board_server, "WATCH_S_MAX", 0.1)
        seen = watched(client, board.since(GENESIS, 0)[-1].position)
        assert seen.get(timeout=WAIT_S) == "ended"

    def test_one_address_has_so_many_watches_and_gets_them_back(
        self, board: Board, service: Service, client: BoardClient
    ) -> None:
        last = board.since(GENESIS, 0)[-2].position
        clients = [BoardClient(service.address) for _ in range(board_server.PEER_WATCHERS_MAX)]
        for other in clients:
            watched(other, last).get(timeout=WAIT_S)
        with pytest.raises(RateExceeded, match="watching"):
            next(client.watch(GENESIS, last))
        for other in clients:
            other.close()
        ends = time.monotonic() + WAIT_S
        while time.monotonic() < ends:
            try:
                assert next(client.watch(GENESIS, last)).position > last
                break
            except RateExceeded:
                time.sleep(0.05)
        else:
            pytest.fail("the watches were not given back")


class TestBounds:
    def call(self, service: Service, method: str, request: Any) -> grpc.StatusCode:
        with BoardClient(service.address) as client:
            try:
                getattr(client._connected(), method)(request, timeout=WAIT_S)
            except grpc.RpcError as error:
                code: grpc.StatusCode = error.code()
                return code
        return grpc.StatusCode.OK

    @pytest.mark.parametrize(
        ("method", "request_"),
        [
            ("ListPostings", pb.ListPostingsRequest(genesis=GENESIS.binary, after=(1 << 64) - 1)),
            ("ListPostings", pb.ListPostingsRequest(genesis=b"odd")),
            ("ListPostings", pb.ListPostingsRequest(genesis=GENESIS.binary, parent=b"odd")),
            ("GetObjects", pb.GetObjectsRequest(cids=[GENESIS.binary] * 501)),
            ("GetObjects", pb.GetObjectsRequest(cids=[b""])),
            ("PostBallot", pb.PostBallotRequest(genesis=b"", vote=b"")),
            ("PostBallot", pb.PostBallotRequest(genesis=GENESIS.binary, vote=b"junk")),
            ("PostBlocks", pb.PostBlocksRequest(genesis=GENESIS.binary, named_by=b"")),
            ("PostDecision", pb.PostDecisionRequest(genesis=GENESIS.binary, blocks=[b""] * 501)),
            ("PostCharter", pb.PostCharterRequest(charter=b"")),
            ("ListDaos", pb.ListDaosRequest(genesis=b"x")),
        ],
    )
    def test_what_is_malformed_is_an_invalid_argument(self, service: Service, method: str, request_: Any) -> None:
        assert self.call(service, method, request_) is grpc.StatusCode.INVALID_ARGUMENT

    def test_a_listing_of_no_kind_that_there_is_holds_nothing(self, client: BoardClient) -> None:
        assert client.since(GENESIS, 0, kind="gossip") == []

    def test_every_method_counts_against_a_peers_rate(self) -> None:
        methods = {method.name for method in pb.DESCRIPTOR.services_by_name["GovernanceService"].methods}
        assert {path.rpartition("/")[2] for path in board_server.LIMITED_METHODS} == methods

    def test_whoever_is_told_to_wait_waits_and_gets_through(self, board: Board) -> None:
        waits: list[float] = []
        service = Service(board, limit=PeerLimit(per_s=1.0, burst=1.0, monotonic=lambda: float(sum(waits))))
        try:
            with BoardClient(service.address, pause=waits.append) as client:
                for _ in range(3):
                    assert client.tip(GENESIS) == MADE.history.head.cid()
        finally:
            service.close()
        assert waits

    def test_health_and_reflection_answer(self, service: Service) -> None:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        with PinnedCertificate.fetch(service.address).channel(service.address) as channel:
            request = health_pb2.HealthCheckRequest(service="vault.v1.GovernanceService")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=WAIT_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


class TestLies:
    """What the client does where the service answers with something else than was asked for."""

    def lying(self, client: BoardClient, monkeypatch: pytest.MonkeyPatch, answer: Any) -> BoardClient:
        monkeypatch.setattr(client, "_call", lambda *_: answer)
        return client

    @pytest.mark.parametrize("positions", [[1, 1], [2, 1], [0], [1] * 2])
    def test_a_list_out_of_order(
        self, client: BoardClient, monkeypatch: pytest.MonkeyPatch, positions: list[int]
    ) -> None:
        postings = [pb.Posting(position=n, kind="vote", cid=GENESIS.binary) for n in positions]
        with pytest.raises(MalformedObject, match="twice"):
            self.lying(client, monkeypatch, pb.ListPostingsResponse(postings=postings)).since(GENESIS, 0)

    def test_a_page_without_end(self, client: BoardClient, monkeypatch: pytest.MonkeyPatch) -> None:
        postings = [pb.Posting(position=n + 1, kind="vote", cid=GENESIS.binary) for n in range(1001)]
        with pytest.raises(MalformedObject, match="on one page"):
            self.lying(client, monkeypatch, pb.ListPostingsResponse(postings=postings)).since(GENESIS, 0)

    @pytest.mark.parametrize("field", [{"kind": "act"}, {"parent": b"x"}, {"cid": b""}])
    def test_what_was_not_asked_for(
        self, client: BoardClient, monkeypatch: pytest.MonkeyPatch, field: dict[str, Any]
    ) -> None:
        posting = pb.Posting(**({"position": 1, "kind": "vote", "cid": GENESIS.binary} | field))
        with pytest.raises(MalformedObject):
            self.lying(client, monkeypatch, pb.ListPostingsResponse(postings=[posting])).since(
                GENESIS, 0, kind="vote", parent=None
            )

    @pytest.mark.parametrize("objects", [[b"junk"], [MADE.policy.encoded()] * 2])
    def test_objects_that_were_not_asked_for_or_twice(
        self, client: BoardClient, monkeypatch: pytest.MonkeyPatch, objects: list[bytes]
    ) -> None:
        lying = self.lying(client, monkeypatch, pb.GetObjectsResponse(objects=objects))
        with pytest.raises(MalformedObject, match="not asked for"):
            lying.bodies([MADE.policy.cid()])

    def test_a_list_that_never_ends(self, client: BoardClient, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(board_client, "LISTED_MAX", 5)
        numbers = iter(range(1, 100))
        monkeypatch.setattr(
            client, "since", lambda *_, **__: [Entry(next(numbers), "vote", Cid.of(DAG_CBOR, seeded("x")), None)]
        )
        with pytest.raises(MalformedObject, match="lists more than 5"):
            client.list(Kind.VOTE, GENESIS)


def test_what_nothing_names_is_held_back_and_only_so_much_of_it(
    board: Board, client: BoardClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = board.since(GENESIS, 0)
    put(client, Kind.POLICY, GENESIS, MADE.policy)
    assert board.since(GENESIS, 0) == before
    with pytest.raises(NotYet, match="not on this board"):
        other = BoardClient(client.address)
        put(other, Kind.PROPOSAL, GENESIS, MADE.proposal)
    put(client, Kind.PROPOSAL, GENESIS, MADE.proposal)
    assert board.get(MADE.policy.cid()) == MADE.policy.encoded()
    monkeypatch.setattr(board_client, "HELD_BYTES_MAX", 10)
    with pytest.raises(MalformedObject, match="nothing on it names"):
        put(client, Kind.POLICY, GENESIS, MADE.adopted.from_value({**MADE.adopted.value(), "title": "Unnamed"}))


def test_a_service_that_was_started_again_is_found_again(board: Board, tmp_path: Path) -> None:
    put_all_of = affairs(name="Haven")
    first = Service(board)
    client = BoardClient(first.address)
    assert client.tip(GENESIS) == MADE.history.head.cid()
    first.close()
    with pytest.raises(ServiceUnavailable):
        client.tip(GENESIS)
    with own_board(tmp_path) as other:
        put_all(other, put_all_of)
        second = Service(other, at=NOW)
        client.address = second.address
        try:
            assert client.tip(put_all_of.genesis) == put_all_of.history.head.cid()
        finally:
            client.close()
            second.close()
