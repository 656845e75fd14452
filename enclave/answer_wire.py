"""Answers on the wire: each passage comes from the engine as it stands in the message, so here they are only joined.

What leaves is the bytes of the message that the file's functions are named after; a servicer hands them out as they are
(`vault.guard`).
"""

from __future__ import annotations

from collections.abc import Iterable

from enclave.asked import Metered
from enclave.found import Answer
from enclave.v1 import retrieval_pb2 as pb
from enclave.wire_parts import part
from vault.wire import retry_after_ms, status_of

_ANSWER = pb.Outcome.ANSWER_FIELD_NUMBER
_OUTCOMES = pb.SearchBatchResponse.OUTCOMES_FIELD_NUMBER
_OUTCOME = pb.SearchStreamResponse.OUTCOME_FIELD_NUMBER


def search_response(metered: Metered, answer: Answer, *, is_repeat: bool) -> bytes:
    """Return the `SearchResponse` of an answer that was booked."""
    rest = pb.SearchResponse(
        receipt=metered.receipt,
        query_vector=answer.vector,
        is_partial=metered.is_partial,
        is_repeat=is_repeat,
        embed_s=answer.embed_s,
        search_s=answer.search_s,
    )
    return b"".join([*[passage.sent for passage in metered.passages], rest.SerializeToString()])


def answer_outcome(metered: Metered, answer: Answer, *, is_repeat: bool) -> bytes:
    """Return the `Outcome` of a question that was answered."""
    return part(_ANSWER, search_response(metered, answer, is_repeat=is_repeat))


def refusal_outcome(error: Exception) -> bytes:
    """Return the `Outcome` of a question that was refused, with what a failed call of its own would say."""
    _, reason, message = status_of(error)
    refusal = pb.Refusal(reason=reason, message=message, retry_after_ms=retry_after_ms(error))
    outcome: bytes = pb.Outcome(refusal=refusal).SerializeToString()
    return outcome


def batch_response(outcomes: Iterable[bytes]) -> bytes:
    """Return the `SearchBatchResponse` of a batch's outcomes, in order."""
    return b"".join([part(_OUTCOMES, outcome) for outcome in outcomes])


def stream_response(request: bytes, outcome: bytes) -> bytes:
    """Return the `SearchStreamResponse` that answers one question of a stream."""
    head: bytes = pb.SearchStreamResponse(request_id=request).SerializeToString()
    return head + part(_OUTCOME, outcome)
