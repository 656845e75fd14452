"""The client of programs that block; threads may share one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from enclave import operations
from enclave.answers import Account, Answer, Count, Description, Embedding
from enclave.channel import EnclaveChannel
from enclave.client_core import Asking, ClientCore, Keeper, Outcome, Paid
from enclave.client_session import SESSION_S, ClientSession, Pending
from enclave.credential import Credential
from enclave.dialing import Dialing
from enclave.exchange import Exchange
from enclave.feed import Feed
from enclave.lines import LINES_MAX, Line, Lines
from enclave.patience import Attempts, Patience
from enclave.payer import Paid as PaidChannel
from enclave.payer import Payer
from enclave.v1 import retrieval_pb2 as pb
from storage.cid import Cid
from vault.codec import INTEGER_MAX
from vault.errors import VaultError, VoucherDue
from vault.evidence import Appraiser
from vault.question import BATCH_MAX, PLAIN, Query, Quote

if TYPE_CHECKING:
    from enclave.public_client import LogClient

Done = TypeVar("Done")
Operation = Callable[[ClientSession], Exchange[Done]]


class EnclaveClient(ClientCore):
    """Asks one attested enclave as one licensee. `enclave.client.connect` makes one."""

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
        """Verify the enclave and open the first session."""
        super().__init__(dialing, max_spend=max_spend, keep=keep, payer=payer)
        self._paying = threading.Lock()  # one payment at a time: whoever comes next finds it made
        self._has_more_lines = lines_max > 1
        self._patience = patience or Patience()
        self._lines = Lines(dialing, most=lines_max)
        with self._lines.borrowed(timeout_s=self._patience.timeout_s) as line:
            self._newest = line.session

    @classmethod
    def connect(
        cls,
        address: str,
        credential: Credential,
        appraiser: Appraiser,
        *,
        max_spend: int | None = None,
        keep: Keeper | None = None,
        patience: Patience | None = None,
        payer: Payer | None = None,
        **rules: Any,
    ) -> Self:
        """Verify the enclave at `host:port`, pin it and open a session.

        Args:
            max_spend: micro-units that this client may spend, counted on this side.
            keep: takes each receipt once it is checked.
            payer: signs vouchers; by default one that forgets with this client what was received and promised.
            rules: `allow_simulated`, `spend_cap`, `clock`, `proven`, as in `Dialing`.
        Raises: `AccessDenied`, `InvalidSignature`, `StaleState` for an enclave that does not prove itself;
            `Revoked` or `AccessDenied` for a license that does not hold; `ServiceUnavailable`.
        """
        dialing = Dialing(address=address, credential=credential, appraiser=appraiser, **rules)
        return cls(dialing, max_spend=max_spend, keep=keep, patience=patience, payer=payer)

    def search(
        self,
        text: str = "",
        *,
        k: int | None = None,
        request_id: bytes | None = None,
        salt: bytes | None = None,
        timeout_s: float | None = None,
        **asked: Unpack[Asking],
    ) -> Answer:
        """Return the passages nearest to `text`, with a receipt already checked against them and kept.

        It takes what `question` takes. A call that nobody answered is made again, under the same request id.

        Raises: `CreditExhausted`, `BudgetExhausted`, `RateExceeded`, `Overloaded`, `Revoked`, `AccessDenied`,
            `RequestConflict`: nothing was charged; `ServiceUnavailable`: nothing that the same request id would not
            find; `InvalidReceipt`: the enclave's answer does not hold; `ReceiptNotKept`.
        """
        pending = self._fresh(text, k, request_id, salt, asked)
        return self._paid(operations.searching, pending, timeout_s)

    def embed(self, text: str, *, price_max: int = INTEGER_MAX, timeout_s: float | None = None) -> Embedding:
        """Return a text's vector; it is charged like an answer of no passages. Raises what `search` raises."""
        pending = self._fresh(text, 0, None, None, Asking(price_max=price_max))
        return self._paid(operations.embedding, pending, timeout_s)

    def count(
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
        return self._paid(operations.counting, self._fresh("", 0, request_id, salt, asked), timeout_s)

    def search_batch(
        self,
        queries: Sequence[Query | str],
        *,
        k: int | None = None,
        timeout_s: float | None = None,
        **asked: Unpack[Asking],
    ) -> list[Outcome]:
        """Return for each question its answer, or why there is none; each is metered by itself.

        They go in calls of up to 64. `k` and `asked` are for questions given as texts.

        Raises: what refuses the first call as a whole; `InvalidReceipt` for an answer that does not hold.
        """
        pendings = self._each(queries, k, asked)
        outcomes: list[Outcome] = []
        for start in range(0, len(pendings), BATCH_MAX):
            chunk = pendings[start : start + BATCH_MAX]
            try:
                outcomes += self._batch(chunk, self._patience.begin(timeout_s))
            except VaultError as error:
                if not outcomes:
                    raise
                outcomes += [error] * len(chunk)  # what was paid for before is not thrown away
        return outcomes

    def stream(self, queries: Iterable[Query], *, timeout_s: float = SESSION_S) -> Iterator[tuple[Query, Outcome]]:
        """Ask questions as they come, and yield each with its answer as soon as it is there, in any order.

        Where the stream breaks, those without an answer go into the next one, under their request ids.

        Raises: what ends the whole stream; `InvalidReceipt` for an answer that does not hold; what `queries` raises.
        """
        refused: list[tuple[Query, Outcome]] = []
        feed, attempts = Feed(queries, partial(self._pended, refused)), self._patience.begin(timeout_s)
        while (number := feed.next_stream()) is not None:
            try:
                with self._lines.borrowed(timeout_s=attempts.left_s) as line:
                    for answered in self._streamed(line, feed, number, attempts):
                        yield answered
                        while refused:
                            yield refused.pop(0)
            except VaultError as error:
                for pending in feed.unanswered():
                    self._failed(pending, error)
                self._sleep(attempts.pause_s(error))
        yield from refused
        feed.require_whole()

    def quote(self, *, k: int | None = None, neighbors: int = 0, timeout_s: float | None = None) -> Quote:
        """Return what an answer would cost at most and what is left; nothing is searched and nothing charged."""
        asking = partial(operations.quoting, k=self._k(k, neighbors), neighbors=neighbors)
        return self._done(asking, timeout_s)

    def describe(self, *, timeout_s: float | None = None) -> Description:
        """Return what may be asked under this license, and on which terms."""
        return self._done(operations.describing, timeout_s)

    def account(self, *, timeout_s: float | None = None) -> Account:
        """Return what this licensee has left."""
        return self._done(operations.accounting, timeout_s)

    def pay(self, *, is_accepting: bool = False, timeout_s: float | None = None) -> PaidChannel | None:
        """Pay by voucher for what was received, now; return where the channel stands, None where there is none.

        Args:
            is_accepting: pay whatever the enclave says is due; a person decides that.
        Raises: `ExcessiveDemand` where that is more than was received and may be unpaid; `CreditExhausted`.
        """
        with self._paying:
            if is_accepting:
                self._payer.demand()
            return self._done(partial(self._payer.settling, is_accepting=is_accepting), timeout_s)

    def standing(self, *, timeout_s: float | None = None) -> PaidChannel | None:
        """Return where the channel stands, None where there is none; nothing is signed."""
        return self._done(self._payer.looking, timeout_s)

    @contextmanager
    def log(self) -> Iterator[LogClient]:
        """Lend the enclave's public log while the block runs, on a channel whose enclave proved itself."""
        from enclave.public_client import LogClient

        with self._lines.borrowed(timeout_s=self._patience.timeout_s) as line:
            yield LogClient(line.channel, line.session.footing.attested.terms)

    def unchecked(self, query: Query) -> pb.SearchResponse:
        """Return the bare response, whose receipt nobody checked: for measuring, and for tests that look inside."""
        return self._done(partial(operations.searching_unchecked, query=self._pending(query).query), None)

    def unchecked_batch(self, queries: Sequence[Query]) -> pb.SearchBatchResponse:
        """Return the bare response to several questions, likewise."""
        asked = [self._pending(query).query for query in queries]
        return self._done(partial(operations.searching_batch_unchecked, queries=asked), None)

    def close(self) -> None:
        """Close the channels; the sessions end with them."""
        self._lines.close()
        self._payer.note()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _paid(
        self, operation: Callable[[ClientSession, Pending], Exchange[Paid]], pending: Pending, timeout_s: float | None
    ) -> Paid:
        self._hold(pending)
        try:
            paid = self._done(lambda session: operation(session, pending), timeout_s, [pending])
        except VaultError as error:
            self._failed(pending, error)
            raise
        return self._kept(self._settled(pending, paid))

    def _batch(self, chunk: Sequence[Pending], attempts: Attempts) -> list[Outcome]:
        """Ask in one call, and again for those that may be asked again."""
        left, outcomes = self._held(chunk)
        while left:
            asked = [chunk[place] for place in left]
            operation = partial(operations.searching_batch, asked=asked)
            outcomes |= dict(zip(left, self._attempted(operation, attempts, asked), strict=True))
            left, refusal = self._repeated(chunk, outcomes, left)
            if refusal is None or not self._has_waited(attempts, refusal):
                break
        return [self._outcome(pending, outcomes[place]) for place, pending in enumerate(chunk)]

    def _has_waited(self, attempts: Attempts, refusal: Exception) -> bool:
        if isinstance(refusal, VoucherDue):
            return True  # paying takes the place of waiting
        try:
            self._sleep(attempts.pause_s(refusal))
        except VaultError:
            return False
        return True

    def _streamed(
        self, line: Line[EnclaveChannel], feed: Feed, number: int, attempts: Attempts
    ) -> Iterator[tuple[Query, Outcome]]:
        session = line.session
        if self._is_due(session):
            self._pay_by(line, attempts)
        requests = (operations.asking(session, pending) for pending in feed.taken(number))
        for response in line.channel.searches(requests, timeout_s=attempts.left_s):
            pending = self._asked_for(feed.answered(bytes(response.request_id)))
            outcome = line.channel.run(operations.checked_outcome(session, pending, response.outcome))
            attempts.succeeded()
            if isinstance(outcome, VoucherDue) and self._has_more_lines and self._may_pay(outcome):
                outcome = self._asked_alone(pending, attempts)
            yield pending.query, self._outcome(pending, outcome)
            if self._has_more_lines and self._is_due(session):
                with self._lines.borrowed(timeout_s=attempts.left_s) as other:
                    self._pay_by(other, attempts)

    def _asked_alone(self, pending: Pending, attempts: Attempts) -> Outcome:
        """Ask a question of a stream on another line, once what was due is paid."""
        try:
            return self._attempted(partial(operations.searching, pending=pending), attempts, [pending])
        except VaultError as error:
            return error

    def _pay_by(self, line: Line[EnclaveChannel], attempts: Attempts) -> None:
        with self._paying:
            if self._is_due(line.session):
                line.channel.run(self._payer.settling(line.session), timeout_s=attempts.left_s)

    def _done(self, operation: Operation[Done], timeout_s: float | None, asked: Sequence[Pending] = ()) -> Done:
        return self._attempted(operation, self._patience.begin(timeout_s), asked)

    def _attempted(self, operation: Operation[Done], attempts: Attempts, asked: Sequence[Pending]) -> Done:
        """Do it on a line, and again on another one for as long as that is safe and in time.

        Before a question, what is due for earlier ones is paid.
        """
        while True:
            sent: Sequence[Pending] = ()
            try:
                with self._lines.borrowed(timeout_s=attempts.left_s) as line:
                    if asked and self._is_due(line.session):
                        self._pay_by(line, attempts)
                    sent = asked
                    done = line.channel.run(operation(line.session), timeout_s=attempts.left_s)
                    self._newest = line.session
                    return done
            except VaultError as error:
                self._attempt_failed(sent, error)
                if not self._may_pay(error):
                    self._sleep(attempts.pause_s(error))

    _sleep = staticmethod(time.sleep)
