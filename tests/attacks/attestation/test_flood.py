"""Attacks by number: one address asks for evidence, nonces and sessions as fast as it can (rule R6)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from enclave.channel import EnclaveChannel
from enclave.server import LIMITED_METHODS, enclave_server
from tests.attacks.session.machine import Machine
from tests.deployment import LOOPBACK, Deployment, deployed
from tests.enclaves import Clock, world
from vault import custody_server
from vault.errors import MalformedObject, RateExceeded, VaultError
from vault.guard import PEER_STREAMS_MAX
from vault.rate import PeerLimit
from vault.tls import PinnedCertificate, TlsIdentity
from vault.v1 import custody_pb2 as pb
from vault.v1 import custody_pb2_grpc as rpc
from vault.wire import error_from

BURST = 6
WORLD = world()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        deployment.add_credit(10_000)
        yield deployment


@contextmanager
def served(deployment: Deployment, clock: Clock) -> Iterator[str]:
    """Serve the enclave once more, at an address that allows few calls."""
    limit = PeerLimit(per_s=1, burst=BURST, monotonic=clock.monotonic)
    enclave = deployment.enclave
    server, port = deployment.loop.call(enclave_server(enclave.service, enclave.keys.tls, LOOPBACK, limit=limit))
    yield f"127.0.0.1:{port}"
    deployment.loop.call(server.stop(0))


def count(call: Callable[[], object], most: int = 3 * BURST) -> int:
    """Return how many calls were answered before the first that was one too many."""
    for done in range(most):
        try:
            call()
        except RateExceeded:
            return done
        except VaultError:
            pass  # answered, with a refusal of what was asked
    return most


class TestEnclave:
    @pytest.mark.parametrize("method", ["evidence", "server_nonce", "grounds", "sessions"])
    def test_what_costs_is_bounded_and_comes_back_with_time(self, deployment: Deployment, method: str) -> None:
        clock = Clock()
        with served(deployment, clock) as address, Machine(deployment, address=address) as machine:
            channel = machine.channel
            asks: dict[str, Callable[[], object]] = {
                "evidence": lambda: channel.evidence(secrets.token_bytes(32)),
                "server_nonce": channel.server_nonce,
                "grounds": lambda: channel.grounds(WORLD.genesis, at=WORLD.clock()),
                "sessions": lambda: machine.open(server_nonce=bytes(32)),
            }
            assert count(asks[method]) == BURST
            with pytest.raises(RateExceeded, match="wait and ask again"):
                asks[method]()
            clock.advance(2)
            assert count(asks[method]) == 2

    def test_new_connections_from_the_same_address_gain_nothing(self, deployment: Deployment) -> None:
        with served(deployment, Clock()) as address:

            def ask() -> None:
                channel = EnclaveChannel(address)
                try:
                    channel.evidence(secrets.token_bytes(32))
                finally:
                    channel.close()

            assert count(ask) == BURST

    def test_one_bound_covers_all_of_them(self, deployment: Deployment) -> None:
        with served(deployment, Clock()) as address, Machine(deployment, address=address) as machine:
            assert count(lambda: machine.channel.evidence(secrets.token_bytes(32))) == BURST
            with pytest.raises(RateExceeded):
                machine.channel.server_nonce()

    def test_sessions_already_open_go_on(self, deployment: Deployment) -> None:
        with served(deployment, Clock()) as address, Machine(deployment, address=address) as machine:
            machine.open()
            count(machine.channel.server_nonce)
            assert len(machine.ask().passages) == 2
            assert machine.channel.status().state == "serving"

    def test_evidence_is_not_made_for_refused_calls(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        service, made = deployment.enclave.service, []
        genuine = service.evidence
        monkeypatch.setattr(service, "evidence", lambda nonce: made.append(nonce) or genuine(nonce))
        with served(deployment, Clock()) as address, Machine(deployment, address=address) as machine:
            for _ in range(3 * BURST):
                count(lambda: machine.channel.evidence(secrets.token_bytes(32)), 1)
        assert len(made) == BURST

    def test_streams_left_open_do_not_keep_others_out(self, deployment: Deployment) -> None:
        with served(deployment, Clock()) as address, Machine(deployment, address=address) as machine:
            stub = health_pb2_grpc.HealthStub(machine.channel.channel)
            asked = health_pb2.HealthCheckRequest()
            watching = [stub.Watch(asked, timeout=60) for _ in range(PEER_STREAMS_MAX)]
            for watch in watching:
                next(watch)
            with pytest.raises(grpc.RpcError) as failed:
                next(stub.Watch(asked, timeout=60))
            assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert stub.Check(asked, timeout=10).status == health_pb2.HealthCheckResponse.SERVING
            machine.open()
            watching[0].cancel()
            ends = time.monotonic() + 20
            while not self.is_free(stub, asked):  # the server hears of the cancellation in its own time
                assert time.monotonic() < ends
            for watch in watching:
                watch.cancel()

    @staticmethod
    def is_free(stub: Any, asked: Any) -> bool:
        watch = stub.Watch(asked, timeout=60)
        try:
            return next(watch).status == health_pb2.HealthCheckResponse.SERVING
        except grpc.RpcError:
            return False
        finally:
            watch.cancel()

    def test_limited_methods_exist(self) -> None:
        from enclave.v1 import attestation_pb2, retrieval_pb2, royalty_pb2, transparency_pb2
        from vault.v1 import custody_pb2, ledger_pb2

        existing = {
            f"/{service.full_name}/{method.name}"
            for file in (attestation_pb2, retrieval_pb2, royalty_pb2, transparency_pb2, custody_pb2, ledger_pb2)
            for service in file.DESCRIPTOR.services_by_name.values()
            for method in service.methods
        }
        assert existing.issuperset(LIMITED_METHODS) and existing.issuperset(custody_server.LIMITED_METHODS)


class TestCustodian:
    @pytest.mark.parametrize(
        ("method", "request_of", "refusal"),
        [
            ("Identify", pb.IdentifyRequest(nonce=bytes(32)), None),
            ("Challenge", pb.ChallengeRequest(instance=bytes(32), keys=bytes(32)), None),
            ("SubmitHead", pb.SubmitHeadRequest(head=b"no head"), MalformedObject),
            ("Release", pb.ReleaseRequest(binding=b"garbage"), MalformedObject),
            ("DepositShare", pb.DepositShareRequest(manifest=b"garbage"), MalformedObject),
            ("DepositState", pb.DepositStateRequest(deposit=b"garbage"), MalformedObject),
            ("HandBack", pb.HandBackRequest(hand_back=b"garbage"), MalformedObject),
            ("GetTips", pb.GetTipsRequest(custodian=bytes(32)), None),
        ],
    )
    def test_what_costs_is_bounded(self, deployment: Deployment, method: str, request_of: Any, refusal: Any) -> None:
        clock = Clock()
        limit = PeerLimit(per_s=1, burst=BURST, monotonic=clock.monotonic)
        custody, tls = deployment.custodies.all[0], TlsIdentity.fresh()
        server, port = deployment.loop.call(custody_server.custody_server(custody, tls, LOOPBACK, limit=limit))
        address = f"127.0.0.1:{port}"
        with PinnedCertificate.fetch(address).channel(address) as channel:
            call = getattr(rpc.CustodyServiceStub(channel), method)
            failures: list[type] = []

            def ask() -> None:
                try:
                    call(request_of, timeout=10)
                except Exception as error:
                    failure = error_from(error, "custodian")  # type: ignore[arg-type]
                    failures.append(type(failure))
                    raise failure from error

            assert count(ask) == BURST
            assert set(failures) - {RateExceeded} == ({refusal} if refusal else set())
            clock.advance(3)
            assert count(ask) == 3
        deployment.loop.call(server.stop(0))
