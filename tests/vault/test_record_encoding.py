"""Records written field by field have the bytes that the general encoder gives them (rule X1)."""

from __future__ import annotations

from dataclasses import fields
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from vault.codec import INTEGER_MAX, Digest, Length, Record, Value, encode, record
from vault.entry import Entry
from vault.receipt import Receipt
from vault.record_encoding import Written, encoded, encoded_fields, form_of, written_list


class Color(StrEnum):
    RED = "red"
    LONG = "a color whose name takes more than twenty-three bytes"


@record
class Part(Record):
    b: int
    aa: bytes
    text: str


@record
class Whole(Record):
    """Fields before and after "type" in canonical order, of every form."""

    TYPE: ClassVar[str] = "test/whole/v1"

    zero: bool
    link: Cid
    name: Annotated[str, Length(0, 400)]
    typf: int  # one after "type"
    typd: int  # one before it
    parts: tuple[Part, ...]
    links: tuple[Cid, ...]
    digest: Digest
    path: tuple[Digest, ...]
    color: Color
    maybe: Part | None
    data: Annotated[bytes, Length(0, 70_000)]
    a_rather_long_name_of_a_field: int = 0


INTEGERS = st.one_of(
    st.integers(0, INTEGER_MAX),
    st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, INTEGER_MAX]),
)
BYTES = st.one_of(st.binary(max_size=40), st.sampled_from([0, 23, 24, 255, 256, 65_535, 65_536]).map(bytes))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
DIGESTS = st.binary(min_size=32, max_size=32)
CIDS = st.binary(max_size=4).map(lambda data: Cid.of(DAG_CBOR, data))
PARTS = st.builds(Part, b=INTEGERS, aa=BYTES, text=TEXTS)
WHOLES = st.builds(
    Whole,
    zero=st.booleans(),
    link=CIDS,
    name=TEXTS,
    typf=INTEGERS,
    typd=INTEGERS,
    parts=st.lists(PARTS, max_size=30).map(tuple),
    links=st.lists(CIDS, max_size=3).map(tuple),
    digest=DIGESTS,
    path=st.lists(DIGESTS, max_size=30).map(tuple),
    color=st.sampled_from(Color),
    maybe=st.none() | PARTS,
    data=BYTES,
    a_rather_long_name_of_a_field=INTEGERS,
)


@given(WHOLES)
def test_any_record_has_the_bytes_of_the_general_encoder(whole: Whole) -> None:
    assert encoded(whole) == encode(whole.value())
    assert Whole.from_bytes(encoded(whole)) == whole


@given(PARTS)
def test_so_has_one_without_a_type(part: Part) -> None:
    assert encoded(part) == encode(part.value())


@given(WHOLES)
def test_fields_have_the_bytes_of_their_record(whole: Whole) -> None:
    given_fields = {item.name: getattr(whole, item.name) for item in fields(whole) if item.init}
    assert encoded_fields(Whole, given_fields) == whole.encoded()
    written = {"parts": written_list(whole.parts), "maybe": whole.maybe and Written(encoded(whole.maybe))}
    assert encoded_fields(Whole, given_fields | written) == whole.encoded()


@given(WHOLES, st.sets(st.sampled_from([item.name for item in fields(Whole) if item.init])))
def test_so_have_those_that_some_are_known_of(whole: Whole, known: set[str]) -> None:
    every = {item.name: getattr(whole, item.name) for item in fields(whole) if item.init}
    form = form_of(Whole, {name: every[name] for name in known})
    assert form({name: every[name] for name in every.keys() - known}) == whole.encoded()


def test_one_that_writes_itself_in_its_own_way_is_refused() -> None:
    class Own(Part):
        def value(self) -> dict[str, Value]:
            return {}

    with pytest.raises(TypeError):
        encoded(Own(b=1, aa=b"", text=""))


@pytest.mark.parametrize("kind", [Entry, Receipt])
def test_those_of_every_query_are_written_so(kind: Any) -> None:
    assert kind.encoded is not Record.encoded
