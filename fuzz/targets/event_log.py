"""dstack event logs, replayed into the registers of a quote."""

from enclave.attestation.event_log import authenticated, events_from
from enclave.attestation.quote import TdReport, quote_from
from fuzz.seeds import seeds
from vault.errors import VaultError

ROLES = ("dstack_event_log",)


def _report() -> TdReport | None:
    for quote in seeds("quote"):
        try:
            body = quote_from(quote).body
        except VaultError:
            continue
        if isinstance(body, TdReport):
            return body
    return None


_REPORT = _report()


def fuzz(data: bytes) -> None:
    """Parse a log and replay it."""
    events = events_from(data)
    if _REPORT is not None:
        authenticated(events, _REPORT)
