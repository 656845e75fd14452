"""Watching over copies for as long as it runs: each place in a thread of its own, so that one that hangs holds up none.

Whoever cancels the watch, or kills the process, loses nothing: what was seen is in the records, and what was under way
is done again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Final

from vault.copies.keeping import Keeper
from vault.copies.model import Copy
from vault.errors import StaleState

TICK_S: Final = 30.0  # at most, until the records are looked at for what is new

Seen = Callable[[Copy], None]
Sleep = Callable[[float], Awaitable[None]]


async def watch(
    keeper: Keeper,
    *,
    clock: Callable[[], int],
    sleep: Sleep = asyncio.sleep,
    seen: Seen = lambda copy: None,
    rounds_max: int | None = None,
) -> None:
    """Look at each copy whenever it is due, until cancelled or `rounds_max` rounds are over.

    Args:
        clock: UTC seconds; the keeper's own randomness decides what is read, and when next.
        sleep: waits so many seconds.
        seen: told, in the loop, of each copy that was looked at.
    Raises: what the records raise; a place's faults are in the copies.
    """
    working: dict[str, asyncio.Future[list[Copy]]] = {}
    rounds = 0
    try:
        while rounds_max is None or rounds < rounds_max:
            rounds += 1
            for place, copies in (await asyncio.to_thread(_due, keeper)).items():
                if place not in working:
                    working[place] = _in_thread(partial(_look, keeper, copies), asyncio.get_running_loop())
            if rounds_max is not None:
                await asyncio.wait(working.values()) if working else None
            else:
                await sleep(await asyncio.to_thread(_pause_s, keeper, clock))
            for place in [place for place, work in working.items() if work.done()]:
                for copy in working.pop(place).result():
                    seen(copy)
    finally:
        for work in working.values():
            work.cancel()


def _due(keeper: Keeper) -> dict[str, list[Copy]]:
    due: dict[str, list[Copy]] = defaultdict(list)
    for copy in keeper.due():
        due[copy.place].append(copy)
    return due


def _look(keeper: Keeper, copies: list[Copy]) -> list[Copy]:
    looked = []
    for copy in copies:
        with suppress(StaleState):
            looked.append(keeper.look(copy))
    return looked


def _pause_s(keeper: Keeper, clock: Callable[[], int]) -> float:
    due_at = keeper.next_due_at()
    return TICK_S if due_at is None else min(max(float(due_at - clock()), 1.0), TICK_S)


def _in_thread(work: Callable[[], list[Copy]], loop: asyncio.AbstractEventLoop) -> asyncio.Future[list[Copy]]:
    """Run work in a thread that does not keep the process from ending."""
    done: asyncio.Future[list[Copy]] = loop.create_future()

    def settle(result: list[Copy] | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result or [])

    def run() -> None:
        result: list[Copy] | None = None
        error: BaseException | None = None
        try:
            result = work()
        except BaseException as raised:  # noqa: BLE001  # handed to whoever awaits it
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="coffer-keeper", daemon=True).start()
    return done
