"""Copies in folders and on IPFS nodes: places that take a block at a time and give it back."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.copies.model import Advance, Job, Kind, Notes, Outlook, Release
from vault.publishing import dataset_blocks, verify_stored

PUT_AT_ONCE: Final = 4  # blocks on their way to one place


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
        done = 0
        last: tuple[Cid, bytes] | None = None
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(PUT_AT_ONCE, thread_name_prefix="coffer-put") as pool:
            try:
                for cid, block in dataset_blocks(job.source, job.manifest):
                    done += len(block)
                    if last is None:
                        last = cid, block
                        continue
                    under_way.append(pool.submit(self._put, cid, block, job.is_repair))
                    if len(under_way) >= PUT_AT_ONCE:
                        under_way.popleft().result()
                        job.progress(done)
                for putting in under_way:
                    putting.result()
            finally:
                for putting in under_way:
                    putting.cancel()
        if last is not None:
            self._put(*last, job.is_repair)
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

    def _put(self, cid: Cid, block: bytes, is_repair: bool) -> None:
        if not (self._holds(cid) if is_repair else self._blobs.has(cid)):
            self._blobs.put(cid, block)

    def _holds(self, cid: Cid) -> bool:
        try:
            self._blobs.get(cid)
        except StorageError:
            return False
        return True
