"""An enclave that is told to stop: what is under way is answered, nothing new is taken, the leases are handed back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from enclave.client import EnclaveClient
from enclave.server import drained
from enclave.status import State
from tests.builders import seeded, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE
from vault.errors import ServiceUnavailable

CREDIT = 1_000
TRIES_MAX = 1_000  # connections, until none is taken any more
IDS: dict[str, Any] = {"request_id": seeded("asked"), "salt": seeded("salt")}


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as deployment:
        deployment.add_credit(CREDIT)
        yield deployment


def begin(deployment: Deployment, client: EnclaveClient, pool: ThreadPoolExecutor) -> Future[Any]:
    """Ask, and return once the engine holds the question."""
    engine = deployment.enclave.engine
    deployment.enclave.on_loop(engine.hold)
    asked = pool.submit(client.search, "tide table", k=1, **IDS)
    deployment.until(lambda: engine.searches > 0)
    return asked


def stopping(deployment: Deployment, *, grace_s: float) -> Future[None]:
    """Stop as `coffer enclave serve` does; return once nothing new is taken."""
    enclave = deployment.enclave
    deployment.loop.loop.call_soon_threadsafe(enclave.running.cancel)
    deployment.until(enclave.running.done)
    stopped = deployment.loop.start(drained(enclave.server, enclave.service, grace_s=grace_s))
    host, port = enclave.address.split(":")
    with suppress(ConnectionError):
        for _ in range(TRIES_MAX):
            socket.create_connection((host, int(port)), timeout=1).close()
    return stopped


def credit_at_the_next(deployment: Deployment) -> int:
    """Start another enclave, which serves at once, since the leases were handed back; return the licensee's credit."""
    deployment.enclave = deployment.start_enclave()
    assert deployment.enclave.settle() is State.SERVING
    return deployment.licensee_credit(wallet("licensee"))


def test_what_is_under_way_is_answered_and_nothing_new_is_taken(deployment: Deployment) -> None:
    engine = deployment.enclave.engine
    with deployment.client() as client, deployment.client() as late, ThreadPoolExecutor(1) as pool:
        asked = begin(deployment, client, pool)
        stopped = stopping(deployment, grace_s=20)
        with pytest.raises(ServiceUnavailable):
            late.search("rain", k=1)
        assert engine.is_alive and not stopped.done()
        deployment.enclave.on_loop(engine.let_go)
        assert asked.result(20).results
        stopped.result(20)
        assert not engine.is_alive
    assert credit_at_the_next(deployment) == CREDIT - PRICE


def test_what_takes_longer_than_the_grace_is_refused_and_not_charged(deployment: Deployment) -> None:
    with deployment.client() as client, ThreadPoolExecutor(1) as pool:
        asked = begin(deployment, client, pool)
        stopping(deployment, grace_s=0.05).result(20)
        with pytest.raises(ServiceUnavailable):
            asked.result(20)
    assert credit_at_the_next(deployment) == CREDIT
    with deployment.client() as client:
        assert not client.search("tide table", k=1, **IDS).is_repeat


def test_with_nothing_under_way_it_does_not_wait(deployment: Deployment) -> None:
    with deployment.client() as client:
        client.search("tide table", k=1)
        stopping(deployment, grace_s=3600).result(10)
    assert credit_at_the_next(deployment) == CREDIT - PRICE
