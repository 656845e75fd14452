"""Claims of a dstack application: a TD quote, and the events its RTMR 3 authenticates.

dstack's own events come before `system-ready`. After it the application may add any, under any name, so none of them
is a claim. The configuration that a host sends along (`vm_config`) is not signed and claims nothing: in genuine
evidence of dstack 0.6 its `os_image_hash` even differs from the event's. The image is what MRTD and RTMR 0 to 2 say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from enclave.attestation.claims import Fact, Shown
from enclave.attestation.errors import EventLogMismatch
from enclave.attestation.event_log import Event, authenticated, events_from
from enclave.attestation.roots import ROOTS
from enclave.attestation.tdx import TdxClaims, verified_tdx

COMPOSE_HASH_BYTES: Final = 32
READY: Final = "system-ready"

_OWN: Final = frozenset(
    {
        "system-preparing",
        "app-id",
        "compose-hash",
        "instance-id",
        "boot-mr-done",
        "os-image-hash",
        "key-provider",
        "rootfs-hash",
        READY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DstackClaims:
    """What a verified TD quote says, and the dstack events in it; None where the log has no such event.

    `compose_hash` is SHA-256 of the application's compose file, `key_provider` JSON text naming where the application's
    keys come from. `is_ready` says whether the boot was over when the quote was made.
    """

    td: TdxClaims
    app_id: bytes
    compose_hash: bytes
    instance_id: bytes | None
    os_image_hash: bytes | None
    key_provider: bytes | None
    rootfs_hash: bytes | None
    is_ready: bool

    @property
    def kind(self) -> str:
        """Return the kind of evidence."""
        return "dstack"

    def facts(self) -> Mapping[str, Fact]:
        """Return what a policy may judge: all of the TD's facts, and the events there are."""
        return {**self.td.facts(), **self._events()}

    def shown(self) -> dict[str, Shown]:
        """Return every claim as JSON."""
        events = self._events()
        return {
            **self.td.shown(),
            **{name: fact.hex() if isinstance(fact, bytes) else fact for name, fact in events.items()},
        }

    def _events(self) -> dict[str, Fact]:
        events: dict[str, Fact] = {
            "app_id": self.app_id,
            "compose_hash": self.compose_hash,
            "instance_id": self.instance_id,
            "os_image_hash": self.os_image_hash,
            "key_provider": self.key_provider,
            "rootfs_hash": self.rootfs_hash,
            "is_ready": self.is_ready,
        }
        return {name: fact for name, fact in events.items() if fact is not None}


def verified_dstack(
    quote: bytes, collateral: bytes, event_log: bytes, *, at: int, pinned: Mapping[str, bytes] = ROOTS
) -> DstackClaims:
    """Return what a dstack application's evidence claims, verified at `at`, or raise an `EvidenceRefused`.

    Args:
        quote: version 4 or 5, perhaps followed by zeros.
        collateral: QuoteCollateralV3 as JSON text.
        event_log: dstack's JSON list of events; those of RTMR 0 to 2 may be left out, register by register.
        at: UTC seconds; certificates and collateral are judged at that time.
        pinned: the hash of each root by name; another than ours only in tests.
    """
    events = events_from(event_log)
    td = verified_tdx(quote, collateral, at=at, pinned=pinned)
    runtime = authenticated(events, td.report)
    payloads = _own_payloads(runtime)
    if "app-id" not in payloads or len(payloads.get("compose-hash", b"")) != COMPOSE_HASH_BYTES:
        raise EventLogMismatch("event log: wanted an app-id and a compose-hash of 32 bytes before system-ready")
    return DstackClaims(
        td=td,
        app_id=payloads["app-id"],
        compose_hash=payloads["compose-hash"],
        instance_id=payloads.get("instance-id"),
        os_image_hash=payloads.get("os-image-hash"),
        key_provider=payloads.get("key-provider"),
        rootfs_hash=payloads.get("rootfs-hash"),
        is_ready=READY in payloads,
    )


def _own_payloads(runtime: Sequence[Event]) -> dict[str, bytes]:
    """Return the payloads of dstack's own events by name, or raise `EventLogMismatch`.

    Their names stand once, and none after `system-ready`, where the application could be lying. Before it, no name has
    a colon: the digest joins name and payload with one, and could be read in two ways.
    """
    payloads: dict[str, bytes] = {}
    for event in runtime:
        if READY not in payloads and ":" in event.name:
            raise EventLogMismatch(f"event log: {event.name[:40]!r} is not a name dstack gives")
        if event.name not in _OWN:
            continue
        if event.name in payloads or READY in payloads:
            raise EventLogMismatch(f"event log: {event.name} stands twice, or after system-ready")
        payloads[event.name] = event.payload
    return payloads
