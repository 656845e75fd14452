"""Pins as a remote service tells of them, read from its JSON with every length and type checked.

Source: the IPFS Pinning Service API 1.0.0, schemas `Pin`, `PinStatus` and `PinResults`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from storage.cid import Cid
from storage.errors import InvalidCid, StorageUnavailable

NAME_CHARS_MAX: Final = 255  # Pin.name
ADDRESSES_MAX: Final = 20  # Pin.origins, PinStatus.delegates
META_MAX: Final = 1000  # entries of Pin.meta and PinStatus.info
PAGE_MAX: Final = 1000  # PinResults.results
TEXT_CHARS_MAX: Final = 4096  # of any one string; the schemas leave it open
REQUEST_ID_CHARS_MAX: Final = 512


class PinState(StrEnum):
    """How far a service has come with a pin."""

    QUEUED = "queued"
    PINNING = "pinning"
    PINNED = "pinned"
    FAILED = "failed"

    @property
    def is_settled(self) -> bool:
        """Say whether the service is done with it, for better or worse."""
        return self in (PinState.PINNED, PinState.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What a service is asked to keep: a root with all below it.

    Attributes:
        origins: multiaddresses of nodes that have the blocks, at most 20.
        meta: the owner's own notes, which the service keeps and can filter by.
    """

    cid: Cid
    name: str = ""
    origins: tuple[str, ...] = ()
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.name) > NAME_CHARS_MAX or len(set(self.origins)) != len(self.origins):
            raise ValueError(f"a pin's name has at most {NAME_CHARS_MAX} characters, and no origin comes twice")
        if len(self.origins) > ADDRESSES_MAX or len(self.meta) > META_MAX:
            raise ValueError(f"a pin has at most {ADDRESSES_MAX} origins and {META_MAX} notes")

    def encoded(self) -> bytes:
        """Return the JSON that asks for the pin; what is empty is left out."""
        said: dict[str, object] = {"cid": str(self.cid)}
        given = {"name": self.name, "origins": list(self.origins), "meta": dict(self.meta)}
        return json.dumps(said | {name: value for name, value in given.items() if value}).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class PinStatus:
    """A pin as the service has it.

    Attributes:
        request_id: the service's name for this pin, needed to ask, replace and remove.
        created_text: `created` as the service spells it, which pages are asked for by.
        delegates: multiaddresses of the service's nodes, to connect to so that they find the blocks.
        info: what the service adds, e.g. `status_details` or `pinned_until`.
    """

    request_id: str
    state: PinState
    created: datetime
    created_text: str
    pin: Pin
    delegates: tuple[str, ...]
    info: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PinPage:
    """One answer to a listing.

    Attributes:
        count: pins that match in all, of which `pins` are the latest.
        passed_over: pins of a CID that is not read here.
        oldest: `created` of the last pin, passed over or not; empty without any.
    """

    count: int
    pins: tuple[PinStatus, ...]
    passed_over: int
    oldest: str


def status_from(body: bytes, *, name: str) -> PinStatus:
    """Return the pin in an answer. Raises: StorageUnavailable: it is not what the service owes."""
    return _status_from(_object(_parsed(body, name), name), name)


def page_from(body: bytes, *, name: str, limit: int) -> PinPage:
    """Return the page in an answer. Raises: StorageUnavailable: as above, or more than `limit` pins."""
    said = _object(_parsed(body, name), name)
    count, results = said.get("count"), said.get("results")
    if type(count) is not int or count < 0 or not isinstance(results, list) or len(results) > limit:
        raise _unusable(name, "a listing without a count, or with more than was asked for")
    pins = []
    for result in results:
        try:
            pins.append(_status_from(_object(result, name), name))
        except InvalidCid:
            continue
    oldest = _text(_object(results[-1], name).get("created"), name) if results else ""
    return PinPage(count=count, pins=tuple(pins), passed_over=len(results) - len(pins), oldest=oldest)


def _status_from(said: dict[str, Any], name: str) -> PinStatus:
    pin = _object(said.get("pin"), name)
    created = _text(said.get("created"), name)
    request_id = _text(said.get("requestid"), name)
    state = said.get("status")
    if not request_id or len(request_id) > REQUEST_ID_CHARS_MAX or not request_id.isprintable():
        raise _unusable(name, "a pin without a usable id")
    if not isinstance(state, str) or state not in set(PinState):
        raise _unusable(name, "a pin in a state that there is not")
    return PinStatus(
        request_id=request_id,
        state=PinState(state),
        created=_time(created, name),
        created_text=created,
        pin=_pin_from(pin, name),
        delegates=_texts(said.get("delegates"), name),
        info=_notes(said.get("info"), name),
    )


def _pin_from(said: dict[str, Any], name: str) -> Pin:
    cid = Cid.parse(_text(said.get("cid"), name))
    try:
        return Pin(
            cid=cid,
            name=_text(said.get("name") or "", name),
            origins=_texts(said.get("origins"), name),
            meta=_notes(said.get("meta"), name),
        )
    except ValueError as error:
        raise _unusable(name, "a pin that no pin may look like") from error


def _parsed(body: bytes, name: str) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _unusable(name, "an answer that is not JSON") from error
    return parsed


def _object(said: object, name: str) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise _unusable(name, "an answer without the object that belongs there")
    return said


def _text(said: object, name: str) -> str:
    if not isinstance(said, str) or len(said) > TEXT_CHARS_MAX:
        raise _unusable(name, "an answer without the text that belongs there")
    return said


def _texts(said: object, name: str) -> tuple[str, ...]:
    if said is None:
        return ()
    if not isinstance(said, list) or len(said) > ADDRESSES_MAX:
        raise _unusable(name, f"more than {ADDRESSES_MAX} addresses, or what is no list of them")
    return tuple(dict.fromkeys(_text(one, name) for one in said))


def _notes(said: object, name: str) -> dict[str, str]:
    if said is None:
        return {}
    if not isinstance(said, dict) or len(said) > META_MAX:
        raise _unusable(name, f"more than {META_MAX} notes, or what is no map of them")
    return {_text(key, name): _text(value, name) for key, value in said.items()}


def _time(text: str, name: str) -> datetime:
    """Return an RFC 3339 time, which has an offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise _unusable(name, "a time that is not one") from error
    if time.tzinfo is None:
        raise _unusable(name, "a time without an offset")
    return time


def _unusable(name: str, what: str) -> StorageUnavailable:
    return StorageUnavailable(f"{name} sent {what}; it does not speak the Pinning Service API")
