"""One owner whose dataset changes while an enclave serves it, and what may be done to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from enclave.client import EnclaveClient
from enclave.status import State
from storage.cid import Cid
from tests import builders
from tests.builders import SealedDataset, wallet
from tests.deployment import Deployment
from tests.versions import SECOND, Versions
from vault.action import Scope

CREDIT = 10_000
NEW = SECOND[2]


class Scene:
    """A deployment that serves the first version, and engines whose opening can be held up."""

    def __init__(self, made: Versions, deployment: Deployment, is_held: list[bool]) -> None:
        self.versions = made
        self.deployment = deployment
        self.enclave = deployment.enclave
        self._is_held = is_held

    @property
    def engines(self) -> list[Any]:
        return self.enclave.engines

    def hold_openings(self) -> None:
        """Have engines that are started from now on wait before they open."""
        self._is_held[0] = True

    def publish(self, dataset: SealedDataset) -> None:
        """Register a version, and let the enclave hear of it."""
        self.deployment.custodies.deposit(dataset)
        assert self.enclave.step() is State.SERVING

    def begin_opening(self, dataset: SealedDataset) -> Any:
        """Publish a version; return the engine that is about to open it."""
        self.hold_openings()
        before = len(self.engines)
        self.publish(dataset)
        self.until(lambda: len(self.engines) > before)
        return self.engines[-1]

    def let_open(self) -> None:
        self._is_held[0] = False
        self.enclave.on_loop(lambda: [engine.let_open() for engine in self.engines])

    def until(self, ready: Callable[[], bool]) -> None:
        self.deployment.until(ready)

    def until_served(self, *datasets: SealedDataset) -> None:
        """Wait until exactly these are served."""
        manifests = tuple(sorted(dataset.manifest.cid() for dataset in datasets))
        self.until(lambda: self.served() == manifests)

    def served(self) -> tuple[Cid, ...]:
        served = self.enclave.instance._renewing.served
        return served.manifests if served is not None else ()

    def texts(self, client: EnclaveClient) -> set[str]:
        return {result.passage.text for result in client.search("harbor", k=3).results}

    def credit(self) -> int:
        return self.deployment.licensee_credit(wallet("licensee"))

    def revoke(self, scope: Scope, subject: bytes = b"") -> None:
        world = self.deployment.world
        decision = builders.carried(world.history, builders.revoking(scope, subject))
        self.deployment.custodies.submit(world.decided(decision))

    def begin(self, client: EnclaveClient, pool: ThreadPoolExecutor, text: str = "harbor", **asked: Any) -> Any:
        """Ask, and return once the engine has the question and holds it."""
        engine = self.engines[-1]
        self.enclave.on_loop(engine.hold)
        before = engine.searches
        call = pool.submit(client.search, text, k=3, **asked)
        self.until(lambda: engine.searches > before)
        return call
