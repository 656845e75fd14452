"""What a client does by one session, each as an exchange: ask, ask several, embed, quote, describe, account."""

from __future__ import annotations

from collections.abc import Sequence

from enclave.answers import Account, Answer, Count, DatasetDescription, Description, Embedding
from enclave.client_session import ClientSession, Pending
from enclave.exchange import Call, Exchange, Service
from enclave.question_wire import question_of
from enclave.v1 import retrieval_pb2 as pb
from storage.cid import Cid
from vault.errors import InvalidReceipt, VaultError
from vault.question import Query, Quote, account_digest, batch_digest, count_bytes, describe_digest, quote_digest
from vault.receipt import FIRST_PREVIOUS
from vault.seen_parts import SeenPart
from vault.wire import error_of

Outcome = Answer | VaultError


def searching(session: ClientSession, pending: Pending) -> Exchange[Answer]:
    """Ask one question."""
    session.sending(pending)
    response = yield from searching_unchecked(session, pending.query)
    return (yield from session.checked(pending, response))


def searching_unchecked(session: ClientSession, query: Query) -> Exchange[pb.SearchResponse]:
    """Ask one question, and check nothing of the answer."""
    return (yield Call(Service.RETRIEVAL, "Search", search_request(session, query)))


def asking(session: ClientSession, pending: Pending) -> pb.SearchRequest:
    """Return the message that asks a question next in a session, and note that it is sent."""
    session.sending(pending)
    return search_request(session, pending.query)


def search_request(session: ClientSession, query: Query) -> pb.SearchRequest:
    """Return the message that asks a question next in a session."""
    last = session.last_receipt
    place = session.place(query.body_digest(), confirms=last)
    return pb.SearchRequest(**place, question=question_of(query), last_receipt=last)


def searching_batch(session: ClientSession, asked: Sequence[Pending]) -> Exchange[list[Outcome]]:
    """Ask up to 64 questions in one call; what refuses one of them stands in its place."""
    for pending in asked:
        session.sending(pending)
    response = yield from searching_batch_unchecked(session, [pending.query for pending in asked])
    if len(response.outcomes) != len(asked):
        raise InvalidReceipt("the enclave answered another number of questions than were asked")
    outcomes = []
    for pending, outcome in zip(asked, response.outcomes, strict=True):
        outcomes.append((yield from checked_outcome(session, pending, outcome)))
    return outcomes


def searching_batch_unchecked(session: ClientSession, queries: Sequence[Query]) -> Exchange[pb.SearchBatchResponse]:
    """Ask several questions in one call, and check nothing of the answers."""
    place = session.place(batch_digest(queries))
    questions = [question_of(query) for query in queries]
    request = pb.SearchBatchRequest(**place, questions=questions, last_receipt=session.last_receipt)
    return (yield Call(Service.RETRIEVAL, "SearchBatch", request))


def checked_outcome(session: ClientSession, pending: Pending, outcome: pb.Outcome) -> Exchange[Outcome]:
    """Return a checked answer, or why there is none; raise `InvalidReceipt` for an answer that does not hold."""
    if outcome.HasField("refusal"):
        refusal = outcome.refusal
        return error_of(refusal.reason, refusal.message, wait_ms=refusal.retry_after_ms)
    return (yield from session.checked(pending, outcome.answer))


def embedding(session: ClientSession, pending: Pending) -> Exchange[Embedding]:
    """Ask for a text's own vector."""
    session.sending(pending)
    query = pending.query
    request = pb.EmbedRequest(
        **session.place(query.body_digest()),
        request_id=query.request,
        policy=query.policy.binary,
        text=query.text,
        salt=query.salt,
        price_max=query.price_max,
        last_receipt=session.last_receipt,
    )
    response = yield Call(Service.RETRIEVAL, "Embed", request)
    as_answer = pb.SearchResponse(receipt=response.receipt, query_vector=response.vector, is_repeat=response.is_repeat)
    answer = yield from session.checked(pending, as_answer)
    return Embedding(
        vector=response.vector,
        receipt=answer.receipt,
        file=answer.file,
        is_repeat=response.is_repeat,
        embed_s=response.embed_s,
    )


def counting(session: ClientSession, pending: Pending) -> Exchange[Count]:
    """Ask how many passages meet the filter of a question that wants none of them."""
    session.sending(pending)
    query = pending.query
    request = pb.CountRequest(
        **session.place(query.body_digest()),
        request_id=query.request,
        policy=query.policy.binary,
        where=query.options.where,
        datasets=[cid.binary for cid in query.datasets],
        salt=query.salt,
        price_max=query.price_max,
        last_receipt=session.last_receipt,
    )
    response = yield Call(Service.RETRIEVAL, "Count", request)
    counted = pb.SearchResponse(
        receipt=response.receipt, query_vector=count_bytes(response.count), is_repeat=response.is_repeat
    )
    answer = yield from session.checked(pending, counted)
    return Count(count=response.count, receipt=answer.receipt, file=answer.file, is_repeat=response.is_repeat)


def quoting(session: ClientSession, k: int, neighbors: int) -> Exchange[Quote]:
    """Ask what an answer would cost."""
    place = session.place(quote_digest(k, neighbors), confirms=FIRST_PREVIOUS)
    answer = yield Call(Service.RETRIEVAL, "Quote", pb.QuoteRequest(**place, k=k, neighbors=neighbors))
    return Quote(
        price_max=answer.price_max,
        price_min=answer.price_min,
        passages_max=answer.passages_max,
        passages_left=answer.passages_left,
        credit=answer.credit,
        spend_left=answer.spend_left,
    )


def describing(session: ClientSession) -> Exchange[Description]:
    """Ask what may be asked, and on which terms."""
    place = session.place(describe_digest(), confirms=FIRST_PREVIOUS)
    answer = yield Call(Service.RETRIEVAL, "Describe", pb.DescribeRequest(**place))
    return Description(
        datasets=tuple(_dataset(one) for one in answer.datasets),
        k_max=answer.k_max,
        queries_per_minute=answer.queries_per_minute,
        price_per_query=answer.price_per_query,
        price_per_passage=answer.price_per_passage,
        currency=answer.currency,
        owners_min=answer.owners_min,
        counts_in=answer.counts_in,
    )


def accounting(session: ClientSession) -> Exchange[Account]:
    """Ask what is left."""
    place = session.place(account_digest(), confirms=FIRST_PREVIOUS)
    answer = yield Call(Service.RETRIEVAL, "GetAccount", pb.GetAccountRequest(**place))
    return Account(
        credit=answer.credit,
        spent=answer.spent,
        spend_cap=answer.spend_cap,
        passages_seen=answer.passages_seen,
        passages_max=answer.passages_max,
        parts=tuple(_part(part) for part in answer.parts),
    )


def _part(part: pb.SeenPart) -> SeenPart:
    return SeenPart(
        owner=bytes(part.owner),
        manifest=Cid(part.manifest) if part.manifest else None,
        seen=part.seen,
        passages_max=part.passages_max,
        passages=part.passages,
    )


def _dataset(one: pb.DatasetDescription) -> DatasetDescription:
    return DatasetDescription(
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
        only=one.only,
    )
