"""Windows that a custodian granted and has not seen returned, and the last hand-back it was given (rule F3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, select
from sqlmodel import Session, col, delete

from vault.charter import Window
from vault.records.room import require_room
from vault.records.tables import LastHandBack, WindowGranted
from vault.window import WINDOWS_MAX, OpenWindow, WindowId

_GRANTED = WindowGranted.__table__.c  # type: ignore[attr-defined]  # SQLModel does not declare it
_OPEN: Final = (
    select(_GRANTED.instance, _GRANTED.start, _GRANTED.entries, _GRANTED.passages, _GRANTED.spend)
    .where(_GRANTED.ledger == bindparam("own"))
    .order_by(_GRANTED.instance)
)


def open_windows(session: Session | Connection, ledger: bytes) -> list[OpenWindow]:
    """Return the ledger's open windows in the order of their instances; at most `WINDOWS_MAX`."""
    return [
        OpenWindow(instance=instance, start=start, window=Window(entries=entries, passages=passages, spend=spend))
        for instance, start, entries, passages, spend in session.execute(_OPEN, {"own": ledger})
    ]


def grant_window(session: Session, ledger: bytes, instance: bytes, start: int, window: Window) -> None:
    """Note a window as consumed, in place of the instance's window before.

    Raises: RecordsUnavailable: `WINDOWS_MAX` instances have open ones.
    """
    if session.get(WindowGranted, (ledger, instance)) is None:
        require_room(session, WindowGranted, WindowGranted.ledger == ledger, most=WINDOWS_MAX)
    session.merge(
        WindowGranted(
            ledger=ledger,
            instance=instance,
            start=start,
            entries=window.entries,
            passages=window.passages,
            spend=window.spend,
        )
    )


def close_windows(session: Session, ledger: bytes, closed: Sequence[WindowId]) -> None:
    """Forget windows up to the ones named; a later one of the same instance stays."""
    for id in closed:
        session.exec(
            delete(WindowGranted).where(
                col(WindowGranted.ledger) == ledger,
                col(WindowGranted.instance) == id.instance,
                col(WindowGranted.start) <= id.start,
            )
        )


def return_window(session: Session, ledger: bytes, instance: bytes, hand_back: bytes) -> None:
    """Forget an instance's window, and keep its signed word that it has stopped."""
    session.exec(
        delete(WindowGranted).where(col(WindowGranted.ledger) == ledger, col(WindowGranted.instance) == instance)
    )
    session.merge(LastHandBack(ledger=ledger, hand_back=hand_back))
