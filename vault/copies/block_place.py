"""Copies in folders and on IPFS nodes: places that take a block at a time and give it back."""

from __future__ import annotations

from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.copies.model import Advance, Job, Kind, Notes, Outlook, Release
from vault.publishing import copy_dataset, verify_stored


class BlockPlace:
    """A place that keeps blocks. What a copy costs there is not known."""

    def __init__(self, name: str, kind: Kind, blobs: Blobs) -> None:
        self.name = name
        self.kind = kind
        self.shown = blobs.name
        self._blobs = blobs

    def month_cost(self, sealed_bytes: int) -> int | None:
        """Return None."""
        return None

    def advance(self, job: Job) -> Advance:
        """Put the blocks that the place lacks, the manifest last: a place that has it was sent all the others."""
        held = self._holds if job.is_repair else None
        copy_dataset(job.manifest, job.source, self._blobs, progress=job.progress, held=held)
        return Advance()

    def reads(self, notes: Notes) -> Blobs:
        """Return the place's blocks."""
        return self._blobs

    def read_whole(self, job: Job) -> None:
        """Read every block and check it by its CID."""
        verify_stored(job.manifest, self._blobs, None, progress=job.progress)

    def outlook(self, job: Job) -> Outlook:
        """Return nothing: only reading tells."""
        return Outlook()

    def renew(self, job: Job) -> int | None:
        """Do nothing: what is kept there does not lapse."""
        return None

    def let_go(self, notes: Notes, *, at: int) -> Release:
        """Do nothing: whoever deletes takes the blocks away."""
        return Release()

    def _holds(self, cid: Cid) -> bool:
        try:
            self._blobs.get(cid)
        except StorageError:
            return False
        return True
