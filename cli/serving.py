"""Running a service until it is told to stop: one event loop, signals, and what is announced once it listens."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from enclave.hardening import die_with_parent

STOP_GRACE_S = 2.0
COLLECT_AFTER = 50_000  # objects made and not freed; Python's own number is 700
END_WITH_PARENT = "COFFER_END_WITH_PARENT"  # set by whoever starts a service for its own run alone
Result = TypeVar("Result")


def collect_seldom() -> None:
    """Have the garbage collector pass over what was made so far, and come less often.

    Books only grow, in hundreds of thousands of objects, none of which is ever part of a cycle: to look through them
    again and again would take a tenth of what metering costs.
    """
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 50, 50)


def run_service(service: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on uvloop where it is installed, otherwise on asyncio's own loop."""
    if END_WITH_PARENT in os.environ:
        die_with_parent()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        import uvloop
    except ImportError:
        return asyncio.run(service)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(service)


async def until_stopped(work: Callable[[], Awaitable[None]] | None = None) -> None:
    """Wait for SIGINT or SIGTERM, or for `work` to fail, whichever comes first."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    waiting = asyncio.ensure_future(stopped.wait())
    working = asyncio.ensure_future(work()) if work is not None else None
    tasks = {waiting, working} if working is not None else {waiting}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if working is not None and working.done():
            await working
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
