"""Many blocks into one place: several at a time, within a bound, and all of them durable when it ends well.

A directory writes and flushes files in parallel and names them in groups, so that one flush of a folder serves many.
Any other place is handed blocks one by one on several threads. Nothing here waits for more than it has under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Protocol, Self, runtime_checkable

from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs

WORKERS: Final = 4
IN_FLIGHT_MAX: Final = 16  # blocks in memory: 32 MiB at most
GROUP: Final = 64  # files named together; as many are on disk without a name


@runtime_checkable
class Grouping(Protocol):
    """A place that can name many blocks at once; `storage.directory.DirectoryBlobs` is one."""

    def write(self, cid: Cid, block: bytes) -> Any:
        """Write a block's bytes durably, without their name; return what `settle` names, or None if it is there."""

    def settle(self, written: list[Any]) -> None:
        """Give blocks their names, durably; whatever gets none is removed."""


@runtime_checkable
class Unchecked(Protocol):
    """A place that can leave checking a block to whoever takes it; `storage.directory.DirectoryBlobs` is one."""

    def unchecked(self, cid: Cid) -> bytes:
        """Return what is there under a block's name."""


class Bulk:
    """Puts blocks into `blobs` in no order; use it in `with`: at its end all are durable, or the first error is raised.

    Args:
        put: called with the size of each block once the place took it, from the thread that uses this.
    """

    def __init__(self, blobs: Blobs, *, workers: int = WORKERS, put: Callable[[int], None] = lambda size: None) -> None:
        self._blobs = blobs
        self._grouping = blobs if isinstance(blobs, Grouping) else None
        self._pool = ThreadPoolExecutor(workers)
        self._under_way: deque[tuple[Future[Any], int]] = deque()
        self._unnamed: list[Any] = []
        self._naming: Future[None] | None = None
        self._put = put

    def put(self, cid: Cid, block: bytes) -> None:
        """Have a block put; raise what an earlier one raised."""
        self._begin(len(block), lambda: self._written(cid, block))

    def put_missing(
        self, cid: Cid, size: int, read: Callable[[], bytes], *, held: Callable[[Cid], bool] | None = None
    ) -> None:
        """Have a block read and put unless it is held; raise what an earlier one raised.

        Args:
            held: says so; the place itself by default.
        """
        is_held = held or self._blobs.has
        self._begin(size, lambda: None if is_held(cid) else self._written(cid, read()))

    def _written(self, cid: Cid, block: bytes) -> Any:
        return (self._grouping.write if self._grouping is not None else self._blobs.put)(cid, block)

    def _begin(self, size: int, task: Callable[[], Any]) -> None:
        while len(self._under_way) >= IN_FLIGHT_MAX:
            self._take_first()
        self._under_way.append((self._pool.submit(task), size))

    def finish(self) -> None:
        """Wait until all that was put is durable."""
        while self._under_way:
            self._take_first()
        self._name()
        self._wait_for_names()

    def _take_first(self) -> None:
        future, size = self._under_way[0]
        written = future.result()
        self._under_way.popleft()
        if written is not None:
            self._unnamed.append(written)
        if len(self._unnamed) >= GROUP:
            self._name()
        self._put(size)

    def _name(self) -> None:
        """Have a group named while the next one is written."""
        self._wait_for_names()
        if self._grouping is not None and self._unnamed:
            group, self._unnamed = self._unnamed, []
            self._naming = self._pool.submit(self._grouping.settle, group)

    def _wait_for_names(self) -> None:
        naming, self._naming = self._naming, None
        if naming is not None:
            naming.result()

    def _give_up(self) -> None:
        """Let what is under way end, name what was written, and leave nothing unnamed behind."""
        for future, _ in self._under_way:
            if not future.cancel() and future.exception() is None and future.result() is not None:
                self._unnamed.append(future.result())
        if self._naming is not None:
            self._naming.exception()
        if self._grouping is not None:
            with suppress(StorageError):  # the first error is the one to raise; what gets no name is removed
                self._grouping.settle(self._unnamed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        except BaseException:
            self._give_up()
            raise
        else:
            if kind is not None:
                self._give_up()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)


class Through:
    """A place whose blocks go through a `Bulk` on their way in; all else is the place's own."""

    def __init__(self, bulk: Bulk, blobs: Blobs) -> None:
        self.name = blobs.name
        self.put = bulk.put
        self.get = blobs.get
        self.has = blobs.has
        self.delete = blobs.delete
        self.cids = blobs.cids
