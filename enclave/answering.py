"""Questions from their session to what leaves: judged, searched, booked, and given again where they are asked again.

A question holds on to the version of the datasets that it began with, and is answered from that one (rules L3, O3).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from enclave.admission import Admission, Session
from enclave.allowance import WindowUsedUp
from enclave.asked import Asked, Metered
from enclave.batching import Batching
from enclave.found import Answer, Ask, Recall
from enclave.grounds import Grounds
from enclave.instance import Instance
from enclave.metering import Booked, Meter
from enclave.metrics import Metrics, Stage
from enclave.output import shaped, shaping_of
from enclave.selection import Room
from enclave.served import Served
from vault.entry import Entry, unpacked_scores
from vault.errors import AccessDenied, RequestConflict, VaultError
from vault.license import License
from vault.question import Query, count_bytes
from vault.receipt_message import payload_digest

RENEWALS_MAX = 2  # that one call waits for: the one under way may have begun too early for it


@dataclass(slots=True)
class _Judged:
    """A question as it was judged, and what by: as long as that is the same, so is the judgment."""

    asked: Asked
    grounds: Grounds
    newest: Grounds
    at: int

    def holds(self, served: Served, newest: Grounds, at: int) -> bool:
        """Say whether it would be judged the same now, however many answers came first."""
        policy = self.asked.policy
        is_same = served.grounds is self.grounds and newest is self.newest and at == self.at
        return is_same and not (policy.tiers or policy.free_queries)


class Answering:
    """The questions of one instance. They run on one event loop; between two awaits nothing else happens."""

    def __init__(self, instance: Instance, admission: Admission, metrics: Metrics) -> None:
        self._instance = instance
        self._admission = admission
        self._metrics = metrics
        self._batchings: WeakKeyDictionary[Served, Batching] = WeakKeyDictionary()

    async def search(self, session: Session, query: Query, last_receipt: bytes) -> tuple[Metered, Answer, bool]:
        """Return an answer, booked and durable, and whether it is one given before.

        Args:
            last_receipt: which one the call confirmed; the call was authenticated.
        """
        with self._metrics.question() as outcome:
            metered, answer, is_repeat = await self._answered(session, query, last_receipt)
            outcome.answered(len(metered.passages), is_partial=metered.is_partial, is_repeat=is_repeat)
            return metered, answer, is_repeat

    @property
    def under_way(self) -> int:
        """Return how many questions wait for the engine, or are in its hands."""
        return sum(batching.under_way for batching in self._batchings.values())

    async def close(self) -> None:
        """Tell all who still wait that the enclave stops."""
        for batching in [*self._batchings.values()]:
            await batching.close()

    def require_not_shut_out(self, license: License, served: Served) -> None:
        """Raise `Revoked` for a licensee that the DAO has shut out since the leases that are served on."""
        newest = self._instance.served().newest
        if newest is not served.grounds:
            self._admission.policy(license, newest)

    async def _answered(self, session: Session, query: Query, last_receipt: bytes) -> tuple[Metered, Answer, bool]:
        meter = self._instance.meter()
        asking = session.license.licensee, query.request, query.body_digest()
        before = await meter.answered(*asking)
        try:
            with self._metrics.timed(Stage.RULES):
                served = self._instance.served()
                judged = self._judged(session, query, served)
                asked = judged.asked
        except AccessDenied as error:
            await self._refund_undelivered(session, before, last_receipt, error)
            raise
        with served.in_use():
            self._batching(served).require_room(session.id, 1)
            self._admission.count(asked, self._instance.now(), is_repeat=before is not None)
            if before is None:
                with ExitStack() as reserved:
                    room = await self._room(meter, asked, reserved)
                    answer = await self._nearest(asked, room, session, served)
                    before = await meter.answered(*asking)
                    if before is None:
                        with self._metrics.timed(Stage.BOOK):
                            booked = self._booked(meter, session, judged, answer, room, served, last_receipt)
                if before is None:
                    with self._metrics.timed(Stage.COMMIT):
                        return await meter.metered(booked), answer, False
            metered, answer = await self._again(meter, session, before, asked, last_receipt, served)
        await meter.answered(*asking)  # it may have been refunded meanwhile
        return metered, answer, True

    async def _again(
        self, meter: Meter, session: Session, before: Entry, asked: Asked, last_receipt: bytes, served: Served
    ) -> tuple[Metered, Answer]:
        """Return an answer given before; where it may not be given again, void its charge (rule L3)."""
        try:
            return await self._repeated(meter, session, before, asked, served)
        except (AccessDenied, RequestConflict) as error:
            await self._refund_undelivered(session, before, last_receipt, error)
            raise

    def _batching(self, served: Served) -> Batching:
        """Return where questions for an engine wait: one that is being replaced holds up none of the next one's."""
        if served not in self._batchings:
            self._batchings[served] = Batching(served.engine)
        return self._batchings[served]

    def _judged(self, session: Session, query: Query, served: Served) -> _Judged:
        """Return a question with the permit it needs, on what it is to be answered with."""
        self.require_not_shut_out(session.license, served)
        before, racing = self._instance.meter().answers(session.license.licensee)
        at, newest = self._instance.now(), self._instance.served().newest
        asked = self._admission.asked(session, query, served.grounds, at, before=before, racing=racing)
        return _Judged(asked, served.grounds, newest, at)

    async def _nearest(self, asked: Asked, room: Room, session: Session, served: Served) -> Answer:
        query = asked.query
        ask = Ask(
            text=query.text,
            vector=query.vector,
            datasets=room.datasets,
            k=query.k,
            options=query.options,
            shaping=shaping_of(asked.policy.output),
            only=asked.coverage.only_of(room.datasets),
        )
        started = time.perf_counter()
        answer = await self._in_turn(ask, session, served)
        if query.is_count:
            answer = replace(answer, vector=count_bytes(asked.policy.output.told_count(answer.matching)))
        taken = time.perf_counter() - started
        self._metrics.observe(Stage.QUEUE, max(0.0, taken - answer.embed_s - answer.search_s))
        self._metrics.observe(Stage.EMBED, answer.embed_s)
        self._metrics.observe(Stage.SEARCH, answer.search_s)
        return answer

    async def _in_turn(self, ask: Ask | Recall, session: Session, served: Served) -> Answer:
        (answer,) = await self._batching(served).search([ask], session=session.id)
        if isinstance(answer, VaultError):
            raise answer
        return answer

    async def _room(self, meter: Meter, asked: Asked, reserved: ExitStack) -> Room:
        """Keep room for an answer in the window until `reserved` closes; where it is used up, wait for the next one."""
        for _ in range(RENEWALS_MAX):
            try:
                return reserved.enter_context(meter.reserved(asked, at=self._instance.now()))
            except WindowUsedUp:
                await self._instance.renewal()
        return reserved.enter_context(meter.reserved(asked, at=self._instance.now()))

    def _booked(
        self,
        meter: Meter,
        session: Session,
        judged: _Judged,
        answer: Answer,
        room: Room,
        served: Served,
        last_receipt: bytes,
    ) -> Booked:
        """Charge for an answer on what it was found in, even where another version is served by now."""
        grounds, at = self._instance.still_served(served), self._instance.now()
        asked = judged.asked
        if not judged.holds(served, self._instance.served().newest, at):  # the head may have moved
            asked = self._judged(session, asked.query, served).asked
        booked = meter.book_answer(asked, answer.found, answer.vector, grounds, at=at, room=room, confirms=last_receipt)
        if meter.is_window_half_used:
            self._instance.want_renewal()
        return booked

    async def _repeated(
        self, meter: Meter, session: Session, entry: Entry, asked: Asked, served: Served
    ) -> tuple[Metered, Answer]:
        if entry.query is None:
            raise RequestConflict("this request id cannot be used again; choose a fresh one")
        if entry.query.instance != self._instance.keys.instance:
            raise RequestConflict("an earlier run of the enclave signed this answer; ask with a fresh request id")
        places = tuple((place.manifest, place.index) for place in entry.query.passages)
        if not asked.coverage.places.keys() >= {manifest for manifest, _ in places}:
            raise AccessDenied("a dataset of that answer is not served any more, or in a newer version")
        recall = Recall(
            places=places, scores=unpacked_scores(entry.query.scores), shaping=shaping_of(asked.policy.output)
        )
        found = (await self._in_turn(recall, session, served)).found if places else ()
        receipt = await meter.receipt(entry)
        passages = shaped(found, asked.policy.output)
        metered = Metered(passages=passages, receipt=receipt, is_partial=entry.query.is_partial)
        return metered, Answer(found=found, vector=entry.query.vector, embed_s=0.0, search_s=0.0)

    async def _refund_undelivered(
        self, session: Session, before: Entry | None, last_receipt: bytes, refusal: VaultError
    ) -> None:
        """Void a charge whose answer may no longer be given again, if the licensee has not confirmed it (rule L3).

        Only for the delegation that paid: another license of the same licensee, one that was never good for this
        question, would otherwise turn every answer into a refund.
        """
        if before is None or before.query is None or before.query.delegation != session.delegation.cid().digest:
            return
        meter = self._instance.meter()
        digest = payload_digest(before.query.receipt)
        is_last = meter.books.receipt_chain(before.licensee)[1] == digest
        if is_last and last_receipt != digest:
            await meter.void(before, at=self._instance.now())
            raise type(refusal)(f"{refusal}; what this request was charged has been refunded") from refusal
