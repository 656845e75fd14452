"""What causes lead to, remembered: counting a vote may take seconds, and anyone may hand it in again."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

from storage.cid import Cid
from vault.decision import Fetch, block_of
from vault.errors import ForkedHistory, InvalidDecision, InvalidSignature, MalformedObject, StaleState
from vault.head import Head
from vault.history import Cause, History, advanced, cause_from

REMEMBERED_MAX: Final = 32  # causes, the latest of them
Refusal = InvalidDecision | InvalidSignature | StaleState  # for good; other errors may be of the time or of the blocks


class Leading:
    """Heads verified one by one. Any thread may use it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._known: dict[tuple[Cid, Cid], History | Refusal] = {}  # by head and cause
        self._lock = Lock()

    def after(self, history: History, tip: Cid, fetch: Fetch, *, at: int) -> History:
        """Return the history to a head that comes right after it, or raise what `vault.history.extended` raises.

        Args:
            fetch: gives blocks, checked against their CIDs.
            at: UTC seconds.
        """
        body = block_of(tip, fetch)
        head = Head.from_bytes(body)
        if head.genesis != history.genesis or head.previous != history.heads[-1]:
            raise ForkedHistory(f"head {tip} does not grow from epoch {history.head.epoch}, which was accepted before")
        if head.cause is None:
            raise MalformedObject("a head after genesis names its cause")
        result = self._led(history, head.cause, fetch, at=at)
        if not isinstance(result, History):
            raise result
        if result.heads[-1] != tip:
            raise ForkedHistory(f"head {tip} is not what its cause leads to")
        return result

    def _led(self, history: History, cause: Cid, fetch: Fetch, *, at: int) -> History | Refusal:
        known = (history.heads[-1], cause)
        with self._lock:
            if known in self._known:
                self._known[known] = self._known.pop(known)
                return self._known[known]
        result = _carried_out(lambda: cause_from(block_of(cause, fetch)), history, fetch, at=at)
        with self._lock:
            while len(self._known) >= REMEMBERED_MAX:
                del self._known[next(iter(self._known))]
            self._known[known] = result
        return result


def _carried_out(cause: Callable[[], Cause], history: History, fetch: Fetch, *, at: int) -> History | Refusal:
    try:
        return advanced(history, cause(), fetch, at=at)
    except (InvalidDecision, InvalidSignature, StaleState) as error:
        return error


def remembering(fetch: Fetch) -> Fetch:
    """Return how to get blocks of one link: each is looked at more than once, and fetched once."""
    known: dict[Cid, bytes] = {}

    def remembered(cid: Cid) -> bytes:
        if cid not in known:
            known[cid] = fetch(cid)
        return known[cid]

    return remembered
