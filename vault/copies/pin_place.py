"""Copies at a remote pinning service, which fetches them by itself, and is read back through a gateway of its own.

The pin is of the manifest, whose links lead to every segment, so all of a dataset hangs below one CID. What a gateway
can fetch it may have from somewhere else: name one that the service itself runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from storage.errors import PinNotFound, RequestRefused
from storage.model import Blobs
from storage.pin import Pin, PinState, PinStatus
from storage.pinning import PinningService
from vault.copies.model import FAULT_CHARS_MAX, Advance, Job, Kind, Notes, Outlook, Release
from vault.publishing import verify_stored

LAPSE_KEYS: Final = ("pinned_until", "expires_at", "expiration")  # `info` is the service's own; these are in use


class PinPlace:
    """A pinning service.

    Args:
        gateway: reads back what the service keeps.
        origins: multiaddresses of nodes that have the blocks, for the service to fetch them from.
    """

    kind = Kind.PINNING

    def __init__(self, name: str, service: PinningService, gateway: Blobs, *, origins: Sequence[str] = ()) -> None:
        self.name = name
        self.shown = service.name
        self._service = service
        self._gateway = gateway
        self._origins = tuple(origins)

    def month_cost(self, sealed_bytes: int) -> int | None:
        """Return None: the interface has no prices."""
        return None

    def advance(self, job: Job) -> Advance:
        """Ask for the pin, or how far it has come; one that failed or was lost is asked for again."""
        status = self._status(job.notes)
        if status is None or status.state is PinState.FAILED:
            status = self._pinned(job, status)
        if status.state is PinState.PINNED:
            return Advance(lapses_at=_lapses_at(status))
        details = status.info.get("status_details", "")[: FAULT_CHARS_MAX // 2]
        told = f"the pin is {status.state} at the service" + (f": {details}" if details else "")
        return Advance(waiting=told, lapses_at=_lapses_at(status))

    def reads(self, notes: Notes) -> Blobs:
        """Return the gateway's blocks."""
        return self._gateway

    def read_whole(self, job: Job) -> None:
        """Read every block through the gateway and check it."""
        verify_stored(job.manifest, self._gateway, None, progress=job.progress)

    def outlook(self, job: Job) -> Outlook:
        """Say whether the service still has the pin, and until when."""
        status = self._status(job.notes)
        if status is None:
            return Outlook(fault=f"{self.shown} no longer has the pin")
        fault = "" if status.state is PinState.PINNED else f"the pin is {status.state} at {self.shown}"
        return Outlook(fault=fault, lapses_at=_lapses_at(status))

    def renew(self, job: Job) -> int | None:
        """Put a new pin in the place of the one that lapses; the service keeps the blocks meanwhile."""
        status = self._status(job.notes)
        renewed = self._pinned(job, status)
        return _lapses_at(renewed)

    def let_go(self, notes: Notes, *, at: int) -> Release:
        """Remove the pin, and ask whether it is gone."""
        note = notes.copy_note().decode("utf-8", "replace")
        if not note:
            return Release()
        with suppress(PinNotFound):
            self._service.remove(note)
            status = self._service.status(note)
            return Release(waiting=f"{self.shown} was told to remove the pin, and still has it: it is {status.state}")
        return Release()

    def _status(self, notes: Notes) -> PinStatus | None:
        note = notes.copy_note().decode("utf-8", "replace")
        if not note:
            return None
        try:
            return self._service.status(note)
        except PinNotFound:
            return None

    def _pinned(self, job: Job, before: PinStatus | None) -> PinStatus:
        """Make a pin and remember it; one that was made before a crash, and not remembered, is found by its CID."""
        root = job.manifest.cid()
        pin = Pin(cid=root, name=f"coffer {root}", origins=self._origins)
        if before is None:
            known = next(iter(self._service.page(cids=[root], limit=1).pins), None)
            made = known if known is not None and known.state is not PinState.FAILED else self._service.add(pin)
        else:
            made = self._replaced(before, pin)
        job.notes.set_copy_note(made.request_id.encode())
        return made

    def _replaced(self, before: PinStatus, pin: Pin) -> PinStatus:
        try:
            return self._service.replace(before.request_id, pin)
        except (PinNotFound, RequestRefused):  # some services refuse to replace a pin by one of the same CID
            return self._service.add(pin)


def _lapses_at(status: PinStatus) -> int | None:
    for key in LAPSE_KEYS:
        try:
            until = datetime.fromisoformat(status.info.get(key, ""))
        except ValueError:
            continue
        if until.tzinfo is not None and until.timestamp() > 0:
            return int(until.timestamp())
    return None
