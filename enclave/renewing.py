"""Leases renewed in time, and the engine that serves on them replaced when they come to name other datasets.

Leases are renewed at a third of their life, and before that whenever their window is half used or somebody waits for
the next one (rule F3). Where a renewal brings newer versions or further datasets, and nothing was taken away, a second
engine opens them beside the first. That one serves on under the leases it has, which are not renewed any more, until
the second takes its place, or until they run out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from enclave.beginning import Beginning, Begun
from enclave.candidate import Candidate, Released
from enclave.changes import require_nothing_taken
from enclave.found import AsyncEngine
from enclave.grounds import Grounds
from enclave.metering import Meter
from enclave.opening import Opening
from enclave.served import Served
from storage.cid import Cid
from storage.errors import StorageError
from vault.errors import AccessDenied, ForkedHistory, ServiceUnavailable, StaleState, VaultError

log = logging.getLogger(__name__)
EARLY_RETRY_S = 1.0  # how long a failed renewal keeps others from being asked for before their time
RENEWAL_WAIT_S = 5.0  # how long whoever needs a renewal waits for it
REOPENING_S = 1.0  # before an opening beside the one that serves is tried again; twice as long after each that follows
REOPENING_S_MAX = 30.0


class Renewing:
    """The leases of one run and its engines: the one that serves, and the one that is to."""

    def __init__(
        self,
        opening: Opening,
        beginning: Beginning,
        start_engine: Callable[[], AsyncEngine],
        *,
        on_taken: Callable[[Grounds], None],
        on_serving: Callable[[bool], None],
        progress: Callable[[int, int], None],
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        """Hold nothing yet.

        Args:
            on_taken: is told of leases that are served on from now, or will be.
            on_serving: is told when serving begins, and when it pauses.
        """
        self._opening = opening
        self._beginning = beginning
        self._start_engine = start_engine
        self._on_taken = on_taken
        self._on_serving = on_serving
        self._progress = progress
        self._monotonic = monotonic
        self._sleep = sleep
        self._leased: Grounds | None = None  # the newest, perhaps over manifests that are not open yet
        self._meter: Meter | None = None
        self.served: Served | None = None
        self._next: Candidate | None = None
        self._reopening_s = REOPENING_S
        self._retiring: dict[Served, asyncio.Task[None]] = {}
        self._wanted = asyncio.Event()
        self._renewed: asyncio.Event | None = None  # set when the renewal under way, or the next, has ended
        self._early_from = float("-inf")  # monotonic seconds
        self._due_at = float("-inf")  # monotonic seconds

    @property
    def is_wanted(self) -> bool:
        """Say whether the leases are about to be renewed before their time."""
        return self._wanted.is_set()

    @property
    def _helps(self) -> bool:
        """Say whether a renewal would be of those leases that are served on."""
        return self.served is None or self._next is None

    def want(self) -> None:
        """Have the leases renewed before their time, unless that has just failed or would not help."""
        if self._helps and self._monotonic() >= self._early_from:
            self._wanted.set()

    async def renewal(self) -> None:
        """Wait for the renewal under way, or for one now; at most `RENEWAL_WAIT_S`, and not where none can come."""
        renewed = self._renewed
        if renewed is None or not self._helps or self._monotonic() < self._early_from:
            return
        self.want()
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEWAL_WAIT_S):
                await renewed.wait()

    async def keep(self, begun: Begun, leased: Grounds) -> None:
        """Open, serve and renew; return never, raise where serving must stop.

        Args:
            leased: the first leases with a window.
        """
        self._meter = begun.meter
        self._lease(leased)
        self._on_taken(leased)
        self._begin(leased.terms.manifests, partial(_known, (begun.grounds, begun.keys)))
        self._renewed = asyncio.Event()
        try:
            while True:
                await self._step(begun.meter)
        finally:
            self._renewed.set()
            self._renewed = None
            await self._drop()

    def end(self, reason: VaultError) -> None:
        """End the engines; whoever still asks one is told the reason."""
        for served in (self.served, *self._retiring):
            if served is not None:
                served.end(reason)
        for task in self._retiring.values():
            task.cancel()
        self.served = None

    async def _step(self, meter: Meter) -> None:
        """Wait for what comes next, and see to it."""
        await self._until_due()
        if self.served is not None and not self.served.engine.is_alive:
            self._lose(ServiceUnavailable("the enclave's engine has ended; it is opened again"))
        elif self._next is not None and self._next.is_over:
            self._finish(self._next)
        else:
            await self._renew(meter)

    async def _until_due(self) -> None:
        """Wait until leases are due, a renewal is wanted, an opening is over, or the engine has ended."""
        waiting = [
            asyncio.ensure_future(self._sleep(max(0.0, self._due_at - self._monotonic()))),
            asyncio.ensure_future(self._wanted.wait()),
        ]
        if self.served is not None:
            waiting.append(asyncio.ensure_future(self.served.engine.ended()))
        opening = {self._next.opening} if self._next is not None else set()
        try:
            await asyncio.wait({*waiting, *opening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def _renew(self, meter: Meter) -> None:
        """Take fresh leases for what is served, or for what is to be; go on with those known where none came."""
        known = self._known_leases()
        try:
            await meter.refund_due(at=known.now(self._monotonic()))
            await meter.royalties.close_due(at=known.now(self._monotonic()))
            newest = await asyncio.to_thread(self._opening.renew, *meter.reached, known.history, known.reported)
            newest.require_branch(meter.has_come_by)
        except (AccessDenied, ForkedHistory):
            raise  # by more custodians than can lie, or by what they signed
        except VaultError as error:
            self._early_from = self._monotonic() + EARLY_RETRY_S
            log.warning("leases were not renewed yet: %s", error)
            self._lease(known)
            self._require_in_time()
        else:
            await self._judge(newest)
        self._wanted.clear()
        if self._renewed is not None:
            self._renewed.set()
            self._renewed = asyncio.Event()

    async def _judge(self, newest: Grounds) -> None:
        """Serve on fresh leases, or open what they name beside what is served; raise where it must not go on."""
        served, manifests = self.served, newest.terms.manifests
        if served is not None and served.manifests != manifests:
            require_nothing_taken(served.grounds, newest)
            served.newest = self._leased = newest
            if self._next is None or self._next.manifests != manifests:
                await self._drop()
                self._reopening_s = REOPENING_S
                self._begin_beside(served, manifests)
            self._require_in_time()
            self._lease(newest)
            return
        if served is not None:
            await self._drop()  # what it was to open is not named any more
            served.renew(newest)
        elif self._next is None or self._next.manifests != manifests:
            raise StaleState("the DAO changed which datasets are served; opening again")
        self._lease(newest)
        self._on_taken(newest)

    def _begin_beside(self, served: Served, manifests: tuple[Cid, ...], *, after_s: float = 0.0) -> None:
        log.info("opening another version beside the one that is served")

        async def released() -> Released:
            if after_s:
                await self._sleep(after_s)
            return await self._beginning.released(self._running_meter())

        self._begin(manifests, released, beside=served.engine)

    def _begin(
        self,
        manifests: tuple[Cid, ...],
        released: Callable[[], Awaitable[Released]],
        *,
        beside: AsyncEngine | None = None,
    ) -> None:
        self._next = Candidate(
            manifests,
            released,
            self._start_engine,
            self._running_meter(),
            self._progress,
            now=lambda: self._known_leases().now(self._monotonic()),
            beside=beside,
        )

    def _finish(self, candidate: Candidate) -> None:
        """Serve with the engine that has opened, all at once; or have another try where one serves meanwhile."""
        self._next, before, leased = None, self.served, self._known_leases()
        try:
            engine = candidate.opening.result()
        except (VaultError, StorageError, OSError) as error:
            if before is None:
                raise
            log.warning("another version could not be opened yet: %s", error)
            self._begin_beside(before, candidate.manifests, after_s=self._reopening_s)
            self._reopening_s = min(REOPENING_S_MAX, 2 * self._reopening_s)
            if isinstance(error, (AccessDenied, ForkedHistory, StaleState)):
                self._wanted.set()  # the custodians say why; or what they lease has changed
            return
        self._on_taken(leased)
        self.served, self._reopening_s = Served(engine, leased), REOPENING_S
        self._on_serving(True)
        if before is not None:
            self._retire(before)

    def _retire(self, served: Served) -> None:
        task = self._retiring[served] = asyncio.create_task(served.retire())
        task.add_done_callback(lambda _: self._retiring.pop(served, None))

    def _require_in_time(self) -> None:
        """Raise `StaleState` where neither what is served nor what is to be has leases any more."""
        if self.served is None:
            self._known_leases().require_fresh(self._monotonic())
            return
        try:
            self.served.require(self._monotonic())
        except VaultError as error:
            self._lose(error)

    def _lose(self, error: VaultError) -> None:
        """Serve no more until what is being opened is there; raise the error where nothing is."""
        served, leased = self.served, self._known_leases()
        if served is None or self._next is None:
            raise error
        leased.require_fresh(self._monotonic())
        log.warning("not serving until the next version is open: %s", error)
        served.end(error)
        self.served = None
        self._on_taken(leased)
        self._on_serving(False)

    def _lease(self, grounds: Grounds) -> None:
        """Note the newest leases, and when they are to be renewed: before those end that are served on."""
        now = self._monotonic()
        self._leased = grounds
        due_s = grounds.remaining_s(now, at_most=grounds.lifetime_s / 3)
        if self.served is not None and self.served.manifests != grounds.terms.manifests:
            due_s = self.served.grounds.remaining_s(now, at_most=due_s)
        self._due_at = now + due_s

    async def _drop(self) -> None:
        dropped, self._next = self._next, None
        if dropped is not None:
            await dropped.drop()

    def _known_leases(self) -> Grounds:
        if self._leased is None:
            raise StaleState("no lease to renew")
        return self._leased

    def _running_meter(self) -> Meter:
        if self._meter is None:
            raise StaleState("no books to serve with")
        return self._meter


async def _known(released: Released) -> Released:
    return released
