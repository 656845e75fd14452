"""The text of a PDF, parsed in a process of its own: what a hostile file breaks there ends there."""

from __future__ import annotations

from pathlib import Path

from rag.confined import Outcome, run_worker
from rag.errors import MalformedDocument
from rag.pdf_worker import CANNOT_OPEN, NEEDS_PASSWORD, PAGES_MAX, TEXT_BYTES_MAX, TOO_MANY_PAGES, TOO_MUCH_TEXT

TIMEOUT_S = 60.0  # by the wall clock; 160 pages take one second

REASONS = {
    CANNOT_OPEN: "it is not a PDF, or a damaged one; open and export it again",
    NEEDS_PASSWORD: "it needs a password; save a copy without one",
    TOO_MANY_PAGES: f"it has more than {PAGES_MAX} pages; split it",
    TOO_MUCH_TEXT: f"its text is over {TEXT_BYTES_MAX} bytes; split it",
}


def text_from_pdf(data: bytes, *, timeout_s: float = TIMEOUT_S) -> str:
    """Return the text of all pages, with a form feed between two.

    Raises: MalformedDocument: it cannot be read within the bounds; the message says what to do.
    """
    outcome = run_worker(
        Path(__file__).with_name("pdf_worker.py"), data, timeout_s=timeout_s, output_bytes_max=TEXT_BYTES_MAX
    )
    reason = _reason(outcome, timeout_s)
    if reason is not None:
        raise MalformedDocument(reason)
    try:
        return outcome.output.decode()
    except UnicodeDecodeError:
        raise MalformedDocument("the PDF parser gave no valid text; open and export the file again") from None


def _reason(outcome: Outcome, timeout_s: float) -> str | None:
    if outcome.is_late:
        return f"parsing took over {timeout_s:g} seconds; split it, or open and export it again"
    if outcome.is_too_long:
        return REASONS[TOO_MUCH_TEXT]
    if outcome.status == 0:
        return None
    return REASONS.get(
        outcome.status,
        f"the PDF parser failed or went over its memory or time (status {outcome.status}); export it again",
    )
