"""Attacks on the client's channel: relays, swapped certificates, old leases, other enclaves (rules E5, F2)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest

from enclave.attestation.errors import BindingMismatch, MeasurementMismatch
from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from enclave.server import enclave_server
from enclave.v1 import attestation_pb2 as pb
from enclave.v1 import attestation_pb2_grpc as rpc
from enclave.v1 import retrieval_pb2_grpc as retrieval_rpc
from enclave.verified import appraised_channel
from tests.attacks.session.machine import Machine
from tests.builders import seeded
from tests.deployment import LOOPBACK, Deployment, deployed
from tests.enclaves import APPRAISER, Clock, attester, credential, world
from vault.errors import AccessDenied, InvalidSignature, MalformedObject, Revoked, ServiceUnavailable, StaleState
from vault.evidence import Binding, Evidence
from vault.hpke import HpkeKeys
from vault.listening import listening
from vault.machine import MachineKey
from vault.tls import SERVER_OPTIONS, TlsIdentity
from vault.wire import REASON_KEY

WORLD = world()


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), WORLD) as deployment:
        deployment.add_credit(10_000)
        yield deployment


@dataclass
class Relay(rpc.AttestationServiceServicer, retrieval_rpc.RetrievalServiceServicer):  # type: ignore[misc]
    """A server with a certificate of its own that passes questions on to the real enclave, and notes them."""

    upstream: EnclaveChannel
    tls: TlsIdentity = field(default_factory=TlsIdentity.fresh)
    change_evidence: Callable[[Any, TlsIdentity], Any] = lambda answer, _: answer
    change_grounds: Callable[[Any], object] = lambda grounds: None
    asked: list[str] = field(default_factory=list)

    async def GetEvidence(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.asked.append("GetEvidence")
        stub = rpc.AttestationServiceStub(self.upstream.channel)
        answer = self.change_evidence(await asyncio.to_thread(stub.GetEvidence, request), self.tls)
        self.change_grounds(answer.grounds)
        return answer

    async def GetServerNonce(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.asked.append("GetServerNonce")
        stub = rpc.AttestationServiceStub(self.upstream.channel)
        return await asyncio.to_thread(stub.GetServerNonce, request)

    async def OpenSession(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append("OpenSession")
        stub = retrieval_rpc.RetrievalServiceStub(self.upstream.channel)
        try:
            return await asyncio.to_thread(self.upstream.call, stub.OpenSession, request)
        except AccessDenied as error:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error), ((REASON_KEY, "ACCESS_DENIED"),))

    async def serve(self) -> tuple[grpc.aio.Server, str]:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        rpc.add_AttestationServiceServicer_to_server(self, server)
        retrieval_rpc.add_RetrievalServiceServicer_to_server(self, server)
        port = listening(server, self.tls, LOOPBACK)
        await server.start()
        return server, f"127.0.0.1:{port}"


@pytest.fixture
def relay(deployment: Deployment) -> Iterator[Callable[..., tuple[Relay, str]]]:
    started: list[tuple[grpc.aio.Server, EnclaveChannel]] = []

    def start(**options: Any) -> tuple[Relay, str]:
        made = Relay(EnclaveChannel(deployment.enclave.address), **options)
        server, address = deployment.loop.call(made.serve())
        started.append((server, made.upstream))
        return made, address

    yield start
    for server, upstream in started:
        deployment.loop.call(server.stop(0))
        upstream.close()


def forged(answer: Any, tls: TlsIdentity, *, with_key: MachineKey | None = None) -> Any:
    """Put the relay's own TLS key into the binding; with a key, have another simulator vouch for it."""
    binding = replace(Binding.from_bytes(answer.binding), tls_key=tls.key_hash)
    evidence = answer.evidence
    if with_key is not None:
        evidence = attester(key=with_key).evidence(binding.report_data()).encoded()
    return pb.GetEvidenceResponse(
        binding=binding.encoded(), evidence=evidence, server_nonce=answer.server_nonce, grounds=answer.grounds
    )


class TestRelays:
    def test_evidence_passed_on_is_noticed_before_anything_is_said(self, deployment: Deployment, relay: Any) -> None:
        noting, address = relay()
        with pytest.raises(InvalidSignature, match="somebody relays it"):
            deployment.client(address=address)
        assert noting.asked == ["GetEvidence"]  # neither license nor question was sent

    def test_a_binding_rewritten_to_the_relays_key_is_not_what_the_evidence_covers(
        self, deployment: Deployment, relay: Any
    ) -> None:
        noting, address = relay(change_evidence=forged)
        with pytest.raises((BindingMismatch, InvalidSignature)):
            deployment.client(address=address)
        assert "OpenSession" not in noting.asked

    def test_nor_does_evidence_of_ones_own_tee_help(self, deployment: Deployment, relay: Any) -> None:
        """Even the leased binding rewritten to match: the simulator is not the one the policy names."""

        def own(answer: Any, tls: TlsIdentity) -> Any:
            return forged(answer, tls, with_key=MachineKey(seeded("mallory's simulator")))

        def grounds(leased: Any) -> None:
            leased.binding = replace(Binding.from_bytes(leased.binding), tls_key=noting.tls.key_hash).encoded()

        noting, address = relay(change_evidence=own, change_grounds=grounds)
        with pytest.raises(MeasurementMismatch):
            deployment.client(address=address)
        assert "OpenSession" not in noting.asked

    def test_recorded_evidence_is_stale(self, deployment: Deployment, relay: Any) -> None:
        recorded = pb.GetEvidenceResponse()

        def replay(answer: Any, _: TlsIdentity) -> Any:
            if not recorded.binding:
                recorded.CopyFrom(answer)
            return recorded

        _, address = relay(change_evidence=replay)
        for expected in (InvalidSignature, AccessDenied):  # the second time, the nonce is another caller's
            with pytest.raises(expected):
                deployment.client(address=address)

    def test_a_session_relayed_by_hand_is_refused_by_the_enclave(self, deployment: Deployment, relay: Any) -> None:
        _, address = relay()
        with Machine(deployment, address=address) as machine, pytest.raises(AccessDenied, match="another enclave"):
            machine.open()

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (lambda answer: answer.ClearField("leases"), StaleState),
            (lambda answer: answer.ClearField("policies"), MalformedObject),
            (lambda answer: setattr(answer, "charter", world(name="Mine").dao.charter.encoded()), InvalidSignature),
            (lambda answer: setattr(answer, "head", WORLD.dao.history.head.encoded()), InvalidSignature),
            (lambda answer: setattr(answer, "evidence", attester().evidence(bytes(64)).encoded()), InvalidSignature),
        ],
    )
    def test_grounds_with_one_part_changed_are_refused(
        self, deployment: Deployment, relay: Any, change: Callable[[Any], Any], expected: type[Exception]
    ) -> None:
        _, address = relay(change_grounds=change)
        with pytest.raises(expected):
            deployment.client(address=address)


def test_the_sessions_secret_is_sealed_to_attested_keys_alone(deployment: Deployment) -> None:
    """What the enclave shows as leased is not signed by its TEE; keys that only stand there are not used."""
    channel = EnclaveChannel(deployment.enclave.address)
    nonce = seeded("nonce")
    binding, evidence, _ = channel.evidence(nonce)
    grounds = channel.grounds(WORLD.genesis, at=WORLD.clock())
    usual: dict[str, Any] = {
        "nonce": nonce,
        "tls_key": channel.tls_key,
        "policy": WORLD.policy,
        "appraiser": APPRAISER,
        "allow_simulated": True,
        "at": WORLD.clock(),
    }
    appraised_channel(binding, evidence, grounds=grounds, **usual)
    others = {
        "hpke": HpkeKeys.from_seed(seeded("mallory", 128)).public,
        "tls_key": seeded("another"),
        "configuration": WORLD.genesis,
    }
    for name, value in others.items():
        swapped = replace(grounds, binding=replace(grounds.binding, **{name: value}))
        with pytest.raises(InvalidSignature, match="leased keys or configuration"):
            appraised_channel(binding, evidence, grounds=swapped, **usual)
    channel.close()


def test_a_certificate_swapped_during_a_session_ends_it(deployment: Deployment) -> None:
    other, port = deployment.loop.call(
        enclave_server(deployment.enclave.service, deployment.enclave.keys.tls, LOOPBACK)
    )
    address = f"127.0.0.1:{port}"
    with deployment.client(address=address) as client:
        client.search("tide", k=1)
        deployment.loop.call(other.stop(0))
        swapped, _ = deployment.loop.call(enclave_server(deployment.enclave.service, TlsIdentity.fresh(), address))
        with pytest.raises(ServiceUnavailable, match="another key than the pinned one"):
            client.search("tide", k=1)
        deployment.loop.call(swapped.stop(0))


class TestTheClientsOwnJudgement:
    def test_a_simulated_tee_has_to_be_asked_for(self, deployment: Deployment) -> None:
        with pytest.raises(AccessDenied, match="SIMULATED"):
            EnclaveClient.connect(deployment.enclave.address, credential(WORLD), APPRAISER, clock=WORLD.clock)

    def test_old_leases_are_noticed_by_its_own_clock(self, deployment: Deployment) -> None:
        lease_s = WORLD.dao.charter.lease_s
        for seconds in (lease_s, -31):
            ahead = Clock(WORLD.clock.seconds + seconds)
            with pytest.raises(StaleState):
                deployment.client(clock=ahead)

    def test_also_when_they_grow_old_during_a_session(self, deployment: Deployment) -> None:
        """An enclave whose host froze its clock would go on on leases that ended long ago."""
        mine = Clock(WORLD.clock.seconds)
        with deployment.client(clock=mine) as client:
            client.search("tide", k=1)
            mine.advance(WORLD.dao.charter.lease_s)
            with pytest.raises(StaleState):
                client.search("tide", k=1)

    def test_another_daos_license_is_for_another_enclave(self, deployment: Deployment) -> None:
        with pytest.raises(InvalidSignature, match="another DAO"):
            deployment.client(credential(world(name="Elsewhere")))

    def test_a_license_under_a_policy_not_in_force_is_revoked(self, deployment: Deployment) -> None:
        asking = credential(WORLD)
        other = replace(asking, license=replace(asking.license, policy=WORLD.dataset.manifest.cid()))
        with pytest.raises(Revoked):
            deployment.client(other)

    def test_renewed_leases_are_taken_up_during_a_session(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            before = client.search("tide", k=1).receipt
            deployment.enclave.step()
            after = client.search("tide", k=1).receipt
        assert before.evidence != after.evidence

    def test_evidence_is_fresh_for_every_caller(self, deployment: Deployment) -> None:
        channel = EnclaveChannel(deployment.enclave.address)
        (one, evidence, nonce), (other, more, second) = channel.evidence(bytes(32)), channel.evidence(seeded("n"))
        assert isinstance(evidence, Evidence)
        assert (one.nonces, evidence, nonce) != (other.nonces, more, second)
        with pytest.raises(MalformedObject):
            channel.evidence(b"short")
        channel.close()
