"""The dispatcher over a real index: every caller gets its own answer, from the one thread that owns the index."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.approximate import ApproximateIndex
from rag.dispatch import Closed, Dispatcher, Overloaded
from rag.errors import DimensionMismatch, UnusableVector
from rag.index_plan import Device, IndexPlan, Kind
from rag.model import Hit
from tests.rag.oracle import Oracle, Rows, clusters

COUNT, DIMENSION = 600, 16
VECTORS = clusters(1, COUNT, DIMENSION)
QUERIES = clusters(2, 64, DIMENSION)
PLAN = IndexPlan(
    kind=Kind.IVF_FLAT, device=Device.CPU, count=COUNT, dimension=DIMENSION, nlist=8, nprobe=2, oversampling=1
)
WAIT_S = 30


def real_index() -> ApproximateIndex:
    return ApproximateIndex.build(VECTORS, PLAN, exact=Oracle(VECTORS))


class Watched:
    """A real index that notes who uses it, and with how many queries, and can be held up or break."""

    def __init__(self) -> None:
        self.threads = {threading.get_ident()}  # the thread that makes it, too
        self.batches: list[int] = []
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()
        self.go_on.set()
        self.error: BaseException | None = None
        self._index = real_index()
        self.count, self.dimension = self._index.count, self._index.dimension

    def search(self, queries: Rows, *, k: int, allowed: Allowed | None) -> list[list[Hit]]:
        self.threads.add(threading.get_ident())
        self.batches.append(len(queries))
        self.entered.release()
        assert self.go_on.wait(WAIT_S)
        if self.error is not None:
            raise self.error
        return self._index.search(queries, k=k, allowed=allowed)

    def vectors(self, rows: NDArray[np.int64]) -> Rows:
        self.threads.add(threading.get_ident())
        return self._index.vectors(rows)

    def scores(self, query: Rows, rows: NDArray[np.int64]) -> list[float]:
        self.threads.add(threading.get_ident())
        return self._index.scores(query, rows)


class Served:
    """A dispatcher and the index it owns."""

    def __init__(self, **limits: int) -> None:
        made: list[Watched] = []

        def make() -> Watched:
            made.append(Watched())
            return made[0]

        self.dispatcher = Dispatcher(make, **limits)
        self.index = made[0]

    def held(self) -> Future[list[list[Hit]]]:
        """Have a first call held up in the index, so that those after it wait."""
        self.index.go_on.clear()
        first = self.dispatcher.submit(QUERIES[:1], k=1)
        assert self.index.entered.acquire(timeout=WAIT_S)
        return first


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    opened: list[Served] = []

    def start(**limits: int) -> Served:
        opened.append(Served(**limits))
        return opened[-1]

    yield start
    for served in opened:
        served.index.go_on.set()
        served.dispatcher.close()


def test_many_threads_get_their_own_answers_from_one_thread(serve: Callable[..., Served]) -> None:
    served, alone = serve(), real_index()
    permits = [None, Allowed(range(0, COUNT, 3), total=COUNT), Allowed([], total=COUNT)]

    def ask(number: int) -> bool:
        queries, k, allowed = QUERIES[number % 60 : number % 60 + 1 + number % 4], 1 + number % 7, permits[number % 3]
        if number % 11 == 0:
            rows = np.arange(number % 50)
            return served.dispatcher.scores(QUERIES[0], rows) == alone.scores(QUERIES[0], rows)
        if number % 13 == 0:
            return bool((served.dispatcher.vectors(np.arange(number)) == VECTORS[:number]).all())
        return served.dispatcher.search(queries, k=k, allowed=allowed) == alone.search(queries, k=k, allowed=allowed)

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(600)))
    assert len(served.index.threads) == 1
    assert threading.get_ident() not in served.index.threads
    assert (served.dispatcher.count, served.dispatcher.dimension) == (COUNT, DIMENSION)


def test_calls_that_wait_share_one_search(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    waiting = [served.dispatcher.submit(QUERIES[n : n + 2], k=3) for n in range(5)]
    served.index.go_on.set()
    for n, answer in enumerate(waiting):
        assert answer.result(WAIT_S) == real_index().search(QUERIES[n : n + 2], k=3)
    assert served.index.batches == [1, 10]


def test_calls_with_another_k_or_other_allowed_rows_are_searched_apart(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    permit = Allowed(range(50), total=COUNT)
    kinds = [(3, None), (4, None), (3, permit), (3, Allowed(range(50), total=COUNT))]
    waiting = [served.dispatcher.submit(QUERIES[:1], k=k, allowed=allowed) for k, allowed in [*kinds, *kinds]]
    served.index.go_on.set()
    for (k, allowed), answer in zip([*kinds, *kinds], waiting, strict=True):
        assert answer.result(WAIT_S) == real_index().search(QUERIES[:1], k=k, allowed=allowed)
    assert served.index.batches == [1, 2, 2, 2, 2]


def test_a_shared_search_has_no_more_queries_than_it_may(serve: Callable[..., Served]) -> None:
    served = serve(queries_at_once=4)
    served.held()
    waiting = [served.dispatcher.submit(QUERIES[:size], k=1) for size in (3, 2, 1, 9, 2)]
    served.index.go_on.set()
    assert [len(answer.result(WAIT_S)) for answer in waiting] == [3, 2, 1, 9, 2]
    assert served.index.batches == [1, 4, 4, 9]


def test_what_is_wrong_with_a_call_is_told_to_its_caller_alone(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    good = served.dispatcher.submit(QUERIES[:1], k=2)
    with pytest.raises(UnusableVector):
        served.dispatcher.submit(np.full((1, DIMENSION), np.nan, np.float32), k=2)
    with pytest.raises(DimensionMismatch):
        served.dispatcher.submit(QUERIES[:1, 1:], k=2)
    with pytest.raises(DimensionMismatch):
        served.dispatcher.submit(QUERIES[:1], k=2, allowed=Allowed([], total=COUNT - 1))
    with pytest.raises(ValueError, match="k must be"):
        served.dispatcher.submit(QUERIES[:1], k=0)
    served.index.go_on.set()
    assert len(good.result(WAIT_S)[0]) == 2


def test_a_caller_may_reuse_its_array_at_once(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    mine = QUERIES[5:6].copy()
    answer = served.dispatcher.submit(mine, k=3)
    mine[:] = 0
    served.index.go_on.set()
    assert answer.result(WAIT_S) == real_index().search(QUERIES[5:6], k=3)


def test_more_calls_than_may_wait_are_refused_at_once(serve: Callable[..., Served]) -> None:
    served = serve(calls_waiting_max=2)
    served.held()
    waiting = [served.dispatcher.submit(QUERIES[:1], k=1) for _ in range(2)]
    with pytest.raises(Overloaded):
        served.dispatcher.submit(QUERIES[:1], k=1)
    with pytest.raises(Overloaded):
        served.dispatcher.scores(QUERIES[0], np.arange(3))
    served.index.go_on.set()
    assert [len(answer.result(WAIT_S)) for answer in waiting] == [1, 1]
    assert len(served.dispatcher.search(QUERIES[:1], k=1)) == 1


def test_a_call_that_is_cancelled_while_it_waits_is_not_searched(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    dropped, kept = (served.dispatcher.submit(QUERIES[:1], k=1) for _ in range(2))
    assert dropped.cancel()
    served.index.go_on.set()
    assert len(kept.result(WAIT_S)) == 1
    assert served.index.batches == [1, 1]
    with pytest.raises(CancelledError):
        dropped.result(WAIT_S)


@pytest.mark.parametrize("error", [MemoryError("the GPU is full"), KeyboardInterrupt(), ValueError("a bug")])
def test_an_index_that_breaks_tells_every_caller_and_the_thread_goes_on(
    serve: Callable[..., Served], error: BaseException
) -> None:
    served = serve()
    first = served.held()
    second = served.dispatcher.submit(QUERIES[:1], k=1)
    served.index.error = error
    served.index.go_on.set()
    for answer in (first, second):
        assert answer.exception(WAIT_S) is error
    served.index.error = None
    assert served.dispatcher.search(QUERIES[:1], k=1) == real_index().search(QUERIES[:1], k=1)


def test_closing_answers_those_that_wait_and_refuses_the_rest(serve: Callable[..., Served]) -> None:
    served = serve()
    served.held()
    waiting = served.dispatcher.submit(QUERIES[:1], k=2)
    closing = threading.Thread(target=served.dispatcher.close)
    closing.start()
    while True:  # the other thread has closed it as soon as a call is refused
        try:
            served.dispatcher.submit(QUERIES[:1], k=1).cancel()
        except Overloaded:
            continue
        except Closed:
            break
    assert closing.is_alive(), "it waits for the call that is held up"
    served.index.go_on.set()
    closing.join(WAIT_S)
    assert not closing.is_alive()
    assert len(waiting.result(0)[0]) == 2
    served.dispatcher.close()
    with pytest.raises(Closed):
        served.dispatcher.search(QUERIES[:1], k=1)


def test_closing_from_a_callback_does_not_wait_for_itself(serve: Callable[..., Served]) -> None:
    served = serve()
    first = served.held()
    closed = threading.Event()
    first.add_done_callback(lambda _: (served.dispatcher.close(), closed.set()))
    served.index.go_on.set()
    assert closed.wait(WAIT_S)
    with pytest.raises(Closed):
        served.dispatcher.search(QUERIES[:1], k=1)


def test_an_index_that_cannot_be_made_is_the_constructors_error() -> None:
    def broken() -> ApproximateIndex:
        raise MemoryError("the GPU is full")

    before = threading.active_count()
    with pytest.raises(MemoryError, match="the GPU is full"):
        Dispatcher(broken)
    assert threading.active_count() == before


def test_the_owning_thread_ends_with_the_dispatcher() -> None:
    before = threading.active_count()
    with Dispatcher(real_index) as dispatcher:
        assert threading.active_count() == before + 1
        assert dispatcher.search(QUERIES[:0], k=1) == []
    assert threading.active_count() == before


@pytest.mark.parametrize("limits", [{"calls_waiting_max": 0}, {"queries_at_once": 0}])
def test_limits_that_let_nothing_through_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        Dispatcher(real_index, **limits)
