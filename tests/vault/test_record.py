"""Records: the annotations are the schema, and nothing that breaks it can be made or read."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, RAW, Cid
from vault.codec import INTEGER_MAX, Digest, Length, Record, encode, record
from vault.errors import MalformedObject

values = st.recursive(
    st.none() | st.booleans() | st.integers(0, INTEGER_MAX) | st.text() | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


class Color(StrEnum):
    RED = "red"
    BLUE = "blue"


@record
class Inner(Record):
    number: int


@record
class Outer(Record):
    TYPE: ClassVar[str] = "coffer/test/v1"

    digest: Digest
    name: Annotated[str, Length(1, 4)]
    flag: bool
    color: Color
    link: Cid | None
    inners: Annotated[tuple[Inner, ...], Length(0, 2)]

    def check(self) -> None:
        if self.flag and self.link is None:
            raise MalformedObject("a flag needs a link")


@record
class SameFieldsAsInner(Record):
    TYPE: ClassVar[str] = "coffer/same/v1"

    number: int


OUTER = Outer(
    digest=bytes(32), name="name", flag=True, color=Color.RED, link=Cid.of(RAW, b""), inners=(Inner(number=0),)
)


@record
class Sealed(Record):
    open: int
    hidden: bytes = field(repr=False)
    beside: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AsGenerated(Record):
    open: int
    hidden: bytes = field(repr=False)
    beside: int = field(default=0, compare=False)


@pytest.mark.parametrize("kind", [Sealed, AsGenerated])
def test_records_are_equal_hashed_and_shown_as_generated_ones_are(kind: Any) -> None:
    one = kind(open=1, hidden=b"secret")
    assert one == kind(open=1, hidden=b"secret", beside=7)
    assert hash(one) == hash(kind(open=1, hidden=b"secret", beside=7)) == hash((1, b"secret"))
    assert one != kind(open=2, hidden=b"secret") and one != kind(open=1, hidden=b"other")
    assert one != Inner(number=1) and one != (1, b"secret")
    assert repr(one) == f"{kind.__name__}(open=1, beside=0)"
    one.cid()
    assert one == kind(open=1, hidden=b"secret")  # what was found out about it is no part of it
    with pytest.raises(AttributeError):
        one.open = 2


def test_a_record_comes_back_from_its_bytes() -> None:
    again = Outer.from_bytes(OUTER.encoded())
    assert again == OUTER
    assert type(again.color) is Color and type(again.inners[0]) is Inner
    assert again.cid() == OUTER.cid() == Cid.of(DAG_CBOR, OUTER.encoded())


@pytest.mark.parametrize(
    "field",
    [
        {"digest": bytes(31)},
        {"digest": bytes(33)},
        {"digest": bytearray(32)},
        {"digest": "0" * 32},
        {"name": ""},
        {"name": "five!"},
        {"name": "\ud800"},
        {"name": b"name"},
        {"flag": 1},
        {"flag": None},
        {"color": "red"},
        {"link": None},
        {"link": bytes(36)},
        {"inners": [Inner(number=0)]},
        {"inners": (Inner(number=0),) * 3},
        {"inners": (0,)},
        {"inners": (SameFieldsAsInner(number=0),)},
    ],
    ids=str,
)
def test_a_record_with_one_wrong_field_cannot_be_made(field: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        replace(OUTER, **field)


@record
class Path(Record):
    steps: tuple[Digest, ...]


@pytest.mark.parametrize("odd", [bytes(31), bytes(33), bytearray(32), "0" * 32, None, 0, (bytes(32),)], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_wrong_item_of_a_list_is_enough(odd: Any, place: int) -> None:
    steps = [bytes(32)] * 3
    assert Path(steps=tuple(steps)).steps == tuple(steps)
    steps[place] = odd
    with pytest.raises(MalformedObject, match=r"Path\.steps"):
        Path(steps=tuple(steps))


@pytest.mark.parametrize("number", [-1, INTEGER_MAX + 1, True, 1.0, "1", None])
def test_an_integer_field_takes_integers_in_bounds_only(number: Any) -> None:
    assert Inner(number=INTEGER_MAX).number == INTEGER_MAX
    with pytest.raises(MalformedObject, match=r"Inner\.number"):
        Inner(number=number)


@pytest.mark.parametrize(
    "change",
    [
        {"extra": 0},
        {"type": "coffer/other/v1"},
        {"type": None},
        {"digest": bytes(31)},
        {"name": 1},
        {"flag": 1},
        {"color": "green"},
        {"color": []},
        {"color": None},
        {"link": b"\x00" * 36},
        {"link": None},
        {"inners": {}},
        {"inners": [0]},
        {"inners": [{"number": True}]},
        {"inners": [{"number": 0, "extra": 0}]},
        {"inners": [{}]},
        {"inners": [{"number": 0}] * 3},
    ],
    ids=str,
)
def test_bytes_with_one_wrong_entry_are_not_the_record(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedObject):
        Outer.from_bytes(encode(OUTER.value() | change))


@pytest.mark.parametrize("name", ["type", "digest", "name", "flag", "color", "link", "inners"])
def test_bytes_without_one_entry_are_not_the_record(name: str) -> None:
    body = OUTER.value()
    del body[name]
    with pytest.raises(MalformedObject):
        Outer.from_bytes(encode(body))


@pytest.mark.parametrize("value", [None, [], "type", 0, {}])
def test_another_kind_of_value_is_not_the_record(value: Any) -> None:
    with pytest.raises(MalformedObject):
        Outer.from_bytes(encode(value))


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["type", "digest", "name", "flag", "color", "link", "inners", "x"]), values))
def test_no_map_breaks_a_schema_in_another_way(body: dict[str, Any]) -> None:
    try:
        made = Outer.from_value(OUTER.value() | body)
    except MalformedObject:
        return
    assert made.value() == OUTER.value() | body
