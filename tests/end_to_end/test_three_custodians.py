"""Three custodians, two of which rebuild a key and make a lease fresh: one may be away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from enclave.status import State
from tests.deployment import Deployment, deployed
from tests.enclaves import world


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, world(custodians=3)) as deployment:
        deployment.add_credit(1_000)
        yield deployment


def test_with_one_away_an_enclave_renews_and_opens(deployment: Deployment) -> None:
    custodians = deployment.services()
    deployment.custodians[0].stop()
    assert deployment.enclave.step() is State.SERVING
    deployment.enclave.close()
    deployment.enclave = deployment.start_enclave(custodians=custodians)
    assert deployment.enclave.settle() is State.SERVING
    with deployment.client() as client:
        assert len(client.search("tide table", k=2).file.leases) == 2


def test_with_two_away_it_serves_to_the_leases_end_and_then_stops(deployment: Deployment) -> None:
    for custodian in deployment.custodians[:2]:
        custodian.stop()
    assert deployment.enclave.step() is State.SERVING
    with deployment.client() as client:
        client.search("tide table", k=2)
    deployment.world.clock.advance(deployment.world.dao.charter.lease_s)
    assert deployment.enclave.step() is State.STOPPED


def test_the_first_opening_needs_them_all_and_loses_nothing_for_waiting(tmp_path: Path) -> None:
    """A state key given to some custodians only would lock the ledger for good."""
    with deployed(tmp_path, world(custodians=3), is_started=False) as deployment:
        custodians = deployment.services()
        deployment.custodians[1].stop()
        deployment.enclave = deployment.start_enclave(custodians=custodians)
        assert deployment.enclave.settle() is State.STOPPED
        deployment.custodians[1].start()
        deployment.until_serving()
