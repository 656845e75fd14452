"""dstack's event log: parsed within bounds, and replayed into the registers of a TD quote.

The form is `TdxEvent` of dstack's crate cc-eventlog, in versions 0.3 to 0.6. Firmware extends RTMR 0 to 2 with digests
that the log can only repeat. dstack extends RTMR 3 with digests of its events' names and payloads; those are computed
here, never taken from the log, so what the log says is authenticated and not only what it adds up to.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha384
from typing import Final

from enclave.attestation.errors import EventLogMismatch, EvidenceMalformed
from enclave.attestation.quote import TdReport
from enclave.attestation.strict_json import Json, hex_of, json_from, number_of, text_of

EVENT_LOG_BYTES_MAX: Final = 256 << 10
EVENTS_MAX: Final = 2048
NAME_BYTES_MAX: Final = 256
PAYLOAD_BYTES_MAX: Final = 64 << 10
RUNTIME_EVENT: Final = 0x08000001
NO_ACTION: Final = 3  # EV_NO_ACTION: logged, never extended (TCG PC Client Platform Firmware Profile, section 10.4.1)
APP_REGISTER: Final = 3

_DIGEST_BYTES: Final = 48
_CONCATENATED: Final = 1
_CANONICAL_JSON: Final = 2
_WHAT: Final = "event log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry. `digest` is what the log claims, empty where it leaves it out; `version` says how it is computed."""

    register: int
    event_type: int
    digest: bytes
    name: str
    payload: bytes
    version: int

    def computed(self) -> bytes:
        """Return the digest that dstack extends RTMR 3 with for a runtime event of this name and payload."""
        if self.version == _CANONICAL_JSON:
            members = {"name": self.name, "payload": self.payload.hex(), "type": self.event_type}
            text = json.dumps(members, ensure_ascii=False, separators=(",", ":"), sort_keys=True)  # RFC 8785
            return sha384(text.encode()).digest()
        tag = self.event_type.to_bytes(4, "little")
        return sha384(b":".join((tag, self.name.encode(), self.payload))).digest()


def events_from(data: bytes) -> tuple[Event, ...]:
    """Return the events of a log in JSON, in its order, or raise `EvidenceMalformed`."""
    entries = json_from(data, what=_WHAT, bytes_max=EVENT_LOG_BYTES_MAX)
    if not isinstance(entries, list) or len(entries) > EVENTS_MAX:
        raise EvidenceMalformed(f"{_WHAT}: wanted a list of at most {EVENTS_MAX} events")
    return tuple(_event(entry) for entry in entries)


def authenticated(events: Sequence[Event], report: TdReport) -> tuple[Event, ...]:
    """Return the events of RTMR 3 in order, if the quoted registers bear out the log, or raise `EventLogMismatch`.

    A log without any event of a firmware register says nothing of it, which is how dstack shortens logs.
    """
    for register, quoted in enumerate((report.rt_mr0, report.rt_mr1, report.rt_mr2)):
        digests = [_firmware_digest(event) for event in events if event.register == register]
        if digests:
            _require_replayed(register, digests, quoted)
    runtime = tuple(event for event in events if event.register == APP_REGISTER)
    _require_replayed(APP_REGISTER, [_runtime_digest(event) for event in runtime], report.rt_mr3)
    return runtime


def _event(entry: Json) -> Event:
    if not isinstance(entry, dict):
        raise EvidenceMalformed(f"{_WHAT}: wanted objects as events")
    event = Event(
        register=number_of(entry, "imr", what=_WHAT, most=APP_REGISTER),
        event_type=number_of(entry, "event_type", what=_WHAT, most=(1 << 32) - 1),
        digest=hex_of(entry, "digest", what=_WHAT) if "digest" in entry else b"",
        name=text_of(entry, "event", what=_WHAT),
        payload=hex_of(entry, "event_payload", what=_WHAT),
        version=number_of(entry, "version", what=_WHAT, most=_CANONICAL_JSON) if "version" in entry else _CONCATENATED,
    )
    if len(event.digest) not in (0, _DIGEST_BYTES) or event.version not in (_CONCATENATED, _CANONICAL_JSON):
        raise EvidenceMalformed(f"{_WHAT}: an event has a digest or a version of no known form")
    if len(event.name.encode()) > NAME_BYTES_MAX or len(event.payload) > PAYLOAD_BYTES_MAX:
        raise EvidenceMalformed(
            f"{_WHAT}: names take at most {NAME_BYTES_MAX} bytes, payloads at most {PAYLOAD_BYTES_MAX}"
        )
    return event


def _firmware_digest(event: Event) -> bytes | None:
    """Return what the firmware extended for an event, None where it extends nothing."""
    if event.event_type == NO_ACTION:
        return None
    if event.event_type == RUNTIME_EVENT:
        raise EventLogMismatch(f"{_WHAT}: a runtime event stands under RTMR {event.register}, wanted RTMR 3")
    if not event.digest:
        raise EventLogMismatch(f"{_WHAT}: an event of RTMR {event.register} has no digest")
    return event.digest


def _runtime_digest(event: Event) -> bytes:
    if event.event_type != RUNTIME_EVENT:
        raise EventLogMismatch(
            f"{_WHAT}: found event type {event.event_type:#x} under RTMR 3, wanted {RUNTIME_EVENT:#x}"
        )
    computed = event.computed()
    if event.digest and not hmac.compare_digest(event.digest, computed):
        raise EventLogMismatch(f"{_WHAT}: the digest of {event.name[:40]!r} is not that of its payload")
    return computed


def _require_replayed(register: int, digests: Sequence[bytes | None], quoted: bytes) -> None:
    value = bytes(_DIGEST_BYTES)
    for digest in digests:
        if digest is not None:
            value = sha384(value + digest).digest()
    if not hmac.compare_digest(value, quoted):
        raise EventLogMismatch(
            f"{_WHAT}: RTMR {register} replays to {value.hex()[:16]}…, but the quote has {quoted.hex()[:16]}…"
        )
