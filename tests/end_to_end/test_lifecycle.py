"""What starts, keeps and ends serving: leases, revocations, other instances, a killed engine (rules F1, F2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enclave.status import State
from enclave.worker import WorkerEngine
from storage.directory import DirectoryBlobs
from tests import builders
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, world
from tests.toy import GatedEngine
from vault.action import Scope
from vault.custody_state import lineage
from vault.errors import NotYet, RequestConflict, Revoked, ServiceUnavailable, StaleState
from vault.lease import CLOCK_SKEW_S


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(1_000)
        yield deployment


def revoke(deployment: Deployment, scope: Scope, subject: bytes = b"") -> None:
    setting = deployment.world
    deployment.custodies.submit(setting.decided(builders.carried(setting.history, builders.revoking(scope, subject))))


class TestLeases:
    def test_renewed_an_enclave_serves_on(self, deployment: Deployment) -> None:
        lease_s = deployment.world.dao.charter.lease_s
        for _ in range(4):
            deployment.world.clock.advance(lease_s - 1)
            assert deployment.enclave.step() is State.SERVING
        with deployment.client() as client:
            client.search("tide table", k=1)

    def test_not_renewed_it_serves_until_the_lease_ends_and_not_a_second_longer(self, deployment: Deployment) -> None:
        clock, lease_s = deployment.world.clock, deployment.world.dao.charter.lease_s
        engine = deployment.enclave.engine
        with deployment.client() as client:
            deployment.custodians[0].stop()
            clock.advance(lease_s - 1)
            assert deployment.enclave.step() is State.SERVING  # the custodian does not answer; the lease still runs
            client.search("tide table", k=1)
            clock.advance(1)
            with pytest.raises(StaleState):
                client.search("tide table", k=1)
            assert engine.is_alive
            assert deployment.enclave.step() is State.STOPPED
            assert not engine.is_alive  # and with it key, passages and index
            with pytest.raises((StaleState, ServiceUnavailable)):
                client.search("tide table", k=1)
        assert deployment.licensee_credit(wallet("licensee")) == 1_000 - PRICE

    def test_it_serves_again_once_the_custodian_is_back(self, deployment: Deployment) -> None:
        deployment.custodians[0].stop()
        deployment.world.clock.advance(deployment.world.dao.charter.lease_s)
        assert deployment.enclave.step() is State.STOPPED
        deployment.custodians[0].start()
        deployment.until_serving()
        with deployment.client() as client:
            client.search("tide table", k=1)


class TestOtherInstances:
    def test_a_second_instance_waits_for_the_firsts_lease_to_end(self, deployment: Deployment) -> None:
        second = deployment.start_enclave()
        assert second.settle() is State.STOPPED
        with pytest.raises(NotYet, match="another instance holds this ledger"):
            deployment.client(address=second.address)
        deployment.enclave.kill()
        deployment.world.clock.advance(deployment.world.dao.charter.lease_s + CLOCK_SKEW_S)
        assert second.step() is State.SERVING

    def test_or_for_it_to_be_handed_back(self, deployment: Deployment) -> None:
        second = deployment.start_enclave()
        assert second.settle() is State.STOPPED
        deployment.enclave.close()
        assert second.step() is State.SERVING
        assert second.instance.meter().books.balance(f"licensee/0x{wallet('licensee').address.hex()}/USDC") == 1_000

    def test_an_answer_lost_with_its_instance_is_refunded_once_and_can_be_asked_anew(
        self, deployment: Deployment
    ) -> None:
        ids = {"request_id": seeded("lost"), "salt": seeded("salt")}
        with deployment.client() as client:
            client.search("tide table", k=2, **ids)
        deployment.enclave.close()
        second = deployment.start_enclave()
        assert second.settle() is State.SERVING
        books = second.instance.meter().books
        account = f"licensee/0x{wallet('licensee').address.hex()}/USDC"
        with deployment.client(address=second.address) as client:  # a fresh client: it holds no receipt of that answer
            with pytest.raises(RequestConflict, match="refunded"):
                client.search("tide table", k=2, **ids)
            assert books.balance(account) == 1_000
            with pytest.raises(RequestConflict):
                client.search("tide table", k=2, **ids)
            assert books.balance(account) == 1_000
            client.search("tide table", k=2)
        assert books.balance(account) == 1_000 - PRICE

    def test_an_answer_confirmed_before_its_instance_ended_is_not_refunded(self, deployment: Deployment) -> None:
        ids = {"request_id": seeded("kept"), "salt": seeded("salt")}
        with deployment.client() as client:
            client.search("tide table", k=2, **ids)
            client.search("another", k=2)  # confirms the one before
        deployment.enclave.close()
        second = deployment.start_enclave()
        assert second.settle() is State.SERVING
        account = f"licensee/0x{wallet('licensee').address.hex()}/USDC"
        with (
            deployment.client(address=second.address) as client,
            pytest.raises(RequestConflict, match="earlier run"),
        ):
            client.search("tide table", k=2, **ids)
        assert second.instance.meter().books.balance(account) == 1_000 - 2 * PRICE

    def test_what_was_handed_back_is_not_served_from(self, deployment: Deployment) -> None:
        with deployment.client() as client:
            deployment.loop.call(deployment.enclave.instance.close())
            with pytest.raises(ServiceUnavailable):
                client.search("tide table", k=1)


class TestRevocations:
    @pytest.mark.parametrize("scope", [Scope.DAO, Scope.POLICY, Scope.DATASET, Scope.MEASUREMENT])
    def test_serving_stops_and_clients_are_told(self, deployment: Deployment, scope: Scope) -> None:
        setting, engine = deployment.world, deployment.enclave.engine
        subjects = {
            Scope.DAO: b"",
            Scope.POLICY: setting.policy.cid().binary,
            Scope.DATASET: lineage(setting.dataset.manifest),
            Scope.MEASUREMENT: setting.policy.tees[0].measurements()[0],
        }
        with deployment.client() as client:
            revoke(deployment, scope, subjects[scope])
            assert deployment.enclave.step() is State.STOPPED
            with pytest.raises(Revoked):
                client.search("tide table", k=1)
        with pytest.raises(Revoked):
            deployment.client()
        assert not engine.is_alive
        assert deployment.licensee_credit(wallet("licensee")) == 1_000

    def test_a_revoked_licensee_is_refused_and_the_others_are_not(self, deployment: Deployment) -> None:
        other = wallet("another licensee")
        deployment.add_credit(1_000, other)
        with deployment.client() as client, deployment.client(deployment.credential(other)) as served:
            revoke(deployment, Scope.LICENSEE, wallet("licensee").address)
            assert deployment.enclave.step() is State.SERVING
            with pytest.raises(Revoked):
                client.search("tide table", k=1)
            with pytest.raises(Revoked):
                deployment.client()
            served.search("tide table", k=1)
        assert deployment.licensee_credit(wallet("licensee")) == 1_000


def test_an_engine_killed_in_the_middle_of_a_query_charges_nothing_and_comes_back(tmp_path: Path) -> None:
    blocks, gate = tmp_path / "blocks", tmp_path / "gate"
    setting = world(blobs=DirectoryBlobs(blocks))
    ids: dict[str, Any] = {"request_id": seeded("request"), "salt": seeded("salt")}
    start = partial(WorkerEngine, partial(GatedEngine, blocks, gate))
    with deployed(tmp_path, setting, start_engine=start) as deployment, ThreadPoolExecutor(1) as pool:
        deployment.add_credit(1_000)
        os.mkfifo(gate)
        with deployment.client() as client:
            asked = pool.submit(client.search, "tide table", k=2, **ids)
            with gate.open("wb"):
                os.kill(deployment.enclave.engine.pid, 9)
                with pytest.raises(ServiceUnavailable):
                    asked.result(20)
            gate.unlink()
            assert deployment.licensee_credit(wallet("licensee")) == 1_000
            deployment.until_serving()
            answer = client.search("tide table", k=2, **ids)
            assert not answer.is_repeat
            assert answer.results[0].passage.text == "The tide table for May."
            assert client.search("tide table", k=2, **ids).is_repeat
        assert deployment.licensee_credit(wallet("licensee")) == 1_000 - PRICE
