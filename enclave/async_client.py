"""The client of programs that await; the tasks of one event loop may share one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar, Unpack

from enclave import operations
from enclave.answers import Account, Answer, Count, Description, Embedding
from enclave.async_channel import AsyncEnclaveChannel
from enclave.client_core import Asking, ClientCore, Keeper, Outcome, Paid
from enclave.client_session import SESSION_S, ClientSession, Pending
from enclave.dialing import Dialing
from enclave.exchange import Exchange
from enclave.feed import AsyncFeed
from enclave.lines import LINES_MAX, AsyncLines, Line
from enclave.patience import Attempts, Patience
from enclave.payer import Paid as PaidChannel
from enclave.payer import Payer
from enclave.v1 import retrieval_pb2 as pb
from storage.cid import Cid
from vault.codec import INTEGER_MAX
from vault.errors import VaultError, VoucherDue
from vault.question import BATCH_MAX, PLAIN, Query, Quote

Done = TypeVar("Done")
Operation = Callable[[ClientSession], Exchange[Done]]


class AsyncEnclaveClient(ClientCore):
    """Asks one attested enclave as one licensee. `enclave.client.connect_async` makes one."""

    def __init__(
        self,
        dialing: Dialing,
        *,
        max_spend: int | None = None,
        keep: Keeper | None = None,
        patience: Patience | None = None,
        lines_max: int = LINES_MAX,
        payer: Payer | None = None,
    ) -> None:
        """Make one that is not connected yet; `dial` connects it."""
        super().__init__(dialing, max_spend=max_spend, keep=keep, payer=payer)
        self._paying = asyncio.Lock()  # one payment at a time: whoever comes next finds it made
        self._has_more_lines = lines_max > 1
        self._patience = patience or Patience()
        self._lines = AsyncLines(dialing, most=lines_max)

    @classmethod
    async def dial(cls, dialing: Dialing, **options: Any) -> Self:
        """Verify the enclave and open the first session; `options` as in the constructor.

        Raises: what `connect_async` raises.
        """
        client = cls(dialing, **options)
        async with client._lines.borrowed(timeout_s=client._patience.timeout_s) as line:
            client._newest = line.session
        return client

    async def search(
        self,
        text: str = "",
        *,
        k: int | None = None,
        request_id: bytes | None = None,
        salt: bytes | None = None,
        timeout_s: float | None = None,
        **asked: Unpack[Asking],
    ) -> Answer:
        """Return the passages nearest to `text`, with a receipt already checked; see `EnclaveClient.search`."""
        pending = self._fresh(text, k, request_id, salt, asked)
        return await self._paid(operations.searching, pending, timeout_s)

    async def embed(self, text: str, *, price_max: int = INTEGER_MAX, timeout_s: float | None = None) -> Embedding:
        """Return a text's vector; it is charged like an answer of no passages."""
        pending = self._fresh(text, 0, None, None, Asking(price_max=price_max))
        return await self._paid(operations.embedding, pending, timeout_s)

    async def count(
        self,
        where: bytes,
        *,
        datasets: Sequence[Cid] = (),
        price_max: int = INTEGER_MAX,
        request_id: bytes | None = None,
        salt: bytes | None = None,
        timeout_s: float | None = None,
    ) -> Count:
        """Return how many passages meet a filter, where the policy tells that; charged like an answer of no passages.

        Args:
            where: the filter, canonical DAG-CBOR.
            request_id: as `question` takes it, with its salt.
        Raises: `AccessDenied` where the policy does not tell it; what `search` raises.
        """
        asked = Asking(datasets=datasets, options=replace(PLAIN, where=where), price_max=price_max)
        return await self._paid(operations.counting, self._fresh("", 0, request_id, salt, asked), timeout_s)

    async def search_batch(
        self,
        queries: Sequence[Query | str],
        *,
        k: int | None = None,
        timeout_s: float | None = None,
        **asked: Unpack[Asking],
    ) -> list[Outcome]:
        """Return for each question its answer, or why there is none; see `EnclaveClient.search_batch`."""
        pendings = self._each(queries, k, asked)
        outcomes: list[Outcome] = []
        for start in range(0, len(pendings), BATCH_MAX):
            chunk = pendings[start : start + BATCH_MAX]
            try:
                outcomes += await self._batch(chunk, self._patience.begin(timeout_s))
            except VaultError as error:
                if not outcomes:
                    raise
                outcomes += [error] * len(chunk)  # what was paid for before is not thrown away
        return outcomes

    async def stream(
        self, queries: AsyncIterable[Query] | Iterable[Query], *, timeout_s: float = SESSION_S
    ) -> AsyncIterator[tuple[Query, Outcome]]:
        """Ask questions as they come, and yield each with its answer; see `EnclaveClient.stream`."""
        refused: list[tuple[Query, Outcome]] = []
        feed, attempts = AsyncFeed(queries, partial(self._pended, refused)), self._patience.begin(timeout_s)
        try:
            while (number := await feed.next_stream()) is not None:
                try:
                    async with (
                        self._lines.borrowed(timeout_s=attempts.left_s) as line,
                        aclosing(self._streamed(line, feed, number, attempts)) as streamed,
                    ):
                        async for answered in streamed:
                            yield answered
                            while refused:
                                yield refused.pop(0)
                except VaultError as error:
                    for pending in feed.unanswered():
                        self._failed(pending, error)
                    await asyncio.sleep(attempts.pause_s(error))
            while refused:
                yield refused.pop(0)
            feed.require_whole()
        finally:
            await feed.close()

    async def quote(self, *, k: int | None = None, neighbors: int = 0, timeout_s: float | None = None) -> Quote:
        """Return what an answer would cost at most and what is left; nothing is searched and nothing charged."""
        asking = partial(operations.quoting, k=self._k(k, neighbors), neighbors=neighbors)
        return await self._done(asking, timeout_s)

    async def describe(self, *, timeout_s: float | None = None) -> Description:
        """Return what may be asked under this license, and on which terms."""
        return await self._done(operations.describing, timeout_s)

    async def account(self, *, timeout_s: float | None = None) -> Account:
        """Return what this licensee has left."""
        return await self._done(operations.accounting, timeout_s)

    async def pay(self, *, is_accepting: bool = False, timeout_s: float | None = None) -> PaidChannel | None:
        """Pay by voucher for what was received, now; see `EnclaveClient.pay`."""
        async with self._paying:
            if is_accepting:
                self._payer.demand()
            settling = partial(self._payer.settling, is_accepting=is_accepting)
            return await self._done(settling, timeout_s)

    async def standing(self, *, timeout_s: float | None = None) -> PaidChannel | None:
        """Return where the channel stands, None where there is none; nothing is signed."""
        return await self._done(self._payer.looking, timeout_s)

    async def close(self) -> None:
        """Close the channels; the sessions end with them."""
        await self._lines.close()
        await asyncio.to_thread(self._payer.note)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _paid(
        self, operation: Callable[[ClientSession, Pending], Exchange[Paid]], pending: Pending, timeout_s: float | None
    ) -> Paid:
        self._hold(pending)
        try:
            paid = await self._done(lambda session: operation(session, pending), timeout_s, [pending])
        except VaultError as error:
            self._failed(pending, error)
            raise
        self._settled(pending, paid)
        return paid if self._keep is None else await asyncio.to_thread(self._kept, paid)

    async def _batch(self, chunk: Sequence[Pending], attempts: Attempts) -> list[Outcome]:
        """Ask in one call, and again for those that may be asked again."""
        left, outcomes = self._held(chunk)
        while left:
            asked = [chunk[place] for place in left]
            operation = partial(operations.searching_batch, asked=asked)
            outcomes |= dict(zip(left, await self._attempted(operation, attempts, asked), strict=True))
            left, refusal = self._repeated(chunk, outcomes, left)
            if refusal is None or not await self._has_waited(attempts, refusal):
                break
        return [await self._noted(pending, outcomes[place]) for place, pending in enumerate(chunk)]

    async def _has_waited(self, attempts: Attempts, refusal: Exception) -> bool:
        if isinstance(refusal, VoucherDue):
            return True  # paying takes the place of waiting
        try:
            await asyncio.sleep(attempts.pause_s(refusal))
        except VaultError:
            return False
        return True

    async def _streamed(
        self, line: Line[AsyncEnclaveChannel], feed: AsyncFeed, number: int, attempts: Attempts
    ) -> AsyncGenerator[tuple[Query, Outcome], None]:
        session, channel = line.session, line.channel
        if self._is_due(session):
            await self._pay_by(line, attempts)

        async def requests() -> AsyncIterator[pb.SearchRequest]:
            async for pending in feed.taken(number):
                yield operations.asking(session, pending)

        async with aclosing(channel.searches(requests(), timeout_s=attempts.left_s)) as responses:
            async for response in responses:
                pending = self._asked_for(feed.answered(bytes(response.request_id)))
                outcome = await channel.run(operations.checked_outcome(session, pending, response.outcome))
                attempts.succeeded()
                if isinstance(outcome, VoucherDue) and self._has_more_lines and self._may_pay(outcome):
                    outcome = await self._asked_alone(pending, attempts)
                yield pending.query, await self._noted(pending, outcome)
                if self._has_more_lines and self._is_due(session):
                    async with self._lines.borrowed(timeout_s=attempts.left_s) as other:
                        await self._pay_by(other, attempts)

    async def _asked_alone(self, pending: Pending, attempts: Attempts) -> Outcome:
        """Ask a question of a stream on another line, once what was due is paid."""
        try:
            return await self._attempted(partial(operations.searching, pending=pending), attempts, [pending])
        except VaultError as error:
            return error

    async def _pay_by(self, line: Line[AsyncEnclaveChannel], attempts: Attempts) -> None:
        async with self._paying:
            if self._is_due(line.session):
                await line.channel.run(self._payer.settling(line.session), timeout_s=attempts.left_s)

    async def _noted(self, pending: Pending, outcome: Outcome) -> Outcome:
        if self._keep is None or isinstance(outcome, VaultError):
            return self._outcome(pending, outcome)
        return await asyncio.to_thread(self._outcome, pending, outcome)

    async def _done(self, operation: Operation[Done], timeout_s: float | None, asked: Sequence[Pending] = ()) -> Done:
        return await self._attempted(operation, self._patience.begin(timeout_s), asked)

    async def _attempted(self, operation: Operation[Done], attempts: Attempts, asked: Sequence[Pending]) -> Done:
        """Do it on a line, and again on another one for as long as that is safe and in time.

        Before a question, what is due for earlier ones is paid.
        """
        while True:
            sent: Sequence[Pending] = ()
            try:
                async with self._lines.borrowed(timeout_s=attempts.left_s) as line:
                    if asked and self._is_due(line.session):
                        await self._pay_by(line, attempts)
                    sent = asked
                    done = await line.channel.run(operation(line.session), timeout_s=attempts.left_s)
                    self._newest = line.session
                    return done
            except VaultError as error:
                self._attempt_failed(sent, error)
                if not self._may_pay(error):
                    await asyncio.sleep(attempts.pause_s(error))
