"""What every call to a server of ours passes first: TLS 1.3, a share of the calls at once, and a bounded rate per peer.

grpcio has no setting for the lowest TLS version. An interceptor sees every method, those of the health and reflection
services included; our own methods' wrapper would not.

gRPC counts a call from its headers on, and hands a unary method its message only when all of it is there; so calls
whose message never comes would fill the server before anything of ours ran. A unary method is therefore registered as
one that reads a stream, which is the same on the wire: its handler runs from the headers on, admits the peer, and reads
one message within `MESSAGE_TIMEOUT_S`. One address has at most `peer_calls_max` calls open, one connection half as
many.

What remains: whoever commands many addresses can hold that many shares open, each call for as long as a message may
take, and whoever shares an address shares its share; connections themselves are bounded by their age and idleness only,
since a bound on their number would be filled the more easily. That is for the network in front of the server.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from vault.errors import InvalidSignature, MalformedObject, RateExceeded, ServiceUnavailable
from vault.rate import PeerLimit, peer_name
from vault.tls import SERVER_OPTIONS
from vault.wire import BUSY_WAIT_S, refuse

STREAMS_MAX: Final = 64  # they last as long as their callers like, and would fill `calls_max`
PEER_STREAMS_MAX: Final = 16  # of them from one address
REFUSED_MAX: Final = 64  # calls that are being refused; gRPC refuses more of them, and says neither why nor until when
MESSAGE_TIMEOUT_S: Final = 5.0  # for all of a message, at most `MESSAGE_BYTES_MAX`, once its call has begun
TLS_13: Final = [b"TLSv1.3"]
Context = grpc.aio.ServicerContext[Any, Any]
Behavior = Callable[[Any, Context], Any]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Any]]


def guarded_server(
    *,
    calls_max: int,
    peer_calls_max: int,
    limited: Collection[str],
    limit: PeerLimit | None = None,
    friends: Collection[str] = (),
) -> grpc.aio.Server:
    """Return a server, without services or a port yet, whose every call is guarded.

    Args:
        calls_max: at once; more are refused with `RateExceeded`, and past `REFUSED_MAX` more by gRPC itself.
        peer_calls_max: of them from one address, and twice what one connection may have; a client of gRPC's waits.
        limited: paths of methods that count against a peer's rate, as `/package.Service/Method`.
        friends: peers whose calls count against no rate.
    """
    guard = Guard(limited, limit or PeerLimit(), calls_max=calls_max, peer_calls_max=peer_calls_max, friends=friends)
    options = (*SERVER_OPTIONS, ("grpc.max_concurrent_streams", peer_calls_max // 2))
    return grpc.aio.server(interceptors=(guard,), options=options, maximum_concurrent_rpcs=calls_max + REFUSED_MAX)


class Guard(grpc.aio.ServerInterceptor):
    """Refuses a call before its method sees it."""

    def __init__(
        self,
        limited: Collection[str],
        limit: PeerLimit,
        *,
        calls_max: int,
        peer_calls_max: int,
        friends: Collection[str] = (),
    ) -> None:
        self._friends = frozenset(friends)
        self._limited = frozenset(limited)
        self._limit = limit
        self._calls_max = calls_max
        self._peer_calls_max = peer_calls_max
        self._open: Counter[str] = Counter()  # calls by peer, now
        self._streams: Counter[str] = Counter()  # open now, by peer
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

        async def requested(messages: Any, context: Context, *, is_stream: bool) -> Any:
            try:
                peer = self._admitted(context, is_limited=is_limited, is_stream=is_stream)
                if handler.request_streaming:
                    return messages
                message = await _received(context)
                if is_limited and peer not in self._friends:
                    self._limit.charge(peer, message.ByteSize())
            except (InvalidSignature, MalformedObject, RateExceeded, ServiceUnavailable) as error:
                await refuse(context, error)
            return message

        async def answer(messages: Any, context: Context) -> Any:
            return await behavior(await requested(messages, context, is_stream=False), context)

        async def stream(messages: Any, context: Context) -> None:
            request = await requested(messages, context, is_stream=True)
            peer = peer_name(context.peer())
            self._streams[peer] += 1
            try:
                answers = behavior(request, context)
                if isinstance(answers, AsyncIterator):
                    async for message in answers:
                        await context.write(message)
                else:
                    await answers  # it writes to the context itself
            finally:
                self._streams[peer] -= 1
                self._streams += Counter()  # forgets those at zero

        return make(
            stream if handler.response_streaming else answer,
            request_deserializer=_parsing(handler.request_deserializer),
            response_serializer=_serializing(handler.response_serializer),
        )

    def _admitted(self, context: Context, *, is_limited: bool, is_stream: bool) -> str:
        """Return the peer's name, one more call of it being open; raise where it may make none."""
        require_tls13(context)
        peer = peer_name(context.peer())
        if self._open[peer] >= self._peer_calls_max:
            raise RateExceeded("too many calls from one address are open; wait for their answers", wait_s=BUSY_WAIT_S)
        if self._open.total() >= self._calls_max:
            raise RateExceeded("too many calls are open; ask again shortly", wait_s=BUSY_WAIT_S)
        if is_stream and (self._streams.total() >= STREAMS_MAX or self._streams[peer] >= PEER_STREAMS_MAX):
            raise RateExceeded("too many streams are open; close one, or ask again later", wait_s=BUSY_WAIT_S)
        if is_limited and peer not in self._friends:
            self._limit.take(peer)
        self._open[peer] += 1
        context.add_done_callback(partial(self._close, peer))  # type: ignore[arg-type]  # the stubs want a class of theirs
        return peer

    def _close(self, peer: str, _: object) -> None:
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]


async def _received(context: Context) -> Any:
    """Return a call's one message, or raise where it does not come in time."""
    try:
        async with asyncio.timeout(MESSAGE_TIMEOUT_S):
            message = await context.read()
    except TimeoutError as error:
        raise ServiceUnavailable("the call's message did not arrive in time") from error
    if message is grpc.aio.EOF:
        raise MalformedObject("a call has a message")
    return message


def _parsing(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Return a method's parser of messages, which raises `MalformedObject` for what is none."""
    if deserialize is None:
        return None

    def parsed(message: bytes) -> Any:
        try:
            return deserialize(message)
        except DecodeError:  # what it quotes of the message stays here
            raise MalformedObject("the message is not one that this method takes; call it with its own type") from None

    return parsed


def _serializing(serialize: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Return a method's serializer, which lets pass what is serialized already."""
    if serialize is None:
        return None
    return lambda message: message if type(message) is bytes else serialize(message)


def require_tls13(context: Any) -> None:
    """Raise `InvalidSignature` below TLS 1.3."""
    if context.auth_context().get("ssl_tls_version") != TLS_13:
        raise InvalidSignature("TLS 1.3 is required")


_KINDS: Final[dict[tuple[bool, bool], Callable[[Any], tuple[Callable[..., Any], Behavior]]]] = {
    (False, False): lambda handler: (grpc.stream_unary_rpc_method_handler, handler.unary_unary),
    (False, True): lambda handler: (grpc.stream_stream_rpc_method_handler, handler.unary_stream),
    (True, False): lambda handler: (grpc.stream_unary_rpc_method_handler, handler.stream_unary),
    (True, True): lambda handler: (grpc.stream_stream_rpc_method_handler, handler.stream_stream),
}
