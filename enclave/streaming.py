"""Several questions in one call: each is answered or refused by itself, and a stream's as soon as they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from enclave.admission import Session
from enclave.answer_wire import answer_outcome, refusal_outcome, stream_response
from enclave.question_wire import query_from
from enclave.service import EnclaveService
from enclave.v1 import retrieval_pb2 as pb
from storage.errors import StorageError
from vault.errors import ServiceUnavailable, VaultError
from vault.question import Query
from vault.tls import MESSAGE_BYTES_MAX

STREAM_MAX = 64  # questions of one stream under way at once; more are not read until one is answered
WRITE_S_MAX = 30.0  # for a client to take an answer
FIRST_S_MAX = 5.0  # for a stream's first question: until then nobody knows whose it is
IDLE_S_MAX = 60.0  # for the next one

BATCH_BYTES_MAX = MESSAGE_BYTES_MAX - (1 << 18)  # of answers; refusals are small
_TOO_LARGE = (
    "the batch's answers are too large for one message; ask this again by itself, with the same request id: it is not "
    "charged again"
)

Write = Callable[[bytes], Awaitable[None]]  # of serialized `SearchStreamResponse`s


async def outcome_of(service: EnclaveService, session: Session, query: Query, last_receipt: bytes) -> bytes:
    """Answer one of several questions, as `Outcome`; what refuses it does not touch the others."""
    try:
        metered, answer, is_repeat = await service.search(session, query, last_receipt)
    except (VaultError, StorageError) as error:
        return refusal_outcome(error)
    return answer_outcome(metered, answer, is_repeat=is_repeat)


def fitting(outcomes: Sequence[bytes]) -> list[bytes]:
    """Return as many answers as one message holds; the others are charged, and come again by their request ids."""
    left, kept = BATCH_BYTES_MAX, []
    for outcome in outcomes:
        if len(outcome) > left:
            outcome = refusal_outcome(ServiceUnavailable(_TOO_LARGE))
        else:
            left -= len(outcome)
        kept.append(outcome)
    return kept


async def answer_stream(service: EnclaveService, requests: AsyncIterator[pb.SearchRequest], write: Write) -> None:
    """Answer a stream of questions until it ends.

    Raises: what is wrong with a message itself, its MAC or its sequence, which ends the stream; what was under way then
    is dropped, and can be asked for again by its request id.
    """
    room, turn = asyncio.Semaphore(STREAM_MAX), asyncio.Lock()

    async def answer(session: Session, query: Query, last_receipt: bytes) -> None:
        try:
            outcome = await outcome_of(service, session, query, last_receipt)
            async with turn:
                await written(write, stream_response(query.request, outcome))
        finally:
            room.release()

    try:
        async with asyncio.TaskGroup() as group:
            async for request in _in_time(requests):
                query = query_from(request.question)
                session = service.authenticated(
                    request.session,
                    request.sequence,
                    request.mac,
                    body=query.body_digest(),
                    last_receipt=request.last_receipt,
                )
                await room.acquire()
                group.create_task(answer(session, query, request.last_receipt))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None  # one is enough to say why the stream ends


async def _in_time(requests: AsyncIterator[pb.SearchRequest]) -> AsyncIterator[pb.SearchRequest]:
    """Yield requests while they come; a stream that says nothing is ended, since streams are few."""
    waiting, most_s = aiter(requests), FIRST_S_MAX
    while True:
        try:
            async with asyncio.timeout(most_s):
                request = await anext(waiting)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise ServiceUnavailable(f"nothing came on this stream for {most_s:g} s; open another one") from error
        yield request
        most_s = IDLE_S_MAX


async def written(write: Write, response: bytes) -> None:
    """Write an answer, whole even where the stream ends meanwhile: gRPC takes no status while one is on its way."""
    writing = asyncio.ensure_future(write(response))
    writing.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if by nobody
    try:
        async with asyncio.timeout(WRITE_S_MAX):
            await asyncio.shield(writing)
    except TimeoutError as error:
        writing.cancel()
        raise ServiceUnavailable("the client does not take its answers; ask again by their request ids") from error
    except asyncio.CancelledError:
        await asyncio.wait([writing], timeout=WRITE_S_MAX)
        raise
