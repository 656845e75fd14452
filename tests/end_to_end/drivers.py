"""Both clients behind one set of calls, and an enclave that refuses what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.builders import wallet
from tests.clients import connected, connected_async
from tests.deployment import Deployment
from vault.errors import Overloaded
from vault.question import Query
from vault.wire import error_of

CREDIT = 100_000


class Driver:
    """One client behind the calls of the blocking one, whichever it is."""

    def __init__(self, deployment: Deployment, kind: str, **options: Any) -> None:
        self._loop = asyncio.new_event_loop() if kind == "async" else None
        made: Any = connected(deployment, **options) if self._loop is None else None
        self.client: Any = made or self._run(connected_async(deployment, **options))

    def _run(self, work: Any) -> Any:
        return work if self._loop is None else self._loop.run_until_complete(work)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.client, name)
        if self._loop is None or name == "question" or not callable(method):
            return method
        return lambda *args, **options: self._run(method(*args, **options))

    def stream(self, queries: Any) -> dict[Query, Any]:
        """Return what a stream brings."""
        if self._loop is None:
            return dict(self.client.stream(queries))

        async def collected() -> dict[Query, Any]:
            return {query: outcome async for query, outcome in self.client.stream(queries)}

        result: dict[Query, Any] = self._run(collected())
        return result

    def end(self) -> None:
        self._run(self.client.close())
        if self._loop is not None:
            self._loop.close()


Make = Callable[..., Any]


def credit(deployment: Deployment) -> int:
    return deployment.licensee_credit(wallet("licensee"))


def refusing(deployment: Deployment, patch: pytest.MonkeyPatch, reason: str, times: int) -> list[Any]:
    """Have the enclave refuse so many questions, for a reason; return what it refused."""
    service = deployment.enclave.service
    genuine, refused = service.search, []

    async def search(*asked: Any) -> Any:
        if len(refused) < times:
            refused.append(asked)
            raise Overloaded("too much", wait_s=0.01) if reason == "OVERLOADED" else error_of(reason, "refused")
        return await genuine(*asked)

    patch.setattr(service, "search", search)
    return refused
