"""What one client may spend, and what it has: counted on the client's own side, before a question leaves."""

from __future__ import annotations

import threading

from vault.errors import CreditExhausted


class Spending:
    """Micro-units spent and held by one client; safe to share among threads.

    While a question is open, the most that it may cost is held. Where nobody knows whether it was charged, it stays
    held, until the same request id is answered or refused.
    """

    def __init__(self, most: int | None) -> None:
        if most is not None and most < 0:
            raise ValueError("max_spend is 0 or more micro-units, or None for no limit")
        self._most = most
        self._lock = threading.Lock()
        self._spent = 0
        self._held: dict[bytes, int] = {}

    @property
    def spent(self) -> int:
        """Return what the receipts so far add up to."""
        return self._spent

    @property
    def left(self) -> int | None:
        """Return what may still be spent, apart from what is held; None for no limit."""
        with self._lock:
            return self._left()

    def hold(self, request: bytes, price: int) -> None:
        """Hold the most a question may cost. Raises `CreditExhausted` where that is more than is left."""
        with self._lock:
            left = self._left()
            already = self._held.get(request, 0)
            if left is not None and price - already > left:
                raise CreditExhausted(
                    f"the answer may cost {price} micro-units and this client may spend {left + already} more; "
                    "ask for fewer passages, or raise max_spend"
                )
            self._held[request] = max(price, already)

    def is_held(self, request: bytes) -> bool:
        """Say whether a question is open, or may have been charged."""
        return request in self._held

    def settle(self, request: bytes, price: int) -> None:
        """Count what an answer cost; 0 where it was paid for before."""
        with self._lock:
            self._held.pop(request, None)
            self._spent += price

    def release(self, request: bytes) -> None:
        """Forget a question that cost nothing."""
        with self._lock:
            self._held.pop(request, None)

    def _left(self) -> int | None:
        return None if self._most is None else self._most - self._spent - sum(self._held.values())
