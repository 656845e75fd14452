"""Intel's collateral for a quote, fetched by whoever makes the evidence, so that it travels along.

It is signed by Intel and verified with the evidence, so where it comes from need not be trusted; only that it comes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from vault.errors import ServiceUnavailable

FRESH_S: Final = 3600.0
TIMEOUT_S: Final = 20.0

Collateral = Callable[[bytes], bytes]


class FetchedCollateral:
    """Collateral from a provisioning certification service (PCS or PCCS), fetched anew once an hour.

    Where the service does not answer, the last one is used for as long as Intel's own dates allow: whoever verifies
    checks those.
    """

    def __init__(
        self,
        url: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        fetch: Callable[[str, bytes], bytes] | None = None,
    ) -> None:
        self._url = url
        self._monotonic = monotonic
        self._fetch = fetch or fetched
        self._kept = b""
        self._fetched_at = 0.0

    def __call__(self, quote: bytes) -> bytes:
        """Return the collateral as JSON. Raises `ServiceUnavailable` where none was ever fetched."""
        now = self._monotonic()
        if self._kept and now - self._fetched_at < FRESH_S:
            return self._kept
        try:
            self._kept, self._fetched_at = self._fetch(self._url, quote), now
        except ServiceUnavailable:
            if not self._kept:
                raise
        return self._kept


def fetched(url: str, quote: bytes) -> bytes:
    """Return a quote's collateral from a service, or raise `ServiceUnavailable`."""
    import dcap_qvl

    async def fetch() -> str:
        async with asyncio.timeout(TIMEOUT_S):
            collateral = await dcap_qvl.get_collateral(url, quote)
            return str(collateral.to_json())

    try:
        return asyncio.run(fetch()).encode()
    except (ValueError, RuntimeError, TimeoutError) as error:
        raise ServiceUnavailable(
            f"the collateral service at {url} gave no collateral; set pccs to one that does"
        ) from error
