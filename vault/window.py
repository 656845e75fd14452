"""Windows: how much an instance may serve past a ledger entry that its custodians remember (rule F3).

Custodians note a window as consumed before they sign it. Only the instance it was given to may return the unused part,
by a renewal or a signed `HandBack`; what a dead instance left open is lost. Custodians may differ in what they know of
windows, so they report open ones beside a lease's terms, and an enclave takes as lost what enough of them report:

    max(1, min(f+1, q - f - (n - responders)))

A window that could be served from was signed by q custodians, so at least q-f honest ones remember it, and at least
q-f-(n-responders) of those are heard. Where that is more than f, f+1 reports are asked for, and f liars invent nothing;
where so many custodians are silent that it is not, a liar's word counts rather than a window being forgotten.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, ClassVar

from storage.cid import Cid
from vault.charter import CUSTODIANS_MAX, Charter, Window
from vault.codec import Digest, Length, PublicKey, Record, record
from vault.machine import MachineSigned

WINDOWS_MAX = 64  # that one custodian keeps open per ledger
REPORTED_MAX = WINDOWS_MAX * CUSTODIANS_MAX


@record
class Anchor(Record):
    """How far a ledger has come: the sequence and MAC of its last entry; zero and zeros before the first."""

    sequence: int
    mac: Digest


EMPTY_ANCHOR = Anchor(sequence=0, mac=bytes(32))


@record
class WindowId(Record):
    """An instance's window, by the sequence of the entry that it begins after."""

    instance: PublicKey
    start: int


@record
class OpenWindow(Record):
    """A window that was granted and not returned."""

    instance: PublicKey
    start: int
    window: Window

    def id(self) -> WindowId:
        """Return its name."""
        return WindowId(instance=self.instance, start=self.start)


Reported = Annotated[tuple[OpenWindow, ...], Length(0, WINDOWS_MAX)]
Settled = Annotated[tuple[WindowId, ...], Length(0, REPORTED_MAX)]


@record
class HandBack(MachineSigned):
    """An instance has stopped for good: it ends its lease and returns its window, the ledger having come this far."""

    TYPE: ClassVar[str] = "coffer/hand-back/v1"

    genesis: Cid
    ledger: Digest
    instance: PublicKey
    anchor: Anchor | None  # None where it never verified the books, and so never served

    def signer(self) -> bytes:
        """Return the instance."""
        return self.instance


def lost_windows(reports: Sequence[Sequence[OpenWindow]], charter: Charter) -> tuple[OpenWindow, ...]:
    """Return the windows that enough custodians report as open, one per instance: the last one known of.

    Args:
        reports: of each custodian that answered; they are at least q.
    """
    silent = len(charter.custodians) - len(reports)
    needed = max(1, min(charter.liars + 1, charter.signatures - charter.liars - silent))
    known: dict[bytes, list[OpenWindow]] = defaultdict(list)
    for report in reports:
        latest: dict[bytes, OpenWindow] = {}
        for window in sorted(report, key=lambda window: window.start):
            latest[window.instance] = window
        for instance, window in latest.items():
            known[instance].append(window)
    return tuple(
        _supported(instance, windows, needed) for instance, windows in sorted(known.items()) if len(windows) >= needed
    )


def last_of_each(windows: Sequence[OpenWindow]) -> tuple[WindowId, ...]:
    """Return the name of the last window of every instance."""
    starts: dict[bytes, int] = {}
    for window in windows:
        starts[window.instance] = max(window.start, starts.get(window.instance, 0))
    return tuple(WindowId(instance=instance, start=start) for instance, start in sorted(starts.items()))


def _supported(instance: bytes, windows: Sequence[OpenWindow], needed: int) -> OpenWindow:
    """Return the highest of each fact that `needed` custodians reach.

    Whoever signed the window that was served from reports it, or a later one that others did not sign; so what so many
    reach is never before the true start, and no penalty is smaller than what was hidden.
    """

    def reached(values: list[int]) -> int:
        return sorted(values, reverse=True)[needed - 1]

    return OpenWindow(
        instance=instance,
        start=reached([window.start for window in windows]),
        window=Window(
            entries=reached([window.window.entries for window in windows]),
            passages=reached([window.window.passages for window in windows]),
            spend=reached([window.window.spend for window in windows]),
        ),
    )
