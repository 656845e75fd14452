"""The edge: our errors as gRPC statuses and back, through one table.

A failed call carries the table's reason in the trailing metadata `coffer-reason`, so that programs need not read
prose. A bug is INTERNAL and says nothing, since its message could hold what it failed on. What a service's own disk or
database did is told in a fixed sentence: the detail, which names paths and hosts, is for the service's log.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, TypeVar

import grpc

from storage import errors as storage_errors
from vault import errors
from vault.errors import ServiceUnavailable, VaultError

REASON_KEY: Final = "coffer-reason"
RETRY_AFTER_KEY: Final = "coffer-retry-after-ms"
RETRY_AFTER_MS_MAX: Final = 60_000
BUSY_WAIT_S: Final = 0.5  # what callers are told to wait where too many calls are open
GRPC_LIMIT: Final = "Concurrent RPC limit exceeded!"  # what grpcio says past `maximum_concurrent_rpcs`, and no more
log = logging.getLogger(__name__)

_Code = grpc.StatusCode
TABLE: Final[tuple[tuple[type[Exception], grpc.StatusCode, str], ...]] = (
    # The first class that fits an error speaks for it: subclasses stand before their bases.
    (errors.Revoked, _Code.PERMISSION_DENIED, "REVOKED"),
    (errors.SessionOver, _Code.UNAUTHENTICATED, "SESSION_OVER"),
    (errors.AccessDenied, _Code.PERMISSION_DENIED, "ACCESS_DENIED"),
    (errors.VoucherDue, _Code.RESOURCE_EXHAUSTED, "VOUCHER_DUE"),
    (errors.CreditExhausted, _Code.RESOURCE_EXHAUSTED, "CREDIT_EXHAUSTED"),
    (errors.BudgetExhausted, _Code.RESOURCE_EXHAUSTED, "BUDGET_EXHAUSTED"),
    (errors.RateExceeded, _Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED"),
    (errors.Overloaded, _Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    (errors.RequestConflict, _Code.ALREADY_EXISTS, "REQUEST_CONFLICT"),
    (errors.InvalidSignature, _Code.UNAUTHENTICATED, "INVALID_SIGNATURE"),
    (errors.MalformedObject, _Code.INVALID_ARGUMENT, "MALFORMED"),
    (errors.TamperedSegment, _Code.DATA_LOSS, "TAMPERED_SEGMENT"),
    (errors.TamperedManifest, _Code.DATA_LOSS, "TAMPERED_MANIFEST"),
    (errors.LyingCustodian, _Code.FAILED_PRECONDITION, "LYING_CUSTODIAN"),
    (errors.WrongKey, _Code.FAILED_PRECONDITION, "WRONG_KEY"),
    (errors.ForkedHistory, _Code.FAILED_PRECONDITION, "FORKED"),
    (errors.StaleState, _Code.FAILED_PRECONDITION, "STALE"),
    (errors.InvalidDecision, _Code.FAILED_PRECONDITION, "INVALID_DECISION"),
    (errors.NotYet, _Code.FAILED_PRECONDITION, "NOT_YET"),
    (errors.LedgerTampered, _Code.DATA_LOSS, "LEDGER_TAMPERED"),
    (errors.RecordsUnavailable, _Code.UNAVAILABLE, "RECORDS_UNAVAILABLE"),
    (errors.ExcessiveDemand, _Code.FAILED_PRECONDITION, "EXCESSIVE_DEMAND"),
    (errors.InvalidReceipt, _Code.INVALID_ARGUMENT, "INVALID_RECEIPT"),
    (errors.ServiceUnavailable, _Code.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    (storage_errors.InvalidCid, _Code.INVALID_ARGUMENT, "MALFORMED"),
    (storage_errors.BlockMismatch, _Code.DATA_LOSS, "BLOCK_MISMATCH"),
    (storage_errors.BlockNotFound, _Code.NOT_FOUND, "BLOCK_NOT_FOUND"),
    (storage_errors.StorageError, _Code.UNAVAILABLE, "STORAGE"),
)

LOCAL: Final = {
    "RECORDS_UNAVAILABLE": "the service cannot use its records now, and its own log says why; ask again, the same way",
    "BLOCK_MISMATCH": "a block that the service fetched is not the one it was named by; its own log says more",
    "BLOCK_NOT_FOUND": "the service does not have what was asked for, or no longer; connect anew",
    "STORAGE": "the service cannot use its block storage now, and its own log says why; ask again, the same way",
}
CAUSES_MAX: Final = 8
_NO_FILE: Final = "an input or output error, which the service's own log names"

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str, str]:
    """Return code, reason and message for an error; INTERNAL and silence for one that is not ours."""
    for kind, code, reason in TABLE:
        if isinstance(error, kind):
            return code, reason, LOCAL.get(reason) or _without_causes(error)
    return _Code.INTERNAL, "INTERNAL", "internal error; the service's log names its type"


def told(error: BaseException) -> str:
    """Return what callers elsewhere are told of an error: its message, without what names this machine's places."""
    return status_of(error)[2]


def answered(method: Method) -> Method:
    """Wrap an aio servicer's method: errors become statuses through the table."""

    @wraps(method)
    async def call(self: Any, request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await method(self, request, context)
        except Exception as error:  # noqa: BLE001  # the edge: whatever is not ours must not leak its message
            code, reason, message = status_of(error)
            if code is _Code.INTERNAL:
                log.error(  # noqa: TRY400  # a traceback would print the message
                    "a bug in %s: %s at %s", method.__qualname__, type(error).__name__, _place(error)
                )
            elif message != str(error):
                log.warning("%s failed (%s): %s", method.__qualname__, reason, error)
            metadata = trailing(error)
        await context.abort(code, message, metadata)

    return call  # type: ignore[return-value]  # the same signature, seen through wraps


async def refuse(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    """End a call with the status of an error."""
    code, _, message = status_of(error)
    await context.abort(code, message, trailing(error))


def trailing(error: BaseException) -> tuple[tuple[str, str], ...]:
    """Return what a failed call's trailing metadata says of an error."""
    reason = ((REASON_KEY, status_of(error)[1]),)
    wait_ms = retry_after_ms(error)
    return (*reason, (RETRY_AFTER_KEY, str(wait_ms))) if wait_ms else reason


def retry_after_ms(error: BaseException) -> int:
    """Return after how many milliseconds it is worth asking again; 0 where nobody knows."""
    wait_s = error.wait_s if isinstance(error, (errors.Overloaded, errors.RateExceeded)) else 0.0
    return max(1, min(RETRY_AFTER_MS_MAX, int(1000 * wait_s))) if wait_s else 0


def _without_causes(error: BaseException) -> str:
    """Return an error's message in which what it quotes of a local cause is replaced by that cause's fixed sentence."""
    message, cause = str(error), error
    for _ in range(CAUSES_MAX):
        following = cause.__cause__ or cause.__context__
        if following is None:
            break
        cause = following
        local = _NO_FILE if isinstance(cause, OSError) else _local_sentence(cause)
        if local and str(cause):
            message = message.replace(str(cause), local)
    return message


def _local_sentence(error: BaseException) -> str | None:
    return next((LOCAL.get(reason) for kind, _, reason in TABLE if isinstance(error, kind)), None)


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def error_of(reason: str, details: str, *, wait_ms: int = 0) -> VaultError:
    """Return the error that a reason stands for."""
    kinds = (kind for kind, _, name in TABLE if name == reason and issubclass(kind, VaultError))
    kind = next(kinds, VaultError)
    if kind in (errors.Overloaded, errors.RateExceeded):
        return kind(details, wait_s=max(0, min(RETRY_AFTER_MS_MAX, wait_ms)) / 1000)
    return kind(details)


def error_from(failure: grpc.RpcError, who: str) -> VaultError:
    """Return the error that a failed call stands for; `who` is named where nobody answered."""
    answer = failure if isinstance(failure, (grpc.Call, grpc.aio.AioRpcError)) else None
    code = answer.code() if answer is not None else None
    details = (answer.details() if answer is not None else None) or "no details"
    said: dict[str, Any] = dict(answer.trailing_metadata() or ()) if answer is not None else {}
    reason = said.get(REASON_KEY)
    if reason is not None:
        hint = str(said.get(RETRY_AFTER_KEY, "0"))
        return error_of(
            reason, details, wait_ms=int(hint) if hint.isascii() and hint.isdigit() and len(hint) < 9 else 0
        )
    if code is _Code.RESOURCE_EXHAUSTED and details == GRPC_LIMIT:
        return errors.RateExceeded(f"{who} has more calls open than it takes; ask again", wait_s=BUSY_WAIT_S)
    if code is _Code.DEADLINE_EXCEEDED:
        return ServiceUnavailable(f"{who} did not answer in time; ask again with the same request id")
    if code is _Code.UNAVAILABLE:
        return ServiceUnavailable(f"{who} cannot be reached, or shows another key than the pinned one; connect anew")
    return VaultError(f"{who} refused the call ({code.name if code else 'unknown'}): {details}")
