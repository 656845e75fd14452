"""Questions on the wire: one translation each way, so that client and server cannot differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from enclave.v1 import retrieval_pb2 as pb
from storage.cid import Cid
from vault.errors import MalformedObject
from vault.question import PLAIN, Mode, Options, Query

_MODES: Final = {
    pb.Options.MODE_DENSE: Mode.DENSE,
    pb.Options.MODE_KEYWORD: Mode.KEYWORD,
    pb.Options.MODE_HYBRID: Mode.HYBRID,
}
_NUMBERS: Final = {mode: number for number, mode in _MODES.items()}


def query_from(question: pb.Question) -> Query:
    """Return the question of a message. Raises `MalformedObject`, or `InvalidCid`."""
    options = question.options
    if options.mode not in _MODES:
        raise MalformedObject(f"there is no search mode {options.mode}")
    return Query(
        request=question.request_id,
        policy=Cid(question.policy),
        text=question.text,
        vector=question.vector,
        k=question.k,
        salt=question.salt,
        datasets=tuple(map(Cid, question.datasets)),
        price_max=question.price_max,
        options=Options(
            mode=_MODES[options.mode],
            where=options.where,
            distinct=options.distinct,
            diversity=options.diversity,
            neighbors=options.neighbors,
            rerank=options.rerank,
        )
        if question.HasField("options")
        else PLAIN,
    )


def question_of(query: Query) -> pb.Question:
    """Return the message of a question."""
    options = query.options
    return pb.Question(
        request_id=query.request,
        policy=query.policy.binary,
        text=query.text,
        vector=query.vector,
        k=query.k,
        salt=query.salt,
        datasets=[cid.binary for cid in query.datasets],
        price_max=query.price_max,
        options=None
        if options == PLAIN
        else pb.Options(
            mode=_NUMBERS[options.mode],
            where=options.where,
            distinct=options.distinct,
            diversity=options.diversity,
            neighbors=options.neighbors,
            rerank=options.rerank,
        ),
    )


def embed_query(request: pb.EmbedRequest) -> Query:
    """Return the question that asks for a text's own vector."""
    return Query(
        request=request.request_id,
        policy=Cid(request.policy),
        text=request.text,
        k=0,
        salt=request.salt,
        price_max=request.price_max,
    )


def count_query(request: pb.CountRequest) -> Query:
    """Return the question that asks how many passages meet a filter. Raises `MalformedObject` where there is none."""
    if not request.where:
        raise MalformedObject("a count needs a filter; Describe says how many passages a dataset has")
    return Query(
        request=request.request_id,
        policy=Cid(request.policy),
        text="",
        k=0,
        salt=request.salt,
        datasets=tuple(map(Cid, request.datasets)),
        price_max=request.price_max,
        options=replace(PLAIN, where=request.where),
    )
