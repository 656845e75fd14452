"""Attacks that replay what an enclave once proved: older evidence, leases, grounds and answers (rules E5, F2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.channel import EnclaveChannel
from enclave.footing import Footing
from enclave.proven import ProvenEnclaves
from enclave.status import State
from enclave.v1 import attestation_pb2 as pb
from enclave.v1 import attestation_pb2_grpc as rpc
from enclave.v1 import retrieval_pb2 as retrieval
from enclave.verified import require_same_enclave
from storage.cid import DAG_CBOR, Cid
from tests.attacks.attestation.test_relay import Relay
from tests.builders import seeded
from tests.deployment import Deployment, deployed
from vault.errors import (
    AccessDenied,
    InvalidReceipt,
    StaleState,
    VaultError,
    WrongKey,
)
from vault.hpke import HpkeKeys
from vault.session import SessionOpening, secret_context

GENESIS = Cid.of(DAG_CBOR, b"genesis")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(10_000)
        yield deployment


class TestReplays:
    def replaying(self, deployment: Deployment, recorded: pb.GetEvidenceResponse) -> Any:
        """Serve recorded answers with the enclave's own TLS key: the most that whoever stole it could do."""
        relay = Relay(EnclaveChannel(deployment.enclave.address), tls=deployment.enclave.keys.tls)
        relay.change_evidence = lambda answer, _: recorded
        server, address = deployment.loop.call(relay.serve())
        return relay, server, address

    def test_an_older_sessions_evidence_is_not_for_this_nonce(self, deployment: Deployment) -> None:
        recorded = self.recorded(deployment)
        relay, server, address = self.replaying(deployment, recorded)
        with pytest.raises(AccessDenied, match="not made for this challenge"):
            deployment.client(address=address, proven=ProvenEnclaves())
        assert relay.asked == ["GetEvidence"]
        deployment.loop.call(server.stop(0))
        relay.upstream.close()

    def test_older_leases_under_fresh_evidence_have_ended(self, deployment: Deployment) -> None:
        recorded = self.recorded(deployment)
        deployment.world.clock.advance(deployment.world.dao.charter.lease_s - 1)
        assert deployment.enclave.step() is State.SERVING
        deployment.world.clock.advance(1)
        relay, server, address = self.replaying(deployment, recorded)
        relay.change_evidence = lambda answer, _: answer
        relay.change_grounds = lambda grounds: grounds.CopyFrom(recorded.grounds)
        with pytest.raises(StaleState):
            deployment.client(address=address, proven=ProvenEnclaves())
        assert "OpenSession" not in relay.asked
        deployment.loop.call(server.stop(0))
        relay.upstream.close()

    def test_with_a_stolen_tls_key_a_sessions_secret_stays_sealed(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is sealed to the attested HPKE key, which who took the TLS key alone does not have."""
        proven = ProvenEnclaves()
        deployment.client(proven=proven).close()
        taken: list[SessionOpening] = []

        async def answer(_: Relay, request: Any, __: Any) -> Any:
            taken.append(SessionOpening.from_bytes(request.opening))
            return retrieval.OpenSessionResponse(session=bytes(16), expires_at=taken[-1].expires_at)

        monkeypatch.setattr(Relay, "OpenSession", answer)
        relay, server, address = self.replaying(deployment, self.recorded(deployment))
        with deployment.client(address=address, proven=proven) as client, pytest.raises(VaultError):
            client.search("tide", k=1)
        (opening,) = taken
        info = secret_context(
            genesis=opening.genesis,
            instance=opening.instance,
            ledger=opening.ledger,
            server_nonce=opening.server_nonce,
            suite=opening.suite,
        )
        with pytest.raises(WrongKey):
            HpkeKeys.from_seed(seeded("mallory", 128)).open(opening.suite, opening.sealed_secret, info=info)
        assert len(deployment.enclave.keys.hpke.open(opening.suite, opening.sealed_secret, info=info)) == 32
        deployment.loop.call(server.stop(0))
        relay.upstream.close()

    def test_grounds_other_than_a_receipt_names_are_refused(self, deployment: Deployment) -> None:
        with deployment.client(proven=ProvenEnclaves()) as client:
            receipt = client.search("tide", k=1).receipt
            deployment.enclave.step()
            renewed = client.search("tide", k=1).receipt
            assert renewed.evidence != receipt.evidence
            footing = Footing(b"", client.session.footing.attested, ProvenEnclaves(), deployment.world.clock)
            asking = footing.of(replace(receipt, evidence=seeded("another")), is_repeat=False)
            assert next(asking).method == "GetGrounds"
            channel = EnclaveChannel(deployment.enclave.address)
            others = rpc.AttestationServiceStub(channel.channel).GetGrounds(pb.GetGroundsRequest())
            channel.close()
            with pytest.raises(InvalidReceipt, match="other grounds"):
                asking.send(others)

    @pytest.mark.parametrize("field", ["instance", "hpke", "tls_key", "configuration"])
    def test_leases_renewed_for_other_keys_are_another_enclaves(self, deployment: Deployment, field: str) -> None:
        with deployment.client(proven=ProvenEnclaves()) as client:
            attested = client.session.footing.attested
        require_same_enclave(attested, attested)
        if field == "instance":
            other = replace(attested, terms=replace(attested.terms, instance=seeded("another")))
        else:
            values: dict[str, Any] = {
                "hpke": HpkeKeys.from_seed(seeded("mallory", 128)).public,
                "tls_key": seeded("another"),
                "configuration": GENESIS,
            }
            other = replace(attested, binding=replace(attested.binding, **{field: values[field]}))
        with pytest.raises(InvalidReceipt, match="connect anew"):
            require_same_enclave(other, attested)

    def test_a_fresh_question_has_no_answer_of_before(
        self, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Leases of then would do for it, so a server could pass off an answer as one that old leases cover."""
        service = deployment.enclave.service
        genuine = service.search

        async def called_a_repeat(*asked: Any) -> Any:
            metered, answer, _ = await genuine(*asked)
            return metered, answer, True

        with deployment.client(proven=ProvenEnclaves()) as client:
            client.search("tide", k=1)
            monkeypatch.setattr(service, "search", called_a_repeat)
            with pytest.raises(InvalidReceipt, match="never asked before"):
                client.search("tide", k=1)
            with pytest.raises(InvalidReceipt, match="never asked before"):
                client.search_batch([client.question("tide", k=1)])
            with pytest.raises(InvalidReceipt, match="never asked before"):
                list(client.stream([client.question("tide", k=1)]))
            with pytest.raises(InvalidReceipt, match="never asked before"):
                client.embed("tide")
            again = client.question("tide", k=1)
            client.unchecked(again)
            assert client.search_batch([again])[0].is_repeat  # type: ignore[union-attr]

    @staticmethod
    def recorded(deployment: Deployment) -> Any:
        channel = EnclaveChannel(deployment.enclave.address)
        stub = rpc.AttestationServiceStub(channel.channel)
        answer = channel.call(stub.GetEvidence, pb.GetEvidenceRequest(nonce=seeded("an older nonce")))
        channel.close()
        return answer
