"""Answers are joined of parts: the bytes are those that the generated classes would write."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from enclave.answer_wire import answer_outcome, batch_response, refusal_outcome, search_response, stream_response
from enclave.asked import Metered
from enclave.found import AS_IT_IS, Answer, Found
from enclave.output import PassageWriter
from enclave.v1 import retrieval_pb2 as pb
from enclave.wire_parts import part
from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.envelope import Passage, passage_commitment
from vault.errors import Overloaded

MANIFEST = Cid.of(DAG_CBOR, b"manifest")
WRITER = PassageWriter(MANIFEST, bytes(20))
ANSWERS = st.builds(
    Answer,
    found=st.just(()),
    vector=st.binary(max_size=40),
    embed_s=st.sampled_from([0.0, 0.25]),
    search_s=st.floats(0, 1),
)


@st.composite
def passages(draw: st.DrawFn) -> Found:
    text = "tide " * draw(st.sampled_from([0, 1, 20, 30, 3_000]))
    body, salt = Passage("document", 0, len(text), text).encoded(), seeded(text)
    return WRITER.found(
        draw(st.sampled_from([0, 1, 127, 128, 2**40])),
        draw(st.sampled_from([0.0, -0.0, 1.0, -1 / 3])),
        AS_IT_IS,
        body=body,
        salt=salt,
        commitment=passage_commitment(salt, body),
        path=(seeded("sibling"),),
    )


def message_of(metered: Metered, answer: Answer, *, is_repeat: bool) -> pb.SearchResponse:
    return pb.SearchResponse(
        passages=[
            pb.Passage(
                manifest=MANIFEST.binary,
                index=found.index,
                score=found.score,
                body=found.message.body,
                salt=found.message.salt,
            )
            for found in metered.passages
        ],
        receipt=metered.receipt,
        query_vector=answer.vector,
        is_partial=metered.is_partial,
        is_repeat=is_repeat,
        embed_s=answer.embed_s,
        search_s=answer.search_s,
    )


@given(
    found=st.lists(passages(), max_size=4),
    answer=ANSWERS,
    receipt=st.binary(max_size=300),
    is_partial=st.booleans(),
    is_repeat=st.booleans(),
)
def test_its_bytes_are_those_of_the_message(
    found: list[Found], answer: Answer, receipt: bytes, is_partial: bool, is_repeat: bool
) -> None:
    metered = Metered(passages=tuple(found), receipt=receipt, is_partial=is_partial)
    message = message_of(metered, answer, is_repeat=is_repeat)
    assert search_response(metered, answer, is_repeat=is_repeat) == message.SerializeToString(deterministic=True)
    outcome = answer_outcome(metered, answer, is_repeat=is_repeat)
    refusal = Overloaded("the enclave has more queries than it can answer now", wait_s=2.0)
    expected = [
        pb.Outcome(answer=message),
        pb.Outcome(
            refusal=pb.Refusal(reason="OVERLOADED", message=str(refusal), retry_after_ms=2000),
        ),
    ]
    assert pb.SearchBatchResponse.FromString(
        batch_response([outcome, refusal_outcome(refusal)])
    ) == pb.SearchBatchResponse(outcomes=expected)
    assert pb.SearchStreamResponse.FromString(stream_response(seeded("id"), outcome)) == pb.SearchStreamResponse(
        request_id=seeded("id"), outcome=expected[0]
    )


def test_a_passage_says_by_itself_what_it_is() -> None:
    found = WRITER.found(7, -0.0, AS_IT_IS, body=b"body", salt=bytes(32), commitment=bytes(32), path=())
    assert found.message == pb.Passage(manifest=MANIFEST.binary, index=7, body=b"body", salt=bytes(32))
    assert "body" not in repr(found).replace("body=", "")


@given(st.integers(0, 70_000))
@example(0)
@example(127)
@example(128)
@example(16_383)
@example(16_384)
@example(2_097_152)
def test_a_part_has_the_length_that_protocol_buffers_give_it(size: int) -> None:
    inner = pb.SearchResponse(receipt=bytes(size)).SerializeToString() if size else b""
    assert (
        part(pb.Outcome.ANSWER_FIELD_NUMBER, inner)
        == pb.Outcome(answer=pb.SearchResponse.FromString(inner)).SerializeToString()
    )
