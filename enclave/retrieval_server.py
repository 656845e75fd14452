"""The gRPC edge of sessions and questions: parse, one call, render."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from enclave.answer_wire import batch_response, search_response
from enclave.question_wire import count_query, embed_query, query_from
from enclave.service import EnclaveService
from enclave.streaming import answer_stream, fitting, outcome_of
from enclave.v1 import retrieval_pb2 as pb
from enclave.v1 import retrieval_pb2_grpc as rpc
from vault.channel import VOUCHER_BYTES_MAX, Voucher
from vault.errors import MalformedObject
from vault.license import Delegation, License
from vault.question import BATCH_MAX, batch_digest, channel_digest, voucher_digest
from vault.receipt import FIRST_PREVIOUS
from vault.session import SessionOpening
from vault.unpaid import Debt
from vault.wire import answered

Context = grpc.aio.ServicerContext[Any, Any]


class RetrievalServicer(rpc.RetrievalServiceServicer):  # type: ignore[misc]  # generated code is untyped
    """Sessions and questions."""

    def __init__(self, service: EnclaveService) -> None:
        self._service = service

    @answered
    async def OpenSession(  # noqa: N802, D102
        self, request: pb.OpenSessionRequest, _: Context
    ) -> pb.OpenSessionResponse:
        session, last_receipt, expires_at = self._service.open_session(
            License.from_bytes(request.license),
            Delegation.from_bytes(request.delegation),
            SessionOpening.from_bytes(request.opening),
        )
        return pb.OpenSessionResponse(session=session, last_receipt=last_receipt, expires_at=expires_at)

    @answered
    async def Search(self, request: pb.SearchRequest, _: Context) -> bytes:  # noqa: N802, D102
        query = query_from(request.question)
        session = self._service.authenticated(
            request.session, request.sequence, request.mac, body=query.body_digest(), last_receipt=request.last_receipt
        )
        metered, answer, is_repeat = await self._service.search(session, query, request.last_receipt)
        return search_response(metered, answer, is_repeat=is_repeat)

    @answered
    async def SearchBatch(  # noqa: N802, D102
        self, request: pb.SearchBatchRequest, _: Context
    ) -> bytes:
        if not 1 <= len(request.questions) <= BATCH_MAX:
            raise MalformedObject(f"a batch holds 1 … {BATCH_MAX} questions")
        queries = [query_from(question) for question in request.questions]
        if len({query.request for query in queries}) < len(queries):
            raise MalformedObject("every question of a batch has a request id of its own")
        session = self._service.authenticated(
            request.session,
            request.sequence,
            request.mac,
            body=batch_digest(queries),
            last_receipt=request.last_receipt,
        )
        outcomes = await asyncio.gather(
            *(outcome_of(self._service, session, query, request.last_receipt) for query in queries)
        )
        return batch_response(fitting(outcomes))

    @answered
    async def SearchStream(  # noqa: N802, D102
        self, requests: AsyncIterator[pb.SearchRequest], context: Context
    ) -> None:
        await answer_stream(self._service, requests, context.write)

    @answered
    async def Embed(self, request: pb.EmbedRequest, _: Context) -> pb.EmbedResponse:  # noqa: N802, D102
        query = embed_query(request)
        session = self._service.authenticated(
            request.session, request.sequence, request.mac, body=query.body_digest(), last_receipt=request.last_receipt
        )
        metered, answer, is_repeat = await self._service.search(session, query, request.last_receipt)
        return pb.EmbedResponse(
            vector=answer.vector, receipt=metered.receipt, is_repeat=is_repeat, embed_s=answer.embed_s
        )

    @answered
    async def Count(self, request: pb.CountRequest, _: Context) -> pb.CountResponse:  # noqa: N802, D102
        query = count_query(request)
        session = self._service.authenticated(
            request.session, request.sequence, request.mac, body=query.body_digest(), last_receipt=request.last_receipt
        )
        metered, answer, is_repeat = await self._service.search(session, query, request.last_receipt)
        return pb.CountResponse(
            count=int.from_bytes(answer.vector, "big"), receipt=metered.receipt, is_repeat=is_repeat
        )

    @answered
    async def Quote(self, request: pb.QuoteRequest, _: Context) -> pb.QuoteResponse:  # noqa: N802, D102
        quote = self._service.quote(
            request.session, request.sequence, request.mac, k=request.k, neighbors=request.neighbors
        )
        return pb.QuoteResponse(
            price_max=quote.price_max,
            price_min=quote.price_min,
            passages_max=quote.passages_max,
            passages_left=quote.passages_left,
            credit=quote.credit,
            spend_left=quote.spend_left,
        )

    @answered
    async def Describe(self, request: pb.DescribeRequest, _: Context) -> pb.DescribeResponse:  # noqa: N802, D102
        policy, datasets = self._service.describe(request.session, request.sequence, request.mac)
        return pb.DescribeResponse(
            datasets=[
                pb.DatasetDescription(
                    manifest=manifest.cid().binary,
                    title=manifest.title,
                    passages=manifest.passages,
                    owner=manifest.owner,
                    model=manifest.model,
                    index=index.kind,
                    recall_ppm=index.recall_ppm,
                    recall_k=index.k,
                    recall_queries=index.queries,
                    recall_source=index.source,
                    only=only,
                )
                for manifest, index, only in datasets
            ],
            k_max=policy.k_max,
            queries_per_minute=policy.queries_per_minute,
            price_per_query=policy.price_per_query,
            price_per_passage=policy.price_per_passage,
            currency=policy.currency,
            owners_min=policy.output.owners_min,
            counts_in=policy.output.counts_from,
        )

    @answered
    async def GetAccount(self, request: pb.GetAccountRequest, _: Context) -> pb.GetAccountResponse:  # noqa: N802, D102
        account = self._service.account(request.session, request.sequence, request.mac)
        credit, spent, cap, seen, most, parts = account
        return pb.GetAccountResponse(
            credit=credit,
            spent=spent,
            spend_cap=cap,
            passages_seen=seen,
            passages_max=most,
            parts=[
                pb.SeenPart(
                    owner=part.owner,
                    manifest=part.manifest.binary if part.manifest is not None else b"",
                    seen=part.seen,
                    passages_max=part.passages_max,
                    passages=part.passages,
                )
                for part in parts
            ],
        )

    @answered
    async def GetChannel(self, request: pb.GetChannelRequest, _: Context) -> pb.ChannelState:  # noqa: N802, D102
        session = self._service.authenticated(
            request.session, request.sequence, request.mac, body=channel_digest(), last_receipt=FIRST_PREVIOUS
        )
        return _state_of(self._service.promising.debt(session))

    @answered
    async def PayVoucher(self, request: pb.PayVoucherRequest, _: Context) -> pb.ChannelState:  # noqa: N802, D102
        voucher = Voucher.from_bytes(request.voucher, bytes_max=VOUCHER_BYTES_MAX)
        session = self._service.authenticated(
            request.session,
            request.sequence,
            request.mac,
            body=voucher_digest(request.voucher),
            last_receipt=FIRST_PREVIOUS,
        )
        return _state_of(await self._service.promising.pay(session, voucher))


def _state_of(debt: Debt) -> pb.ChannelState:
    return pb.ChannelState(
        channel=debt.channel.encoded(),
        voucher=debt.voucher.encoded() if debt.voucher is not None else b"",
        unpaid=debt.unpaid,
        unpaid_queries=debt.queries,
        due=debt.due,
    )
