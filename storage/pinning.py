"""Pins at a remote service, whichever speaks the IPFS Pinning Service API 1.0.0.

The service fetches the blocks by itself, from the origins in the pin. That it says `pinned` proves nothing: read the
blocks back. The token goes into one header and nowhere else.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote

from storage.cid import Cid
from storage.errors import InvalidCid, PaymentNeeded, PinNotFound, RateLimited, RequestRefused, StorageUnavailable
from storage.http_place import HttpPlace
from storage.pin import PAGE_MAX, Pin, PinPage, PinState, PinStatus, page_from, status_from
from storage.refusal import refused

TIMEOUT_S: Final = 30.0
STATUS_BYTES_MAX: Final = 256 * 1024
LISTING_BYTES_MAX: Final = 8 * 2**20
PAGE: Final = 100  # pins asked for at a time
PINS_MAX: Final = 100_000
CIDS_MAX: Final = 10  # of one listing's filter
POLL_S_MIN: Final = 1.0
POLL_S_MAX: Final = 60.0
ALL_STATES: Final = tuple(PinState)

_JSON_ASKED = {"Accept": "application/json"}
_JSON = {"Content-Type": "application/json", **_JSON_ASKED}


class PinningService:
    """The service at `url`, which ends before `/pins`. Safe to share between threads.

    Args:
        token: the owner's bearer token.
        timeout_s: for each request from connecting to its last byte.
        allow_private: the service is on the owner's own machine or network.
    Raises: StorageUnavailable: `url` is not one that can be used, or would carry the token in the open.
    """

    def __init__(self, url: str, *, token: str, timeout_s: float = TIMEOUT_S, allow_private: bool = False) -> None:
        self.name = f"pinning service {url}"
        self._token = token
        self._place = HttpPlace(url, name=self.name, token=token, timeout_s=timeout_s, allow_private=allow_private)

    def add(self, pin: Pin) -> PinStatus:
        """Ask for a pin. Raises: PaymentNeeded, AccessRefused, RequestRefused, RateLimited, StorageUnavailable."""
        return self._pinned(pin, "/pins", None)

    def replace(self, request_id: str, pin: Pin) -> PinStatus:
        """Put one pin in the place of another, whose blocks it may share. Raises: as `add`; PinNotFound."""
        return self._pinned(pin, _path(request_id), request_id)

    def status(self, request_id: str) -> PinStatus:
        """Return how far a pin has come. Raises: PinNotFound, and as `add`."""
        body = self._ask("GET", _path(request_id), request_id, good=200)
        status = self._status_from(body)
        if status.request_id != request_id:
            raise StorageUnavailable(f"{self.name} answered about another pin than it was asked about")
        return status

    def remove(self, request_id: str) -> None:
        """Remove a pin; copies made meanwhile are out of reach. Raises: PinNotFound, and as `add`."""
        self._ask("DELETE", _path(request_id), request_id, good=202)

    def page(
        self,
        *,
        cids: Sequence[Cid] = (),
        name: str = "",
        states: Sequence[PinState] = ALL_STATES,
        meta: Mapping[str, str] | None = None,
        before: str = "",
        after: str = "",
        limit: int = PAGE,
    ) -> PinPage:
        """Return the latest pins that match, the latest first.

        Args:
            cids: at most `CIDS_MAX`; none for any.
            before, after: `created_text` of a pin, or any RFC 3339 time.
        Raises: as `add`.
        """
        if len(cids) > CIDS_MAX or not 1 <= limit <= PAGE_MAX or not states:
            raise ValueError(f"a listing takes at most {CIDS_MAX} CIDs, some state, and 1 to {PAGE_MAX} pins at a time")
        query = {
            "cid": ",".join(map(str, cids)),
            "name": name,
            "status": ",".join(states),
            "meta": json.dumps(dict(meta)) if meta else "",
            "before": before,
            "after": after,
            "limit": str(limit),
        }
        asked = {key: value for key, value in query.items() if value}
        body = self._ask("GET", "/pins", None, good=200, query=asked, bytes_max=LISTING_BYTES_MAX)
        return page_from(body, name=self.name, limit=limit)

    def pins(
        self,
        *,
        cids: Sequence[Cid] = (),
        name: str = "",
        states: Sequence[PinState] = ALL_STATES,
        meta: Mapping[str, str] | None = None,
        pins_max: int = PINS_MAX,
    ) -> Iterator[PinStatus]:
        """Yield all pins that match, the latest first, page by page.

        Raises: StorageUnavailable: more than `pins_max`, or pages that do not go back in time; and as `add`.
        """
        before, seen, last = "", 0, None
        while True:
            page = self.page(cids=cids, name=name, states=states, meta=meta, before=before)
            for pin in page.pins:
                if last is not None and pin.created > last:
                    raise StorageUnavailable(f"{self.name} lists pins out of order, so not all can be found")
                last = pin.created
                yield pin
            here = len(page.pins) + page.passed_over
            seen += here
            if here == 0 or page.count <= here:
                return
            if page.oldest == before or seen > pins_max:
                raise StorageUnavailable(f"{self.name} has more than {pins_max} pins, or lists the same ones again")
            before = page.oldest

    def follow(self, request_id: str, *, wait: Callable[[float], None], polls_max: int) -> PinStatus:
        """Ask again until the service is done with a pin, or `polls_max` times; then return where it stands.

        Args:
            wait: told for how many seconds, which grow, and which are the service's own where it names some.
        Raises: as `status`, except for being told to wait.
        """
        seconds = POLL_S_MIN
        for _ in range(polls_max - 1):
            pause = seconds
            try:
                status = self.status(request_id)
            except RateLimited as error:
                pause = max(seconds, error.retry_after_s)
            else:
                if status.state.is_settled:
                    return status
            wait(pause)
            seconds = min(2 * seconds, POLL_S_MAX)
        return self.status(request_id)

    def _pinned(self, pin: Pin, path: str, request_id: str | None) -> PinStatus:
        status = self._status_from(self._ask("POST", path, request_id, good=202, body=pin.encoded()))
        if status.pin.cid != pin.cid or status.request_id == request_id:
            raise StorageUnavailable(f"{self.name} made another pin than it was asked for; look at its list of pins")
        return status

    def _status_from(self, body: bytes) -> PinStatus:
        try:
            return status_from(body, name=self.name)
        except InvalidCid as error:
            raise StorageUnavailable(f"{self.name} answered about another pin than it was asked about") from error

    def _ask(
        self,
        method: str,
        path: str,
        request_id: str | None,
        *,
        good: int,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        bytes_max: int = STATUS_BYTES_MAX,
    ) -> bytes:
        with self._place.ask(method, path, query=query, headers=_JSON if body else _JSON_ASKED, body=body) as answer:
            if answer.status in (good, 200):
                return answer.body(bytes_max=bytes_max)
            error = refused(answer, name=self.name, secret=self._token)
            if answer.status == 404 and request_id is not None:
                raise PinNotFound(f"{self.name} has no pin {request_id!r}; list its pins") from error
            if answer.status == 409 and isinstance(error, RequestRefused):
                raise PaymentNeeded(f"{error}; that is its word for insufficient funds") from error
            raise error


def _path(request_id: str) -> str:
    if not request_id or request_id in (".", ".."):
        raise ValueError("a pin's id is not empty, and no step up a path")
    return "/pins/" + quote(request_id, safe="")
