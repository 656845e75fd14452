"""What is served: an engine with its datasets open, on the leases that name them.

A question holds on to the one that it began with, so another one may take its place at any moment. The old one's
process then ends with its last question, and with it the vectors and texts of what the new version left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from enclave.found import AsyncEngine
from enclave.grounds import Grounds
from storage.cid import Cid
from vault.errors import ServiceUnavailable, VaultError

RETIRING_S_MAX = 30.0  # for the last questions of an engine that was replaced


class Served:
    """One engine, and the newest leases over exactly the manifests that it has open."""

    def __init__(self, engine: AsyncEngine, grounds: Grounds) -> None:
        self.engine = engine
        self.grounds = grounds
        self.newest = grounds  # leased since, perhaps over other manifests: whom the DAO shut out is out at once
        self._ended: VaultError | None = None
        self._questions = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def manifests(self) -> tuple[Cid, ...]:
        """Return what is open."""
        return self.grounds.terms.manifests

    def renew(self, grounds: Grounds) -> None:
        """Serve on fresh leases over the same manifests."""
        self.grounds = self.newest = grounds

    def require(self, monotonic: float) -> Grounds:
        """Return the grounds of serving, or raise why there are none any more."""
        if self._ended is not None:
            raise self._ended
        self.grounds.require_fresh(monotonic)
        if not self.engine.is_alive:
            raise ServiceUnavailable("the enclave's engine has ended; nothing was charged, ask again")
        return self.grounds

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it from retiring until the block ends."""
        self._questions += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._questions -= 1
            if not self._questions:
                self._idle.set()

    def end(self, reason: VaultError) -> None:
        """End it now, whoever still asks; they are told the reason."""
        self._ended = reason
        self.engine.end()

    async def retire(self) -> None:
        """End it once its last question has its answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETIRING_S_MAX):
                await self._idle.wait()
        await self.engine.retire()
