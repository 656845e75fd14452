"""What the tests of clients share: a deployment that retries are worth something in, and a place for receipts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enclave.client import AsyncEnclaveClient, EnclaveClient, connect, connect_async
from enclave.status import State
from tests.deployment import Deployment
from tests.enclaves import World, world

PASSWORD = "correct horse"  # noqa: S105
POLICY = {"queries_per_minute": 10_000, "passages_max": 1_000}


def client_world(**policy: Any) -> World:
    """Return a world whose policy lets tests ask as often as they like."""
    return world(policy=POLICY | policy)


def connected(deployment: Deployment, **options: Any) -> EnclaveClient:
    """Return a client made as an app makes it."""
    return connect(deployment.enclave.address, deployment.credential(), **(_usual(deployment) | options))


async def connected_async(deployment: Deployment, **options: Any) -> AsyncEnclaveClient:
    """Return the same for an event loop."""
    return await connect_async(deployment.enclave.address, deployment.credential(), **(_usual(deployment) | options))


def _usual(deployment: Deployment) -> dict[str, Any]:
    return {
        "appraiser": deployment.appraiser,
        "allow_simulated": True,
        "clock": deployment.world.clock,
        "receipts": None,
    }


def restart(deployment: Deployment) -> None:
    """End the enclave and start another at the same address, with keys of its own, as after a crash and a reboot."""
    address = deployment.enclave.address
    deployment.enclave.close()
    deployment.enclave = deployment.start_enclave(listen=address)
    assert deployment.enclave.settle() is State.SERVING


def credential_file(deployment: Deployment, folder: Path) -> Path:
    """Return a credential's file, as `coffer license accept` writes it."""
    path = folder / "app.credential"
    deployment.credential().write(path, password=PASSWORD)
    return path
