"""Waiting until an enclave's process is what it was started for, and showing how its opening comes along."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from cli.workplace import progress_bar
from enclave.channel import EnclaveChannel
from enclave.status import State, Status
from vault.errors import ServiceUnavailable

OPEN_TIMEOUT_S = 1800.0
STOPPED_PATIENCE_S = 30.0  # an enclave tries again by itself; what lasts longer will not mend
POLL_S = 0.2
Progress = Callable[[int, int], None]


def await_state(address: str, wanted: str, progress: Progress) -> str:
    """Wait until an enclave says it is `wanted`; return its reason. Raises `ServiceUnavailable` in time."""
    channel = EnclaveChannel(address)
    try:
        until = time.monotonic() + OPEN_TIMEOUT_S
        stopped_since: float | None = None
        while time.monotonic() < until:
            status = channel.status()
            now = time.monotonic()
            stopped_since = (stopped_since or now) if status.state in ("stopped", "waiting") else None
            if status.state != wanted and stopped_since is not None and now - stopped_since > STOPPED_PATIENCE_S:
                break
            progress(status.passages_done, status.passages_total)
            if status.state == wanted:
                return status.reason
            time.sleep(POLL_S)
    finally:
        channel.close()
    raise ServiceUnavailable(f"the enclave is {status.state}, not {wanted}: {status.reason}")


async def show_opening(status: Callable[[], Status], *, is_json: bool) -> None:
    """Draw how many passages an enclave of this process has opened, until it serves."""
    with progress_bar("passages opened", total=None, is_json=is_json) as progress:
        while (now := status()).state is not State.SERVING:
            progress(now.done, now.total or None)
            await asyncio.sleep(POLL_S)
