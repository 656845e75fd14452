"""One run of an enclave, from its first evidence until a lease or the DAO ends it.

It holds leases or it does not serve. A lease that cannot be renewed, or a head that drops a dataset, ends the engine's
process, and with it keys, passages and index. Leases are renewed at a third of their life, and before that whenever
their window is half used or somebody waits for the next one (rule F3).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from enclave.attestation.attester import Attester
from enclave.combining import Secrets
from enclave.found import AsyncEngine, Dataset
from enclave.gathering import CustodyService
from enclave.grounds import Grounds
from enclave.keys import InstanceKeys
from enclave.metering import Journal, Meter, claimed_anchor
from enclave.opening import Opening
from enclave.state_key import deposit_state_key
from enclave.status import State, Status, shown
from storage.cid import Cid
from storage.errors import StorageError
from vault.errors import (
    AccessDenied,
    ForkedHistory,
    LedgerTampered,
    NotYet,
    RateExceeded,
    RecordsUnavailable,
    ServiceUnavailable,
    StaleState,
    VaultError,
)
from vault.keys import SecretKey
from vault.lease import EMPTY_ANCHOR, Anchor, ledger_id
from vault.machine import BLANK
from vault.release import HandBack

log = logging.getLogger(__name__)
GROUNDS_KEPT = 16  # leases renewed since: a receipt of then can still be completed
RETRY_S = 1.0  # after the first failure; twice as long after each that follows
RETRY_S_MAX = 30.0
EARLY_RETRY_S = 1.0  # how long a failed renewal keeps others from being asked for before their time
RENEWAL_WAIT_S = 5.0  # how long whoever needs a renewal waits for it


_PASSING = (AccessDenied, NotYet, RateExceeded, RecordsUnavailable, ServiceUnavailable, StaleState)  # waiting may mend


class Instance:
    """One run of an enclave: its keys, leases, books and engine."""

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
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.keys = keys
        self.status = Status()
        self.ledger = ledger_id(genesis)
        self.genesis = genesis
        self.attester = attester
        self._custodians = custodians
        self._journal = journal
        self._start_engine = start_engine
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
        self._logged = ""  # why it last stopped
        self._retry_s = RETRY_S
        self._is_renewal_wanted = asyncio.Event()
        self._renewed: asyncio.Event | None = None  # set when the renewal under way, or the next, has ended
        self._renews_early_from = float("-inf")  # monotonic seconds
        self._kept: dict[bytes, Grounds] = {}  # by evidence digest, oldest first
        self._grounds: Grounds | None = None
        self._refusal: VaultError = StaleState("the enclave has no lease yet; ask again shortly")
        self._meter: Meter | None = None
        self._engine: AsyncEngine | None = None

    async def run(self) -> None:
        """Open, serve and renew until cancelled. Raises what no waiting mends: a tampered ledger, segment or key."""
        while True:
            try:
                await self._open()
                await self._keep_renewing()
            except (*_PASSING, StorageError) as error:
                self._stop(error)
            except VaultError as error:
                self._stop(error)
                raise
            await self._sleep(self._retry_s)
            self._retry_s = min(RETRY_S_MAX, 2 * self._retry_s)

    async def close(self) -> None:
        """End the engine for good; give the leases and the window back, and have the newest entry remembered."""
        self._end_engine()
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
        if self._monotonic() >= self._renews_early_from:
            self._is_renewal_wanted.set()

    async def renewal(self) -> None:
        """Wait for the renewal under way, or for one now; at most `RENEWAL_WAIT_S`, and not where none can come."""
        renewed = self._renewed
        if renewed is None or self._monotonic() < self._renews_early_from:
            return
        self.want_renewal()
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEWAL_WAIT_S):
                await renewed.wait()

    def grounds(self, evidence: bytes) -> Grounds | None:
        """Return what was leased on that evidence; the current grounds for an empty digest."""
        if not evidence:
            return self.serving()
        return self._kept.get(evidence)

    def serving(self) -> Grounds:
        """Return the grounds of serving, or raise why there are none."""
        if self._grounds is None or self.status.state is not State.SERVING:
            raise self._refusal
        self._grounds.require_fresh(self._monotonic())
        if self._engine is None or not self._engine.is_alive:
            raise ServiceUnavailable("the enclave's engine has ended; nothing was charged, ask again")
        return self._grounds

    async def _open(self) -> None:
        self.status = Status(state=State.WAITING, reason=str(self._refusal))
        self._end_engine()
        if self._meter is not None:
            self._meter.resume()
        anchor = self._meter.anchor if self._meter else await asyncio.to_thread(claimed_anchor, self._journal)
        grounds, keys = await asyncio.to_thread(self.opening.open, anchor)
        self._require_same_key(keys.state_key)
        meter = self._meter or await self._read_books(grounds, keys.state_key, anchor)
        grounds.require_branch(meter.has_come_by)
        self._meter = meter
        meter.open(self.keys.instance, grounds.lost, at=grounds.now(self._monotonic()))
        meter.refund_due(at=grounds.now(self._monotonic()))
        # The anchor was only claimed until now: renewing has the custodians remember the verified one.
        renewed = await asyncio.to_thread(self.opening.renew, meter.anchor, grounds.history, grounds.reported)
        if renewed.terms.manifests != grounds.terms.manifests:
            raise StaleState("the DAO changed which datasets are served; opening again")
        self._take(renewed)
        self.status = Status(state=State.OPENING, epoch=grounds.terms.epoch)
        self._engine = self._start_engine()
        opening = asyncio.create_task(self._engine.open(_datasets(grounds, keys), self._progress))
        renewing = asyncio.create_task(self._keep_renewing())
        try:
            await asyncio.wait({opening, renewing}, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                await renewing  # it ended first, so it raises why
            await opening
        finally:
            opening.cancel()
            renewing.cancel()
            await asyncio.gather(opening, renewing, return_exceptions=True)
        if self._logged:
            log.warning("serving again, at epoch %d", self.status.epoch)
        self.status.state, self._logged, self._retry_s = State.SERVING, "", RETRY_S

    def _require_same_key(self, state_key: SecretKey | None) -> None:
        """Give up books that hold nothing, where custodians do not hold their key; refuse another key for others."""
        if self._meter is None or self._meter.is_sealed_with(state_key):
            return
        if self._meter.anchor == EMPTY_ANCHOR:
            self._meter = None
        elif state_key is not None:
            raise ForkedHistory("the custodians hold another state key than this ledger is kept with; restore theirs")

    async def _read_books(self, grounds: Grounds, state_key: SecretKey | None, anchor: Anchor) -> Meter:
        if state_key is None:
            state_key = await asyncio.to_thread(self._first_state_key, grounds)
        return await asyncio.to_thread(Meter, self._journal, state_key, self.ledger, self.keys.receipt, anchor)

    async def _keep_renewing(self) -> None:
        """Renew at a third of the leases' life, or when asked to; return never, raise where serving must stop."""
        if self._grounds is None or self._meter is None:
            raise StaleState("no lease to renew")
        known, meter = self._grounds, self._meter
        self._renewed = asyncio.Event()
        try:
            while True:
                await self._until_due(known.remaining_s(self._monotonic(), at_most=known.lifetime_s / 3))
                known = await self._renew(known, meter)
                self._is_renewal_wanted.clear()
                self._renewed.set()
                self._renewed = asyncio.Event()
        finally:
            self._renewed.set()
            self._renewed = None

    async def _renew(self, known: Grounds, meter: Meter) -> Grounds:
        """Return the grounds to serve on from now: fresh ones, or those known where they last and none came."""
        try:
            meter.refund_due(at=known.now(self._monotonic()))
            grounds = await asyncio.to_thread(self.opening.renew, meter.anchor, known.history, known.reported)
            grounds.require_branch(meter.has_come_by)
        except (AccessDenied, ForkedHistory):
            raise  # by more custodians than can lie, or by what they signed
        except VaultError as error:
            known.require_fresh(self._monotonic())
            self._renews_early_from = self._monotonic() + EARLY_RETRY_S
            log.warning("leases were not renewed yet: %s", error)
            return known
        if grounds.terms.manifests != known.terms.manifests:
            raise StaleState("the DAO changed which datasets are served; opening again")
        self._take(grounds)
        return grounds

    async def _until_due(self, timeout_s: float) -> None:
        """Wait; raise `ServiceUnavailable` as soon as the engine ends, so that it is opened again."""
        if self._engine is None:
            raise ServiceUnavailable("the enclave's engine has not been started")
        ended = asyncio.ensure_future(self._engine.ended())
        others = [asyncio.ensure_future(self._sleep(timeout_s)), asyncio.ensure_future(self._is_renewal_wanted.wait())]
        try:
            await asyncio.wait({ended, *others}, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise ServiceUnavailable("the enclave's engine has ended; it is opened again")
        finally:
            for waiting in (ended, *others):
                waiting.cancel()
            await asyncio.gather(ended, *others, return_exceptions=True)

    def _take(self, grounds: Grounds) -> None:
        if self._meter is not None:
            self._meter.grant(grounds)
        self._grounds = grounds
        self._kept[grounds.terms.evidence] = grounds
        while len(self._kept) > GROUNDS_KEPT:
            del self._kept[next(iter(self._kept))]
        self.status.epoch = grounds.terms.epoch

    def _first_state_key(self, grounds: Grounds) -> SecretKey:
        if self._journal.last() is not None:
            raise LedgerTampered(
                "the database holds ledger rows, but no custodian holds this ledger's state key; restore theirs"
            )
        key = SecretKey(secrets.token_bytes(32))
        deposit_state_key(key, self.keys.receipt, grounds.history.charter, self.genesis, self.ledger, self._custodians)
        return key

    def _progress(self, done: int, total: int) -> None:
        self.status.done, self.status.total = done, total

    def _stop(self, error: Exception) -> None:
        self._end_engine()
        kind = type(error) if isinstance(error, VaultError) else ServiceUnavailable
        self._refusal = kind(f"the enclave does not serve now: {shown(error)}")
        if str(error) != self._logged:  # it tries again, and again
            log.warning("not serving: %s", error)
        self._logged = str(error)
        self.status = Status(state=State.STOPPED, epoch=self.status.epoch, reason=shown(error))

    def _end_engine(self) -> None:
        if self._engine is not None:
            self._engine.end()
            self._engine = None

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
        if self._engine is None:
            raise self._refusal
        return self._engine


def _datasets(grounds: Grounds, keys: Secrets) -> list[Dataset]:
    return [Dataset(manifest=manifest, key=keys.data_keys[manifest.cid()]) for manifest in grounds.manifests]
