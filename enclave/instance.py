"""One run of an enclave, from its first evidence until a lease or the DAO ends it.

It holds leases or it does not serve. A lease that cannot be renewed, or a head that drops a dataset, ends the engine's
process, and with it keys, passages and index. `enclave.renewing` keeps the leases fresh, and puts an engine with newer
versions in the place of the one that serves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from enclave.attestation.attester import Attester
from enclave.beginning import Beginning
from enclave.found import AsyncEngine
from enclave.gathering import CustodyService
from enclave.grounds import Grounds
from enclave.keys import InstanceKeys
from enclave.metering import Journal, Meter
from enclave.opening import Opening
from enclave.renewing import Renewing
from enclave.served import Served
from enclave.status import State, Status, shown
from storage.cid import Cid
from storage.errors import StorageError
from vault.earnings import EPOCH_S
from vault.errors import (
    AccessDenied,
    NotYet,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    StaleState,
    VaultError,
)
from vault.lease import ledger_id
from vault.machine import BLANK
from vault.release import HandBack

log = logging.getLogger(__name__)
GROUNDS_KEPT = 16  # leases renewed since: a receipt of then can still be completed
RETRY_S = 1.0  # after the first failure; twice as long after each that follows
RETRY_S_MAX = 30.0
_PASSING = (AccessDenied, NotYet, RateExceeded, RecordsUnavailable, ServiceUnavailable, StaleState)  # waiting may mend


class Instance:
    """One run of an enclave: its keys, leases, books and engines."""

    def __init__(
        self,
        keys: InstanceKeys,
        attester: Attester,
        custodians: Sequence[CustodyService],
        journal: Journal,
        start_engine: Callable[[], AsyncEngine],
        *,
        genesis: Cid,
        configuration: Cid,
        clock: Callable[[], int],
        epoch_s: int = EPOCH_S,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.keys = keys
        self.status = Status()
        self.ledger = ledger_id(genesis)
        self.genesis = genesis
        self.attester = attester
        self._monotonic = monotonic
        self._sleep = sleep
        self.opening = Opening(
            custodians,
            attester,
            keys,
            genesis=genesis,
            configuration=configuration,
            monotonic=monotonic,
            clock=clock,
        )
        self._beginning = Beginning(
            self.opening, keys, journal, custodians, genesis=genesis, ledger=self.ledger, epoch_s=epoch_s
        )
        self._renewing = Renewing(
            self.opening,
            self._beginning,
            start_engine,
            on_taken=self._take,
            on_serving=self._note_serving,
            progress=self._progress,
            monotonic=lambda: self._monotonic(),
            sleep=sleep,
        )
        self._logged = ""  # why it last stopped
        self._retry_s = RETRY_S
        self._kept: dict[bytes, Grounds] = {}  # by evidence digest, oldest first
        self._grounds: Grounds | None = None
        self._refusal: VaultError = StaleState("the enclave has no lease yet; ask again shortly")
        self._meter: Meter | None = None

    async def run(self) -> None:
        """Open, serve and renew until cancelled. Raises what no waiting mends: a tampered ledger, segment or key."""
        while True:
            try:
                await self._serve()
            except (*_PASSING, StorageError) as error:
                self._stop(error)
            except VaultError as error:
                self._stop(error)
                raise
            await self._sleep(self._retry_s)
            self._retry_s = min(RETRY_S_MAX, 2 * self._retry_s)

    async def close(self) -> None:
        """End the engines for good; give the leases and the window back, and have the newest entry remembered."""
        self._renewing.end(ServiceUnavailable("the enclave has stopped; nothing was charged"))
        if self._meter is not None:
            await self._meter.close()  # nothing may follow the entry that the hand-back names
        back = HandBack(
            genesis=self.genesis,
            ledger=self.ledger,
            instance=self.keys.instance,
            anchor=self._meter.anchor if self._meter is not None else None,
            signature=BLANK,
        ).signed_by(self.keys.receipt)
        for error in await asyncio.to_thread(self.opening.close, back):
            log.warning("a lease could not be handed back: %s", error)

    def want_renewal(self) -> None:
        """Have the leases renewed before their time, unless that has just failed."""
        self._renewing.want()

    async def renewal(self) -> None:
        """Wait for the renewal under way, or for one now; a bounded time, and not where none can come."""
        await self._renewing.renewal()

    def grounds(self, evidence: bytes) -> Grounds | None:
        """Return what was leased on that evidence; the current grounds for an empty digest."""
        if not evidence:
            return self.serving()
        return self._kept.get(evidence)

    def serving(self) -> Grounds:
        """Return the grounds of serving, or raise why there are none."""
        return self.served().grounds

    def served(self) -> Served:
        """Return what is served now, or raise why nothing is. A question holds on to it until it has its answer."""
        served = self._renewing.served
        if self._grounds is None or self.status.state is not State.SERVING:
            raise self._refusal
        if served is None:
            raise ServiceUnavailable("the enclave's engine has ended; nothing was charged, ask again")
        served.require(self._monotonic())
        return served

    def still_served(self, served: Served) -> Grounds:
        """Return the grounds on which a question that began with these is answered, or raise why it may not be."""
        self.served()
        return served.require(self._monotonic())

    async def _serve(self) -> None:
        """Get leases, keys and books, and serve as long as the leases can be renewed."""
        self.status = Status(state=State.WAITING, reason=str(self._refusal))
        begun = await self._beginning.begun(self._meter)
        meter = self._meter = begun.meter
        at = begun.grounds.now(self._monotonic())
        await meter.open(self.keys.instance, begun.grounds.lost, at=at)
        await meter.refund_due(at=begun.grounds.now(self._monotonic()))
        await meter.royalties.close_due(at=begun.grounds.now(self._monotonic()))
        # The anchor was only claimed until now: renewing has the custodians remember the verified one.
        known = begun.grounds
        leased = await asyncio.to_thread(self.opening.renew, *meter.reached, known.history, known.reported)
        if leased.terms.manifests != known.terms.manifests:
            raise StaleState("the DAO changed which datasets are served; opening again")
        self.status = Status(state=State.OPENING)
        await self._renewing.keep(begun, leased)

    def _take(self, grounds: Grounds) -> None:
        """Go on with leases: their window, their time, and what clients are shown of them."""
        self.meter().grant(grounds)
        self._grounds = grounds
        self._kept[grounds.terms.evidence] = grounds
        while len(self._kept) > GROUNDS_KEPT:
            del self._kept[next(iter(self._kept))]
        self.status.epoch = grounds.terms.epoch

    def _note_serving(self, is_serving: bool) -> None:
        if not is_serving:
            self._refusal = StaleState("the enclave opens what is served next; ask again shortly")
            self.status.state = State.OPENING
            return
        if self._logged:
            log.warning("serving again, at epoch %d", self.status.epoch)
        self.status.state, self._logged, self._retry_s = State.SERVING, "", RETRY_S

    def _progress(self, done: int, total: int) -> None:
        self.status.note(done, total, self._monotonic())

    def _stop(self, error: Exception) -> None:
        kind = type(error) if isinstance(error, VaultError) else ServiceUnavailable
        self._refusal = kind(f"the enclave does not serve now: {shown(error)}")
        self._renewing.end(self._refusal)
        if str(error) != self._logged:  # it tries again, and again
            log.warning("not serving: %s", error)
        self._logged = str(error)
        self.status = Status(state=State.STOPPED, epoch=self.status.epoch, reason=shown(error))

    def now(self) -> int:
        """Return UTC seconds by the leases' time."""
        return self.last_grounds().now(self._monotonic())

    def last_grounds(self) -> Grounds:
        """Return the last leased grounds, fresh or not: enough to show books, never to serve."""
        if self._grounds is None:
            raise self._refusal
        return self._grounds

    def meter(self) -> Meter:
        """Return the books' keeper; it outlives a lost lease, so that charges can be given back."""
        if self._meter is None:
            raise self._refusal
        return self._meter

    def engine(self) -> AsyncEngine:
        """Return the engine, or raise why there is none."""
        if self._renewing.served is None:
            raise self._refusal
        return self._renewing.served.engine
