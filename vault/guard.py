"""What every call to a server of ours passes first: TLS 1.3, and for expensive methods a bounded rate per peer.

grpcio has no setting for the lowest TLS version. An interceptor sees every method, those of the health and reflection
services included; our own methods' wrapper would not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, Final

import grpc

from vault.errors import InvalidSignature, RateExceeded
from vault.rate import PeerLimit, peer_name
from vault.tls import SERVER_OPTIONS
from vault.wire import refuse

STREAMS_MAX: Final = (
    16  # of health and reflection, which last as long as their callers like, and would fill `calls_max`
)
TLS_13: Final = [b"TLSv1.3"]
Context = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[Any, Context], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


def guarded_server(*, calls_max: int, limited: Collection[str], limit: PeerLimit | None = None) -> grpc.aio.Server:
    """Return a server, without services or a port yet, whose every call is guarded.

    Args:
        calls_max: at once; more are refused by gRPC with RESOURCE_EXHAUSTED.
        limited: paths of methods that count against a peer's rate, as `/package.Service/Method`.
    """
    guard = Guard(limited, limit or PeerLimit())
    return grpc.aio.server(interceptors=(guard,), options=SERVER_OPTIONS, maximum_concurrent_rpcs=calls_max)


class Guard(grpc.aio.ServerInterceptor):
    """Refuses a call before its method sees it."""

    def __init__(self, limited: Collection[str], limit: PeerLimit) -> None:
        self._limited = frozenset(limited)
        self._limit = limit
        self._streams = 0  # open now
        self._handlers: dict[str, Any] = {}  # by path; only methods that exist

    async def intercept_service(self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Return the method's guarded handler, or None for a method that does not exist."""
        path = handler_call_details.method
        if path not in self._handlers:
            found = await continuation(handler_call_details)
            if found is None:
                return None
            self._handlers[path] = self._guarded(found, is_limited=path in self._limited)
        return self._handlers[path]

    def _guarded(self, handler: Any, *, is_limited: bool) -> Any:
        make, behavior = _KINDS[handler.request_streaming, handler.response_streaming](handler)

        async def answer(request: Any, context: Context) -> Any:
            await self._admit(context, is_limited=is_limited)
            return await behavior(request, context)

        async def stream(request: Any, context: Context) -> None:
            await self._admit(context, is_limited=is_limited, is_stream=True)
            self._streams += 1
            try:
                answers = behavior(request, context)
                if isinstance(answers, AsyncIterator):
                    async for message in answers:
                        await context.write(message)
                else:
                    await answers  # it writes to the context itself
            finally:
                self._streams -= 1

        return make(
            stream if handler.response_streaming else answer,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    async def _admit(self, context: Context, *, is_limited: bool, is_stream: bool = False) -> None:
        try:
            require_tls13(context)
            if is_stream and self._streams >= STREAMS_MAX:
                raise RateExceeded("too many streams are open; close one, or ask again later")  # noqa: TRY301
            if is_limited:
                self._limit.take(peer_name(context.peer()))
        except (InvalidSignature, RateExceeded) as error:
            await refuse(context, error)


def require_tls13(context: Any) -> None:
    """Raise `InvalidSignature` below TLS 1.3."""
    if context.auth_context().get("ssl_tls_version") != TLS_13:
        raise InvalidSignature("TLS 1.3 is required")


_KINDS: Final[dict[tuple[bool, bool], Callable[[Any], tuple[Callable[..., Any], Behavior]]]] = {
    (False, False): lambda handler: (grpc.unary_unary_rpc_method_handler, handler.unary_unary),
    (False, True): lambda handler: (grpc.unary_stream_rpc_method_handler, handler.unary_stream),
    (True, False): lambda handler: (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
    (True, True): lambda handler: (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
}
