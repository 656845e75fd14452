"""Reads that race several places: one is asked, and another as soon as that one takes longer than it should.

Each place checks its own blocks, so the first answer is a right one; who sends a wrong one is remembered, and asked
last. A place that hangs costs its own thread and nobody's time.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Final

from storage.cid import Cid
from storage.errors import BlockMismatch, BlockNotFound, BlockTooLarge, NothingAgreed, StorageError, StorageUnavailable
from storage.model import Blobs

TIMEOUT_S: Final = 60.0  # for a whole read, once every place was asked
HEDGE_FACTOR: Final = 3.0  # times the usual wait, after which the next place is asked too
HEDGE_S_MIN: Final = 0.02
HEDGE_S_MAX: Final = 1.0
IN_FLIGHT_MAX: Final = 8  # of one place; one that hangs is not asked any more
SMOOTHING: Final = 0.3  # weight of the latest wait in the usual one

_LIES = (BlockMismatch, BlockTooLarge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What reads have shown of a place.

    Attributes:
        seconds: its usual wait, 0 before the first.
        failures_in_row: since it last sent a block.
        lies: answers that were not the block asked for.
        last_fault: in one sentence; empty if there was none.
    """

    name: str
    reads: int = 0
    seconds: float = 0.0
    failures_in_row: int = 0
    lies: int = 0
    last_fault: str = ""


@dataclass(frozen=True, slots=True)
class _Answer:
    place: int
    block: bytes | None
    error: Exception | None


class RacingBlobs:
    """Blocks from whichever of `places` has them soonest, for reading. Safe to share between threads.

    Args:
        places: at least one; the order counts until they have shown how fast they are.
        clock: seconds that only go up.
        blame: told the number of a place that sent a wrong block, and what was wrong, from whichever thread found out.
    """

    def __init__(
        self,
        places: Sequence[Blobs],
        *,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
        blame: Callable[[int, str], None] = lambda place, fault: None,
    ) -> None:
        if not places:
            raise ValueError("a race needs at least one place")
        self.name = "first of " + ", ".join(place.name for place in places)
        self._places = tuple(places)
        self._timeout_s = timeout_s
        self._clock = clock
        self._blame = blame
        self._lock = threading.Lock()
        self._standings = [Standing(name=place.name) for place in places]
        self._started: list[deque[float]] = [deque() for _ in places]  # when each unanswered request was made

    def get(self, cid: Cid) -> bytes:
        """Return the block, checked.

        Raises: BlockNotFound: no place has it; NothingAgreed: no place sent the right one, each for its own reason.
        """
        answers: SimpleQueue[_Answer] = SimpleQueue()
        ahead, hedge_s = self._order()
        faults: dict[int, Exception] = {}
        pending = sum(self._ask(ahead.popleft(), cid, answers, faults) for _ in range(1 if hedge_s else len(ahead)))
        deadline = self._clock() + self._timeout_s
        while pending or ahead:
            try:
                wait_s = (hedge_s or HEDGE_S_MAX) if ahead else max(deadline - self._clock(), 0.0)
                answer = answers.get(timeout=wait_s if pending else 0)
            except Empty:
                if not ahead:
                    break
                pending += self._ask(ahead.popleft(), cid, answers, faults)
                continue
            pending -= 1
            if answer.block is not None:
                return answer.block
            if answer.error is not None:
                faults[answer.place] = answer.error
            if ahead:
                pending += self._ask(ahead.popleft(), cid, answers, faults)
        raise self._nothing(cid, faults)

    def standings(self) -> tuple[Standing, ...]:
        """Return what reads have shown of each place, in the order of `places`."""
        with self._lock:
            return tuple(self._standings)

    def has(self, cid: Cid) -> bool:
        """Say whether any place claims to keep the block. Raises: StorageUnavailable: none does, and one is silent."""
        silent: StorageUnavailable | None = None
        for place in self._places:
            try:
                if place.has(cid):
                    return True
            except StorageUnavailable as error:
                silent = error
        if silent is not None:
            raise silent
        return False

    def put(self, cid: Cid, block: bytes) -> None:
        """Refuse. Raises: StorageUnavailable."""
        raise StorageUnavailable("several places are read together and written one by one; name the one to write to")

    def delete(self, cid: Cid) -> None:
        """Refuse. Raises: StorageUnavailable."""
        raise StorageUnavailable("several places are read together and deleted from one by one; name the one")

    def cids(self) -> Iterator[Cid]:
        """Yield what any place claims to keep, each once. Raises: StorageUnavailable: a place is silent."""
        seen: set[Cid] = set()
        for place in self._places:
            for cid in place.cids():
                if cid not in seen:
                    seen.add(cid)
                    yield cid

    def _order(self) -> tuple[deque[int], float]:
        """Return the places, best first, and when to ask the next; 0 while nothing is known: then ask all."""
        now = self._clock()
        with self._lock:
            ranked = sorted(range(len(self._places)), key=lambda place: self._rank(place, now))
            best = self._standings[ranked[0]].seconds
        return deque(ranked), min(max(HEDGE_FACTOR * best, HEDGE_S_MIN), HEDGE_S_MAX) if best else 0.0

    def _rank(self, place: int, now: float) -> tuple[int, bool, bool, float]:
        standing, started = self._standings[place], self._started[place]
        hanging_s = now - started[0] if started else 0.0
        unknown = standing.reads == 0 and any(other.reads for other in self._standings)
        return standing.lies, standing.failures_in_row > 0, unknown, max(standing.seconds, hanging_s)

    def _ask(self, place: int, cid: Cid, answers: "SimpleQueue[_Answer]", faults: dict[int, Exception]) -> bool:
        with self._lock:
            if len(self._started[place]) >= IN_FLIGHT_MAX:
                name = self._standings[place].name
                faults[place] = StorageUnavailable(f"{name} has not answered {IN_FLIGHT_MAX} earlier requests")
                return False
            started = self._clock()
            self._started[place].append(started)
        threading.Thread(target=self._read, args=(place, cid, started, answers), daemon=True).start()
        return True

    def _read(self, place: int, cid: Cid, started: float, answers: "SimpleQueue[_Answer]") -> None:
        block: bytes | None = None
        error: Exception | None = None
        try:
            block = self._places[place].get(cid)
        except StorageError as fault:
            error = fault
        finally:
            self._note(place, started, error, is_read=block is not None)
            try:
                if isinstance(error, _LIES):
                    self._blame(place, str(error))  # before whoever waits goes on, and perhaps ends the process
            finally:
                answers.put(_Answer(place, block, error))

    def _note(self, place: int, started: float, error: Exception | None, *, is_read: bool) -> None:
        with self._lock:
            self._started[place].remove(started)
            seconds = self._clock() - started
            before = self._standings[place]
            if is_read:
                usual = before.seconds + SMOOTHING * (seconds - before.seconds) if before.reads else seconds
                after = replace(before, reads=before.reads + 1, seconds=max(usual, 1e-6), failures_in_row=0)
            else:
                fault = before.last_fault if isinstance(error, BlockNotFound) else str(error)
                lies = before.lies + isinstance(error, _LIES)
                failures = before.failures_in_row + 1
                after = replace(before, failures_in_row=failures, lies=lies, last_fault=fault)
            self._standings[place] = after

    def _nothing(self, cid: Cid, faults: dict[int, Exception]) -> StorageError:
        if len(faults) == len(self._places) and all(isinstance(fault, BlockNotFound) for fault in faults.values()):
            return BlockNotFound(f"none of {len(self._places)} places has block {cid}")
        told = [
            str(faults.get(place, f"{standing.name} did not answer within {self._timeout_s:g} s"))
            for place, standing in enumerate(self.standings())
        ]
        return NothingAgreed(f"no place sent block {cid}: {'; '.join(told)}")
