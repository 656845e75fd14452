"""One thread that owns an index and answers everybody's questions with it, several callers' at once.

A FAISS index on a GPU may be used by one thread at a time: two on the same resources abort the process. Here one
thread makes it, uses it and drops it, and callers wait for their part of a common search.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

import numpy as np

from rag.errors import RagError
from rag.model import Hit, Index
from rag.scoring import checked_matrix, require_k, require_own

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rag.allowed import Allowed

CALLS_WAITING_MAX = 1024
QUERIES_AT_ONCE = 1024  # of one search; a call with more is searched alone


class Overloaded(RagError):
    """As many calls wait as may; ask again in a moment."""


class Closed(RagError):
    """The index is no longer served."""


@dataclass(frozen=True, slots=True)
class _Search:
    queries: NDArray[np.float32]
    k: int
    allowed: Allowed | None
    answer: Future[list[list[Hit]]] = field(default_factory=Future)

    def joins(self, other: _Work) -> bool:
        """Tell whether both can be one search: only with the same k does neither change the other's candidates."""
        return isinstance(other, _Search) and other.k == self.k and other.allowed is self.allowed


@dataclass(frozen=True, slots=True)
class _Lookup:
    call: Callable[[Index], Any]
    answer: Future[Any] = field(default_factory=Future)


_Work: TypeAlias = "_Search | _Lookup"
_Found = TypeVar("_Found")


class Dispatcher:
    """An `Index` that any number of threads may use, over one that only a single thread may."""

    def __init__(
        self,
        make: Callable[[], Index],
        *,
        calls_waiting_max: int = CALLS_WAITING_MAX,
        queries_at_once: int = QUERIES_AT_ONCE,
    ) -> None:
        """Start the thread and wait until it has made the index.

        Args:
            make: returns the index; it runs in the owning thread, and what it raises is raised here.
            calls_waiting_max: further calls are refused.
            queries_at_once: most queries of one search that several calls share.
        """
        if calls_waiting_max < 1 or queries_at_once < 1:
            raise ValueError("at least one call must be able to wait, and one query to be searched")
        self._calls_waiting_max, self._queries_at_once = calls_waiting_max, queries_at_once
        self._waiting: deque[_Work] = deque()
        self._changed = threading.Condition()
        self._is_open = True
        made: Future[tuple[int, int]] = Future()
        self._thread = threading.Thread(target=self._own, args=(make, made), name="index", daemon=True)
        self._thread.start()
        try:
            self.count, self.dimension = made.result()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        """Return what the owned index returns; see `rag.model.Index.search`. Raises also Overloaded, Closed."""
        return self.submit(queries, k=k, allowed=allowed).result()

    def submit(
        self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None
    ) -> Future[list[list[Hit]]]:
        """Return a future of the hits, which may be cancelled while it waits.

        What is wrong with a call is raised here, in its own caller, and cannot fail others' searches.

        Raises: DimensionMismatch, UnusableVector, Overloaded, Closed; ValueError for `k` out of range.
        """
        require_k(k)
        require_own(allowed, self.count)
        # The caller may write into its array while this call waits.
        work = _Search(np.array(checked_matrix(queries, self.dimension)), k, allowed)
        self._enqueue(work)
        return work.answer

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows; see `rag.model.Index.vectors`. Raises also Overloaded, Closed."""
        copied = np.array(rows)
        return self._looked_up(lambda index: index.vectors(copied))

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the scores of given rows; see `rag.model.Index.scores`. Raises also Overloaded, Closed."""
        (checked,) = np.array(checked_matrix(query[None], self.dimension))
        copied = np.array(rows)
        return self._looked_up(lambda index: index.scores(checked, copied))

    def close(self) -> None:
        """Take no further calls, answer those that wait, drop the index and end the thread.

        Closing twice is fine, and so is closing from a future's callback, which does not wait for the end.
        """
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _looked_up(self, call: Callable[[Index], _Found]) -> _Found:
        work = _Lookup(call)
        self._enqueue(work)
        found: _Found = work.answer.result()
        return found

    def _enqueue(self, work: _Work) -> None:
        with self._changed:
            if not self._is_open:
                raise Closed("the index is closed; open the dataset again")
            if len(self._waiting) >= self._calls_waiting_max:
                raise Overloaded(f"{self._calls_waiting_max} calls wait for the index; ask again in a moment")
            self._waiting.append(work)
            self._changed.notify()

    def _own(self, make: Callable[[], Index], made: Future[tuple[int, int]]) -> None:
        try:
            index = make()
            made.set_result((index.count, index.dimension))
        except BaseException as error:  # noqa: BLE001 - the constructor raises it, in the thread that asked
            made.set_exception(error)
            return
        while batch := self._next():
            _answer(index, [work for work in batch if work.answer.set_running_or_notify_cancel()])

    def _next(self) -> list[_Work]:
        """Return the call that waits longest and those that can share its search; nothing once closed and empty."""
        with self._changed:
            while not self._waiting and self._is_open:
                self._changed.wait()
            if not self._waiting:
                return []
            first = self._waiting.popleft()
            batch: list[_Work] = [first]
            if isinstance(first, _Search):
                batch += self._sharing(first)
            return batch

    def _sharing(self, first: _Search) -> list[_Search]:
        """Take the waiting searches that join the first, oldest first, as long as there is room."""
        room = self._queries_at_once - len(first.queries)
        taken: list[_Search] = []
        left: deque[_Work] = deque()
        for work in self._waiting:
            if isinstance(work, _Search) and first.joins(work) and len(work.queries) <= room:
                taken.append(work)
                room -= len(work.queries)
            else:
                left.append(work)
        self._waiting = left
        return taken


def _answer(index: Index, batch: list[_Work]) -> None:
    """Search once for all, and hand each caller its part; an error goes to all of them."""
    try:
        for work in batch:
            if isinstance(work, _Lookup):
                work.answer.set_result(work.call(index))
        searches = [work for work in batch if isinstance(work, _Search)]
        if not searches:
            return
        asked = np.concatenate([work.queries for work in searches])
        hits = iter(index.search(asked, k=searches[0].k, allowed=searches[0].allowed))
        answers = [[next(hits) for _ in work.queries] for work in searches]
        for work, answer in zip(searches, answers, strict=True):
            work.answer.set_result(answer)
    except BaseException as error:  # noqa: BLE001 - it belongs to the callers; the thread goes on
        for work in batch:
            if not work.answer.done():
                work.answer.set_exception(error)
