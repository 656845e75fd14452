"""Attacks on what a client verified before: it holds for one TLS key, one question and the leases' time (E5, F2)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.attestation.appraise import EvidenceAppraiser
from enclave.channel import EnclaveChannel
from enclave.client import EnclaveClient
from enclave.client_session import Pending
from enclave.exchange import Exchange
from enclave.proven import ENTRIES_MAX, ProvenEnclaves, Question
from enclave.server import enclave_server
from enclave.status import State
from storage.cid import DAG_CBOR, Cid
from tests import builders
from tests.attacks.attestation.test_relay import Relay
from tests.builders import seeded
from tests.deployment import LOOPBACK, Deployment, deployed
from tests.enclaves import Clock
from vault.action import Scope
from vault.errors import (
    AccessDenied,
    InvalidSignature,
    Revoked,
    ServiceUnavailable,
    StaleState,
)
from vault.tls import PinnedCertificate, TlsIdentity

FETCH = "certificate"
GENESIS, POLICY = Cid.of(DAG_CBOR, b"genesis"), Cid.of(DAG_CBOR, b"policy")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(10_000)
        yield deployment


@pytest.fixture
def proven() -> ProvenEnclaves:
    return ProvenEnclaves()


@pytest.fixture
def calls(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that every certificate fetched and every call made from now on is noted in."""
    noted: list[str] = []
    fetch, call = PinnedCertificate.fetch, EnclaveChannel.call

    def noting_fetch(address: str, **options: Any) -> PinnedCertificate:
        noted.append(FETCH)
        return fetch(address, **options)

    def noting_call(self: EnclaveChannel, method: Any, request: Any, **options: Any) -> Any:
        noted.append(type(request).__name__.removesuffix("Request"))
        return call(self, method, request, **options)

    monkeypatch.setattr(PinnedCertificate, "fetch", noting_fetch)
    monkeypatch.setattr(EnclaveChannel, "call", noting_call)
    return noted


def ran(deployment: Deployment, exchange: Exchange[Any]) -> Any:
    """Make an exchange's calls to the deployment's enclave."""
    channel = EnclaveChannel(deployment.enclave.address)
    try:
        return channel.run(exchange)
    finally:
        channel.close()


VERIFIED = [FETCH, "GetEvidence", "OpenSession"]
KNOWN = [FETCH, "GetServerNonce", "OpenSession"]


def connected(deployment: Deployment, calls: list[str], **options: Any) -> list[str]:
    """Connect, ask one question, and return what connecting took."""
    calls.clear()
    with deployment.client(**options) as client:
        took = list(calls)
        client.search("tide", k=1)
    return took


class TestWhatVerifyingCosts:
    def test_one_certificate_and_one_piece_of_evidence_per_key(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        assert connected(deployment, calls, proven=proven) == VERIFIED
        for _ in range(3):
            assert connected(deployment, calls, proven=proven) == KNOWN

    def test_all_clients_of_a_process_share_it(self, deployment: Deployment, calls: list[str]) -> None:
        assert connected(deployment, calls) == VERIFIED
        assert connected(deployment, calls) == KNOWN

    def test_it_ends_with_the_leases_it_rests_on_and_not_with_renewed_ones(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        lease_s = deployment.world.dao.charter.lease_s
        assert connected(deployment, calls, proven=proven) == VERIFIED
        deployment.world.clock.advance(lease_s - 1)
        assert deployment.enclave.step() is State.SERVING  # renewed
        assert connected(deployment, calls, proven=proven) == KNOWN
        deployment.world.clock.advance(1)
        assert connected(deployment, calls, proven=proven) == VERIFIED
        assert connected(deployment, calls, proven=proven) == KNOWN

    def test_it_ends_by_the_clients_own_clock(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        mine = Clock(deployment.world.clock.seconds)
        assert connected(deployment, calls, proven=proven, clock=mine) == VERIFIED
        mine.advance(deployment.world.dao.charter.lease_s)
        with pytest.raises(StaleState):
            deployment.client(proven=proven, clock=mine)
        mine.advance(-deployment.world.dao.charter.lease_s)  # what was dropped is not taken up again
        assert connected(deployment, calls, proven=proven, clock=mine) == VERIFIED

    def test_another_enclave_another_process_and_another_appraiser_are_verified_anew(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        assert connected(deployment, calls, proven=proven) == VERIFIED
        assert connected(deployment, calls, proven=ProvenEnclaves()) == VERIFIED
        stricter = EvidenceAppraiser(production=True)
        with pytest.raises(AccessDenied):
            EnclaveClient.connect(
                deployment.enclave.address,
                deployment.credential(),
                stricter,
                allow_simulated=True,
                clock=deployment.world.clock,
                proven=proven,
            )
        with pytest.raises(AccessDenied, match="SIMULATED"):
            deployment.client(proven=proven, allow_simulated=False)

    def test_many_enclaves_do_not_fill_memory(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        connected(deployment, calls, proven=proven)
        ((question, entry),) = proven._known.items()
        for number in range(ENTRIES_MAX + 10):
            proven._keep(replace(question, tls_key=seeded(f"{number}")), entry)
        assert len(proven._known) == ENTRIES_MAX
        assert question not in proven._known  # the oldest made room

    def test_an_enclave_that_does_not_serve_says_why(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        connected(deployment, calls, proven=proven)
        deployment.custodians[0].stop()
        deployment.world.clock.advance(deployment.world.dao.charter.lease_s)
        for known in (proven, ProvenEnclaves()):
            with pytest.raises((StaleState, ServiceUnavailable)):
                deployment.client(proven=known)


class TestAnotherHead:
    def test_a_new_head_is_verified_anew(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        with deployment.client(proven=proven) as client:
            before = client.search("tide", k=1)
            self.move_on(deployment)
            assert connected(deployment, calls, proven=proven) == KNOWN  # nobody has seen the new head until its answer
            assert connected(deployment, calls, proven=proven) == VERIFIED
            after = client.search("tide", k=1)
            assert before.receipt.evidence != after.receipt.evidence
            with pytest.raises(StaleState, match="older head"):
                ran(deployment, client.session.footing.of(before.receipt, is_repeat=False))

    def test_an_answer_begun_before_the_new_head_may_come_after_one_on_it(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            early = Pending(client.question("tide", k=1), None)
            client.session.sending(early)
            overtaken = client.unchecked(early.query)
            self.move_on(deployment)
            after = client.search("tide", k=1)
            answer = ran(deployment, client.session.checked(early, overtaken))
            assert answer.receipt.evidence != after.receipt.evidence
            late = Pending(client.question("tide", k=1), None)
            client.session.sending(late)
            with pytest.raises(StaleState, match="older head"):  # sent once the new head was known
                ran(deployment, client.session.footing.of(answer.receipt, is_repeat=False, since=late.epoch))

    def test_a_revoked_license_does_not_live_on_in_memory(self, deployment: Deployment, proven: ProvenEnclaves) -> None:
        deployment.client(proven=proven).close()
        setting = deployment.world
        revoking = builders.revoking(Scope.LICENSEE, deployment.credential().license.licensee)
        deployment.custodies.submit(setting.decided(builders.carried(setting.history, revoking)))
        assert deployment.enclave.step() is State.SERVING
        with pytest.raises(Revoked):
            deployment.client(proven=proven)

    @staticmethod
    def move_on(deployment: Deployment) -> None:
        """Have the DAO decide something that changes nothing here, and the enclave take it up."""
        setting = deployment.world
        revoking = builders.revoking(Scope.LICENSEE, seeded("somebody else", 20))
        deployment.custodies.submit(setting.decided(builders.carried(setting.history, revoking)))
        assert deployment.enclave.step() is State.SERVING


class TestSwaps:
    def test_another_certificate_at_the_same_address_is_never_taken_for_the_known_one(
        self, deployment: Deployment, calls: list[str], proven: ProvenEnclaves
    ) -> None:
        enclave = deployment.enclave
        other, port = deployment.loop.call(enclave_server(enclave.service, enclave.keys.tls, LOOPBACK))
        address = f"127.0.0.1:{port}"
        assert connected(deployment, calls, proven=proven, address=address) == VERIFIED
        deployment.loop.call(other.stop(0))
        swapped, _ = deployment.loop.call(enclave_server(enclave.service, TlsIdentity.fresh(), address))
        calls.clear()
        with pytest.raises(InvalidSignature, match="somebody relays it"):
            deployment.client(proven=proven, address=address)
        assert calls == [FETCH, "GetEvidence"]  # no session was asked for
        deployment.loop.call(swapped.stop(0))

    def test_a_relay_behind_the_genuine_certificate_gets_no_call(
        self, deployment: Deployment, proven: ProvenEnclaves
    ) -> None:
        """The network lets the certificate be read from the enclave, and leads the channel to somebody else."""
        deployment.client(proven=proven).close()
        relay = Relay(EnclaveChannel(deployment.enclave.address))
        server, elsewhere = deployment.loop.call(relay.serve())
        switch, address = deployment.loop.call(switched([deployment.enclave.address, elsewhere]))
        with pytest.raises(ServiceUnavailable, match="another key than the pinned one"):
            deployment.client(proven=proven, address=address)
        assert relay.asked == []
        deployment.loop.loop.call_soon_threadsafe(switch.close)
        deployment.loop.call(server.stop(0))
        relay.upstream.close()


async def switched(places: list[str]) -> tuple[asyncio.Server, str]:
    """Forward the first connection to the first place, and every later one to the last."""
    left = list(places)

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while some := await reader.read(1 << 16):
                writer.write(some)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = (left.pop(0) if len(left) > 1 else left[0]).split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    return server, f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def test_questions_that_differ_in_one_fact_are_different() -> None:
    one = Question(tls_key=seeded("a"), genesis=GENESIS, policy=GENESIS, allow_simulated=True)
    others = [
        replace(one, tls_key=seeded("b")),
        replace(one, genesis=POLICY),
        replace(one, policy=POLICY),
        replace(one, allow_simulated=False),
    ]
    assert len({one, *others}) == 5
