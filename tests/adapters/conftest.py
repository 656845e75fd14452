"""One enclave for all of a framework's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enclave.client import EnclaveClient
from tests.clients import client_world, connected
from tests.deployment import Deployment, deployed

CREDIT = 1_000_000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("deployment"), client_world()) as deployment:
        deployment.add_credit(CREDIT)
        yield deployment


@pytest.fixture(scope="module")
def client(deployment: Deployment) -> Iterator[EnclaveClient]:
    with connected(deployment) as client:
        yield client
