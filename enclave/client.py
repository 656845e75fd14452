"""The client an AI app embeds: it believes nothing that the evidence does not prove (rules E5, E6).

    with EnclaveClient.connect("127.0.0.1:7001", credential, appraiser, allow_simulated=True) as coffer:
        answer = coffer.search("how do I open a zip file?", k=5)

`connect` reads the server's certificate, makes it the only root of the channel, asks for evidence over its own nonce,
and checks evidence, binding, leases, head and policy before it sends a word. What it verified of a TLS key holds in
this process until the leases end (`enclave.proven`). A reconnect is a new session. Importing this loads neither torch,
faiss, SQL nor wallets.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Self, TypedDict, Unpack

from enclave.answers import Account, Answer, Count, DatasetDescription, Description, Embedding, Result
from enclave.channel import EnclaveChannel
from enclave.client_session import SESSION_S, ClientSession
from enclave.credential import Credential
from enclave.proven import PROVEN, Proven, ProvenEnclaves, Question
from enclave.public_client import LogClient
from enclave.question_wire import question_of
from enclave.v1 import retrieval_pb2 as pb
from enclave.v1 import retrieval_pb2_grpc as rpc
from enclave.verified import policy_in_force
from storage.cid import Cid
from vault.codec import INTEGER_MAX
from vault.errors import InvalidReceipt, VaultError
from vault.evidence import Appraiser
from vault.question import (
    PLAIN,
    Options,
    Query,
    Quote,
    account_digest,
    batch_digest,
    count_bytes,
    describe_digest,
    quote_digest,
)
from vault.receipt import FIRST_PREVIOUS
from vault.wire import error_of

__all__ = ["Account", "Answer", "Description", "Embedding", "EnclaveClient", "Result"]


class Asking(TypedDict, total=False):
    """What `EnclaveClient.question` takes beside the text and k."""

    vector: bytes
    datasets: Sequence[Cid]
    options: Options
    price_max: int


class EnclaveClient:
    """One session of one licensee with one attested enclave. Use it from one thread at a time."""

    def __init__(
        self,
        channel: EnclaveChannel,
        credential: Credential,
        enclave: Proven,
        server_nonce: bytes,
        *,
        spend_cap: int,
        clock: Callable[[], float],
        proven: ProvenEnclaves,
    ) -> None:
        self.appraisal = enclave.appraisal
        self.policy = policy_in_force(enclave.grounds, credential.license.policy)
        self.log = LogClient(channel, enclave.grounds.terms)
        self._channel = channel
        self._stub = rpc.RetrievalServiceStub(channel.channel)
        self._session = ClientSession(
            channel, credential, enclave, server_nonce, spend_cap=spend_cap, clock=clock, proven=proven
        )

    @classmethod
    def connect(
        cls,
        address: str,
        credential: Credential,
        appraiser: Appraiser,
        *,
        allow_simulated: bool = False,
        spend_cap: int | None = None,
        clock: Callable[[], float] = time.time,
        proven: ProvenEnclaves = PROVEN,
    ) -> Self:
        """Verify the enclave at `host:port`, pin it and open a session.

        Args:
            spend_cap: micro-units this session may spend; the delegation's cap holds as well.
            clock: UTC seconds; leases are judged by the caller's own clock (rule F2).
            proven: what was verified before; by default, by anyone in this process.
        Raises: `AccessDenied`, `InvalidSignature`, `StaleState` for an enclave that does not prove itself;
            `Revoked` or `AccessDenied` for a license that does not hold; `ServiceUnavailable`.
        """
        channel = EnclaveChannel(address)
        try:
            question = Question(
                tls_key=channel.tls_key,
                genesis=credential.genesis,
                policy=credential.license.policy,
                allow_simulated=allow_simulated,
            )
            enclave, nonce = proven.prove(channel, question, appraiser=appraiser, at=int(clock()))
            cap = credential.delegation.spend_cap if spend_cap is None else spend_cap
            return cls(channel, credential, enclave, nonce, spend_cap=cap, clock=clock, proven=proven)
        except BaseException:
            channel.close()
            raise

    def question(
        self,
        text: str = "",
        *,
        k: int,
        vector: bytes = b"",
        datasets: Sequence[Cid] = (),
        options: Options = PLAIN,
        price_max: int = INTEGER_MAX,
        request_id: bytes | None = None,
        salt: bytes | None = None,
    ) -> Query:
        """Return a question to send once or, after a failed call, again.

        Args:
            text: at most 4096 characters; may stay empty where `vector` asks.
            vector: float32 little-endian, length 1.
            datasets: manifests to ask; none for all that the policy names.
            price_max: micro-units; an answer that may cost more is refused.
            request_id: 32 bytes; give the one of a call that failed midway, and its salt, to get that answer without
                a second charge.
        """
        return Query(
            request=request_id or self._session.drawn(),
            policy=self._session.credential.license.policy,
            text=text,
            k=k,
            salt=salt or secrets.token_bytes(32),
            vector=vector,
            datasets=tuple(sorted(datasets)),
            price_max=price_max,
            options=options,
        )

    def search(
        self,
        text: str = "",
        *,
        k: int,
        request_id: bytes | None = None,
        salt: bytes | None = None,
        **asked: Unpack[Asking],
    ) -> Answer:
        """Return the passages nearest to `text`, with a receipt already checked against them.

        It takes what `question` takes.

        Raises: `CreditExhausted`, `BudgetExhausted`, `RateExceeded`, `Overloaded`, `Revoked`, `AccessDenied`,
            `RequestConflict`, `ServiceUnavailable`: nothing was charged; `InvalidReceipt`: the enclave's answer does
            not hold.
        """
        query = self.question(text, k=k, request_id=request_id, salt=salt, **asked)
        return self._session.checked(query, self.unchecked(query))

    def search_batch(self, queries: Sequence[Query]) -> list[Answer | VaultError]:
        """Return for each of 1 … 64 questions its answer, or why there is none; each is metered by itself.

        Raises: what refuses the whole call; `InvalidReceipt` for an answer that does not hold.
        """
        response = self.unchecked_batch(queries)
        if len(response.outcomes) != len(queries):
            raise InvalidReceipt("the enclave answered another number of questions than were asked")
        return [self._outcome(query, outcome) for query, outcome in zip(queries, response.outcomes, strict=True)]

    def unchecked(self, query: Query) -> pb.SearchResponse:
        """Return the bare response, whose receipt nobody checked: for measuring, and for tests that look inside."""
        response: pb.SearchResponse = self._channel.call(self._stub.Search, self._request(query))
        return response

    def unchecked_batch(self, queries: Sequence[Query]) -> pb.SearchBatchResponse:
        """Return the bare response to several questions, likewise."""
        for query in queries:
            self._session.send(query)
        sequence, mac = self._session.place(batch_digest(queries))
        request = pb.SearchBatchRequest(
            session=self._session.id,
            sequence=sequence,
            mac=mac,
            questions=[question_of(query) for query in queries],
            last_receipt=self._session.last_receipt,
        )
        response: pb.SearchBatchResponse = self._channel.call(self._stub.SearchBatch, request)
        return response

    def stream(self, queries: Iterable[Query]) -> Iterator[tuple[Query, Answer | VaultError]]:
        """Ask questions as they come, and yield each with its answer as soon as it is there, in any order.

        Raises: what ends the whole stream; `InvalidReceipt` for an answer that does not hold.
        """
        asked: dict[bytes, Query] = {}

        def requests() -> Iterator[pb.SearchRequest]:
            for query in queries:
                asked[query.request] = query
                yield self._request(query)

        for response in self._channel.stream(self._stub.SearchStream, requests(), timeout_s=SESSION_S):
            query = asked.pop(bytes(response.request_id), None)
            if query is None:
                raise InvalidReceipt("request: an answer to a question that was never asked")
            yield query, self._outcome(query, response.outcome)

    def embed(self, text: str, *, price_max: int = INTEGER_MAX) -> Embedding:
        """Return a text's vector; it is charged like an answer of no passages."""
        query = self.question(text, k=0, price_max=price_max)
        self._session.send(query)
        sequence, mac = self._session.place(query.body_digest())
        request = pb.EmbedRequest(
            session=self._session.id,
            sequence=sequence,
            mac=mac,
            request_id=query.request,
            policy=query.policy.binary,
            text=text,
            salt=query.salt,
            price_max=price_max,
            last_receipt=self._session.last_receipt,
        )
        response = self._channel.call(self._stub.Embed, request)
        as_answer = pb.SearchResponse(
            receipt=response.receipt, query_vector=response.vector, is_repeat=response.is_repeat
        )
        answer = self._session.checked(query, as_answer)
        return Embedding(
            vector=response.vector,
            receipt=answer.receipt,
            file=answer.file,
            is_repeat=response.is_repeat,
            embed_s=response.embed_s,
        )

    def count(self, where: bytes, *, datasets: Sequence[Cid] = (), price_max: int = INTEGER_MAX) -> Count:
        """Return how many passages meet a filter, where the policy tells that; charged like an answer of no passages.

        Args:
            where: the filter, canonical DAG-CBOR.
        Raises: `AccessDenied` where the policy does not tell it.
        """
        query = self.question(k=0, datasets=datasets, options=replace(PLAIN, where=where), price_max=price_max)
        self._session.send(query)
        sequence, mac = self._session.place(query.body_digest())
        request = pb.CountRequest(
            session=self._session.id,
            sequence=sequence,
            mac=mac,
            request_id=query.request,
            policy=query.policy.binary,
            where=where,
            datasets=[cid.binary for cid in query.datasets],
            salt=query.salt,
            price_max=price_max,
            last_receipt=self._session.last_receipt,
        )
        response = self._channel.call(self._stub.Count, request)
        counted = pb.SearchResponse(
            receipt=response.receipt, query_vector=count_bytes(response.count), is_repeat=response.is_repeat
        )
        answer = self._session.checked(query, counted)
        return Count(count=response.count, receipt=answer.receipt, file=answer.file, is_repeat=response.is_repeat)

    def quote(self, *, k: int, neighbors: int = 0) -> Quote:
        """Return what an answer would cost at most and what is left; nothing is searched and nothing charged."""
        sequence, mac = self._session.place(quote_digest(k, neighbors), confirms=FIRST_PREVIOUS)
        request = pb.QuoteRequest(
            session=self._session.id,
            sequence=sequence,
            mac=mac,
            k=k,
            neighbors=neighbors,
        )
        answer = self._channel.call(self._stub.Quote, request)
        return Quote(
            price_max=answer.price_max,
            price_min=answer.price_min,
            passages_max=answer.passages_max,
            passages_left=answer.passages_left,
            credit=answer.credit,
            spend_left=answer.spend_left,
        )

    def describe(self) -> Description:
        """Return what may be asked under this license, and on which terms."""
        sequence, mac = self._session.place(describe_digest(), confirms=FIRST_PREVIOUS)
        request = pb.DescribeRequest(session=self._session.id, sequence=sequence, mac=mac)
        answer = self._channel.call(self._stub.Describe, request)
        return Description(
            datasets=tuple(
                DatasetDescription(
                    manifest=Cid(one.manifest),
                    title=one.title,
                    passages=one.passages,
                    owner=one.owner,
                    model=one.model,
                    index=one.index,
                    recall_ppm=one.recall_ppm,
                    recall_k=one.recall_k,
                    recall_queries=one.recall_queries,
                    recall_source=one.recall_source,
                )
                for one in answer.datasets
            ),
            k_max=answer.k_max,
            queries_per_minute=answer.queries_per_minute,
            price_per_query=answer.price_per_query,
            price_per_passage=answer.price_per_passage,
            currency=answer.currency,
            owners_min=answer.owners_min,
            counts_in=answer.counts_in,
        )

    def account(self) -> Account:
        """Return what this licensee has left."""
        sequence, mac = self._session.place(account_digest(), confirms=FIRST_PREVIOUS)
        request = pb.GetAccountRequest(session=self._session.id, sequence=sequence, mac=mac)
        answer = self._channel.call(self._stub.GetAccount, request)
        return Account(
            credit=answer.credit,
            spent=answer.spent,
            spend_cap=answer.spend_cap,
            passages_seen=answer.passages_seen,
            passages_max=answer.passages_max,
        )

    def close(self) -> None:
        """Close the channel; the session ends with it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _request(self, query: Query) -> pb.SearchRequest:
        self._session.send(query)
        sequence, mac = self._session.place(query.body_digest())
        return pb.SearchRequest(
            session=self._session.id,
            sequence=sequence,
            mac=mac,
            question=question_of(query),
            last_receipt=self._session.last_receipt,
        )

    def _outcome(self, query: Query, outcome: pb.Outcome) -> Answer | VaultError:
        if outcome.HasField("refusal"):
            refusal = outcome.refusal
            return error_of(refusal.reason, refusal.message, wait_ms=refusal.retry_after_ms)
        return self._session.checked(query, outcome.answer)
