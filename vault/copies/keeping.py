"""Keeping one copy: bring it to its place, look at it, put it right; what is known of it is in the records first.

    pending --all of it read back--> verified --no answer--> unreachable --answers, right--> verified
                                         \\--missing or wrong--> damaged --repaired, read back--> verified
    any of them --dataset deleted--> leaving --its place let go--> gone, and forgotten

Each step may be cut off anywhere and done again: the records never say more of a copy than was seen of it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from storage.cid import Cid
from storage.errors import (
    BlockMismatch,
    BlockNotFound,
    BlockTooLarge,
    MalformedDag,
    OverLimit,
    PieceMismatch,
    PieceNotFound,
    RateLimited,
    RequestRefused,
    StorageError,
    StorageUnavailable,
)
from storage.model import Blobs
from storage.racing import RacingBlobs
from vault.copies.leaving import let_go
from vault.copies.model import FAULT_CHARS_MAX, Advance, Copy, CopyState, Job, Outlook, Place
from vault.copies.notes import RecordedNotes
from vault.copies.sampling import read_sample
from vault.errors import StaleState, VaultError
from vault.manifest import Manifest
from vault.publishing import Progress
from vault.records.copies import CopyRecords
from vault.utc import time_text

DAY_S: Final = 86_400
REFUSED_EVERY_S: Final = 3600
LIES: Final = (BlockMismatch, BlockTooLarge, PieceMismatch, MalformedDag)
LOSSES: Final = (*LIES, BlockNotFound, PieceNotFound)

_log = logging.getLogger("coffer.storage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often and how closely copies are looked at.

    Attributes:
        every_s: from one sample to the next, on average; each wait is drawn from half to one and a half of it.
        blocks: read at random each time.
        whole_every_s: from one reading of all of a copy to the next.
        pending_every_s: how soon a copy that is waited for is asked about again.
        renew_before_s: how long before it lapses a copy is renewed.
    """

    every_s: int = 6 * 3600
    blocks: int = 16
    whole_every_s: int = 30 * DAY_S
    pending_every_s: int = 60
    renew_before_s: int = 7 * DAY_S


class Keeper:
    """Keeps the copies at `places`; safe to use from several threads, for different copies.

    Args:
        readers: further places to repair from, by name: gateways.
        manifest_of: returns a dataset's manifest from wherever it is.
        clock: UTC seconds.
        random: draws what is read and when.
        published: told, once or more often, that a dataset has as many verified copies as are wanted.
    """

    def __init__(
        self,
        records: CopyRecords,
        places: Sequence[Place],
        *,
        manifest_of: Callable[[Cid], Manifest],
        clock: Callable[[], int],
        random: Random,
        plan: Plan | None = None,
        readers: Mapping[str, Blobs] | None = None,
        published: Callable[[Cid], None] = lambda manifest: None,
    ) -> None:
        self.records = records
        self.places = {place.name: place for place in places}
        self.plan = plan or Plan()
        self._manifest_of = manifest_of
        self._clock = clock
        self._random = random
        self._readers = dict(readers or {})
        self._published = published

    def due(self) -> list[Copy]:
        """Return the copies to be looked at by now, the longest due first, of places that are configured."""
        now = self._clock()
        found = [copy for copy in self.records.copies() if copy.due_at <= now and copy.place in self.places]
        return sorted(found, key=lambda copy: copy.due_at)

    def next_due_at(self) -> int | None:
        """Return when the next copy is to be looked at; None where there is none."""
        return min((copy.due_at for copy in self.records.copies() if copy.place in self.places), default=None)

    def look(self, copy: Copy, *, is_whole: bool = False, progress: Progress = lambda done: None) -> Copy:
        """Do what a copy needs now, and return it as it then is; what goes wrong is in its `fault`.

        Args:
            is_whole: read all of it, whether or not that is due.
        Raises: StaleState: the copy was forgotten meanwhile; RecordsUnavailable.
        """
        place = self.places[copy.place]
        if copy.state is CopyState.LEAVING:
            return let_go(self.records, copy, lambda: place, at=self._clock())
        if copy.kind is not place.kind:  # the name means another place now
            copy = self._begun_anew(copy, place)
        try:
            job = self._job(copy, place, progress)
            if copy.state in (CopyState.PENDING, CopyState.DAMAGED):
                return self._put_right(copy, place, job)
            return self._examined(copy, place, job, is_whole=is_whole)
        except LOSSES as error:  # found where it should have been right
            self._blame(place.name, error)
            damaged = self._noted(copy, CopyState.DAMAGED, str(error))
            return self._repaired(damaged, place, progress) if copy.state is not CopyState.DAMAGED else damaged
        except (StorageError, VaultError) as error:
            state = CopyState.UNREACHABLE if copy.state is CopyState.VERIFIED else copy.state
            return self._noted(copy, state, str(error), again_s=self._again_s(error))

    def note_whole(self, manifest: Cid, place: str) -> Copy:
        """Note that all of a copy was just fetched back from its place and checked by whoever calls."""
        copy = self.records.get(manifest, place)
        if copy is None:
            raise StaleState(f"the copy of {manifest} at {place} was forgotten meanwhile; store it again")
        return self._verified(copy, Advance(lapses_at=copy.lapses_at), is_whole=True)

    def source_for(self, manifest: Cid, place: str) -> Blobs:
        """Return a dataset's blocks from whichever other copy sends the right ones soonest, a wrong one blamed.

        The place itself comes last: what it still has may be all there is.
        """
        rank = {CopyState.VERIFIED: 0, CopyState.UNREACHABLE: 1, CopyState.DAMAGED: 2, CopyState.PENDING: 3}
        others = sorted(
            (copy for copy in self.records.copies(manifest) if copy.place in self.places and copy.state in rank),
            key=lambda copy: (copy.place == place, rank[copy.state]),
        )
        named = [(copy.place, self._reads(copy)) for copy in others] + list(self._readers.items())
        if not named:
            raise StorageUnavailable(f"there is no copy of {manifest} to read from")
        return RacingBlobs(
            [blobs for _, blobs in named], blame=lambda number, fault: self.blame(named[number][0], fault)
        )

    def blame(self, place: str, fault: str) -> None:
        """Record that a place sent what was wrong; where that cannot be recorded it is logged all the same."""
        _log.warning("%s sent what is wrong: %s", place, fault)
        try:
            self.records.blame(place, fault, at=self._clock())
        except VaultError as error:
            _log.warning("who lied could not be recorded: %s", error)

    def _begun_anew(self, copy: Copy, place: Place) -> Copy:
        self.records.forget(copy.manifest, copy.place)
        return self.records.add(Copy(manifest=copy.manifest, place=place.name, kind=place.kind))

    def _job(self, copy: Copy, place: Place, progress: Progress) -> Job:
        return Job(
            manifest=self._manifest_of(copy.manifest),
            source=self.source_for(copy.manifest, place.name),
            notes=RecordedNotes(self.records, copy.manifest, place.name),
            is_repair=copy.state is CopyState.DAMAGED,
            progress=progress,
        )

    def _reads(self, copy: Copy) -> Blobs:
        return self.places[copy.place].reads(RecordedNotes(self.records, copy.manifest, copy.place))

    def _put_right(self, copy: Copy, place: Place, job: Job) -> Copy:
        """Bring a copy to its place, and read all of it back once the place claims to have it."""
        size = job.manifest.sealed_bytes
        month_cost = place.month_cost(size)
        try:
            advance = place.advance(job)
        except LOSSES as error:  # of what it is made from, not of what the place has
            return self._noted(copy, copy.state, f"it cannot be made from the other copies: {error}")
        if advance.waiting:
            return self._noted(copy, copy.state, advance.waiting, month_cost=month_cost)
        try:
            self._read_back(place, job)
        except LOSSES as error:
            self._blame(place.name, error)
            state = CopyState.DAMAGED if copy.since is not None or isinstance(error, LIES) else copy.state
            return self._noted(copy, state, f"it was taken but does not come back right: {error}")
        return self._verified(copy, advance, month_cost=month_cost, is_whole=True)

    def _read_back(self, place: Place, job: Job) -> None:
        """Read all of a copy; where a place lacks what it claimed to have, give it once more, block by block."""
        try:
            place.read_whole(job)
        except (BlockNotFound, PieceNotFound):
            if job.is_repair or place.advance(replace(job, is_repair=True)).waiting:
                raise
            place.read_whole(job)

    def _repaired(self, copy: Copy, place: Place, progress: Progress) -> Copy:
        try:
            return self._put_right(copy, place, self._job(copy, place, progress))
        except (StorageError, VaultError) as error:
            return self._noted(copy, CopyState.DAMAGED, f"{copy.fault[: FAULT_CHARS_MAX // 2]}; repair: {error}")

    def _examined(self, copy: Copy, place: Place, job: Job, *, is_whole: bool) -> Copy:
        outlook = place.outlook(job)
        if outlook.fault:
            raise BlockNotFound(outlook.fault)
        now = self._clock()
        is_whole = is_whole or copy.whole_at is None or now - copy.whole_at >= self.plan.whole_every_s
        if is_whole:
            place.read_whole(job)
        else:
            read_sample(job.manifest, self._reads(copy), random=self._random, blocks=self.plan.blocks)
        return self._verified(copy, self._renewed(place, job, outlook), is_whole=is_whole)

    def _renewed(self, place: Place, job: Job, outlook: Outlook) -> Advance:
        lapses_at = outlook.lapses_at
        if lapses_at is not None and lapses_at - self._clock() < self.plan.renew_before_s:
            renewed = place.renew(job)
            _log.info("%s: renewed a copy of %s", place.name, job.manifest.cid())
            lapses_at = lapses_at if renewed is None else renewed
        return Advance(warning=outlook.warning, lapses_at=lapses_at)

    def _verified(self, copy: Copy, advance: Advance, *, is_whole: bool, month_cost: int | None = None) -> Copy:
        now = self._clock()
        warning = advance.warning
        if advance.lapses_at is not None and advance.lapses_at - now < self.plan.renew_before_s:
            warning = f"it lapses at {time_text(advance.lapses_at)} and could not be renewed for longer"
        if warning:
            _log.warning("%s: the copy of %s: %s", copy.place, copy.manifest, warning)
        changed = self.records.change(
            copy.manifest,
            copy.place,
            state=CopyState.VERIFIED,
            fault=warning,
            since=now if copy.since is None else copy.since,
            verified_at=now,
            whole_at=now if is_whole else copy.whole_at,
            lapses_at=advance.lapses_at,
            month_cost=copy.month_cost if month_cost is None else month_cost,
            due_at=self._next(self.plan.every_s),
            repairs=copy.repairs + (copy.state is CopyState.DAMAGED),
        )
        if copy.state is CopyState.DAMAGED:
            _log.warning("%s: the copy of %s was repaired and read back", copy.place, copy.manifest)
        if self.records.count(copy.manifest, CopyState.VERIFIED) >= max(self.records.wanted(copy.manifest), 1):
            self._published(copy.manifest)
        return changed

    def _again_s(self, error: Exception) -> int:
        """Return how soon to ask again after an error: not before the place says, nor soon after a refusal."""
        if isinstance(error, RateLimited):
            return max(self.plan.pending_every_s, 2 * round(error.retry_after_s))
        refused = isinstance(error, RequestRefused | OverLimit)
        return max(self.plan.pending_every_s, REFUSED_EVERY_S) if refused else self.plan.pending_every_s

    def _noted(
        self,
        copy: Copy,
        state: CopyState,
        fault: str,
        *,
        month_cost: int | None = None,
        again_s: int | None = None,
    ) -> Copy:
        if state is not CopyState.PENDING:
            _log.warning("%s: the copy of %s is %s: %s", copy.place, copy.manifest, state, fault)
        return self.records.change(
            copy.manifest,
            copy.place,
            state=state,
            fault=fault,
            month_cost=copy.month_cost if month_cost is None else month_cost,
            due_at=self._next(again_s or self.plan.pending_every_s),
        )

    def _blame(self, place: str, error: Exception) -> None:
        if isinstance(error, LIES):
            self.blame(place, str(error))

    def _next(self, every_s: int) -> int:
        return self._clock() + max(1, round(every_s * self._random.uniform(0.5, 1.5)))
