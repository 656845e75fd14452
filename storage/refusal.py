"""What a place means by an error status, in one sentence and as the reaction that it calls for.

Sources: RFC 9110, section 15; RFC 6585 for 429; the Pinning Service API's `Failure` object for the reason.
"""

import json
from email.utils import parsedate_to_datetime
from typing import Final

from storage.errors import AccessRefused, PaymentNeeded, RateLimited, RequestRefused, StorageError, StorageUnavailable
from storage.http_place import Answer, printable

REASON_CHARS_MAX: Final = 200
RETRY_AFTER_S_MAX: Final = 24 * 3600.0
RETRY_AFTER_S: Final = 60.0  # where a place does not say


def refused(answer: Answer, *, name: str, secret: str | None = None) -> StorageError:
    """Return the error for an answer of an error status.

    Args:
        secret: the token, which the place may repeat but we do not.
    """
    reason = _reason(answer.refusal(), secret)
    said = f"{answer.status}{': ' if reason else ''}{reason}"
    match answer.status:
        case 401 | 403:
            return AccessRefused(f"{name} does not accept the token ({said}); get a new one")
        case 402:
            return PaymentNeeded(f"{name} wants to be paid first ({said}); top up the account")
        case 429:
            wait_s = retry_after_s(answer.header("Retry-After"), answer.header("Date"))
            return RateLimited(f"{name} was asked too often ({said}); try again in {wait_s:g} s", retry_after_s=wait_s)
        case 503 if answer.header("Retry-After"):
            wait_s = retry_after_s(answer.header("Retry-After"), answer.header("Date"))
            return RateLimited(f"{name} is busy ({said}); try again in {wait_s:g} s", retry_after_s=wait_s)
        case status if 400 <= status < 500:
            return RequestRefused(f"{name} refuses what was asked ({said})")
    return StorageUnavailable(f"{name} cannot answer now ({said}); try again later")


def retry_after_s(wait: str, now: str) -> float:
    """Return the seconds in a `Retry-After`: a number of them, or a date compared with the place's own `Date`."""
    if wait.isascii() and wait.isdecimal() and len(wait) <= 10:
        return min(float(wait), RETRY_AFTER_S_MAX)
    try:
        seconds = (parsedate_to_datetime(wait) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return RETRY_AFTER_S
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def _reason(body: bytes, secret: str | None) -> str:
    """Return what an error body says: the `Failure` of a pinning service, an `error` or a line of text."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return "" if body.lstrip()[:1] == b"<" else printable(body, REASON_CHARS_MAX, secret=secret)
    failure = said.get("error", said.get("message")) if isinstance(said, dict) else said
    if isinstance(failure, dict):
        told = (failure.get("reason"), failure.get("details"))
        failure = ": ".join(word for word in told if isinstance(word, str) and word)
    return (
        printable(failure.encode("utf-8", "replace"), REASON_CHARS_MAX, secret=secret)
        if isinstance(failure, str)
        else ""
    )
