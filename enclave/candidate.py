"""An engine on its way to serving: it opens what leases name, alone or beside the one that still serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from enclave.combining import Secrets
from enclave.found import AsyncEngine, Dataset
from enclave.grounds import Grounds
from enclave.metering import Meter
from storage.cid import Cid
from vault.errors import StaleState

Released = tuple[Grounds, Secrets]
Progress = Callable[[int, int], None]


class Candidate:
    """One opening, under way from when it is made. Whoever drops it before it was taken calls `drop`."""

    def __init__(
        self,
        manifests: tuple[Cid, ...],
        released: Callable[[], Awaitable[Released]],
        start_engine: Callable[[], AsyncEngine],
        meter: Meter,
        progress: Progress,
        *,
        now: Callable[[], int],
        beside: AsyncEngine | None = None,
    ) -> None:
        """Begin.

        Args:
            manifests: what it opens.
            released: asks the custodians for the keys.
            now: UTC seconds by the leases.
            beside: an engine that serves meanwhile, and lends the vectors of what did not change.
        """
        self.manifests = manifests
        self._start_engine = start_engine
        self._meter = meter
        self._progress = progress
        self._now = now
        self._beside = beside
        self._engine: AsyncEngine | None = None
        self.opening = asyncio.create_task(self._open(released))

    @property
    def is_over(self) -> bool:
        """Say whether it is open, or has failed."""
        return self.opening.done()

    async def drop(self) -> None:
        """Give it up, with its engine."""
        self.opening.cancel()
        await asyncio.gather(self.opening, return_exceptions=True)
        if self._engine is not None:
            self._engine.end()

    async def _open(self, released: Callable[[], Awaitable[Released]]) -> AsyncEngine:
        grounds, keys = await released()
        if grounds.terms.manifests != self.manifests:
            raise StaleState("the DAO or an owner changed again which datasets are served; opening again")
        datasets = [
            Dataset(
                manifest=manifest,
                key=keys.data_keys[manifest.cid()],
                state_key=self._meter.state_key,
                snapshot=self._meter.books.snapshot(manifest.cid()),
            )
            for manifest in grounds.manifests
        ]
        self._engine = engine = self._start_engine()
        try:
            made = await engine.open(datasets, self._progress, beside=self._beside)
            await self._meter.note_snapshots(made, at=self._now())
        except BaseException:
            engine.end()
            raise
        return engine
