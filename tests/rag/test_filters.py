"""Filters: one wire form, bounds on everything, and the same rows as asking each passage by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rag.meeting
from rag.allowed import Allowed
from rag.errors import DimensionMismatch, RagError
from rag.facts import MalformedMetadata
from rag.filters import (
    DEPTH_MAX,
    KEY_BYTES_MAX,
    NODES_MAX,
    NUMBER_MAX,
    NUMBER_MIN,
    RANGES_MAX,
    TEXT_BYTES_MAX,
    VALUES_MAX,
    Clause,
    Equals,
    Exists,
    Filter,
    In,
    MalformedFilter,
    Range,
    all_of,
    any_of,
    filter_from,
    none_of,
    wire_of,
)
from rag.metadata import FREQUENT, MetadataIndex
from rag.model import Metadata

KEYS = ["document", "owner", "tags", "time", "year", "draft", "ü"]
texts = st.sampled_from(["", "a", "b", "report", "Ü"])
numbers = st.sampled_from([NUMBER_MIN, -1, 0, 1, 2, 3, 1000, NUMBER_MAX])
scalars = texts | numbers | st.booleans()
keys = st.sampled_from(KEYS)


def ranges() -> st.SearchStrategy[Range]:
    lower = st.one_of(st.just({}), numbers.map(lambda n: {"gt": n}), numbers.map(lambda n: {"gte": n}))
    upper = st.one_of(st.just({}), numbers.map(lambda n: {"lt": n}), numbers.map(lambda n: {"lte": n}))
    bounds = st.tuples(lower, upper).map(lambda both: {**both[0], **both[1]}).filter(bool)
    return st.builds(lambda key, given: Range(key=key, **given), keys, bounds)


def clauses(children: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    some = st.lists(children, max_size=3).map(tuple)
    return st.tuples(some, some, some).filter(any).map(lambda t: Clause(must=t[0], should=t[1], must_not=t[2]))


conditions: st.SearchStrategy[Filter] = st.one_of(
    st.builds(lambda key, value: Equals(key=key, value=value), keys, scalars),
    st.builds(
        lambda key, values: In(key=key, values=tuple(values)),
        keys,
        st.lists(texts, min_size=1, unique=True) | st.lists(numbers, min_size=1, unique=True),
    ),
    ranges(),
    st.builds(lambda key: Exists(key=key), keys),
)
filters = conditions | clauses(conditions | clauses(conditions | clauses(conditions)))
metadata = st.fixed_dictionaries(
    {},
    optional={
        "document": texts,
        "owner": texts,
        "tags": st.lists(texts, max_size=4),
        "time": numbers,
        "year": scalars,
        "draft": st.booleans(),
        "ü": st.lists(texts, max_size=2) | scalars,
    },
)


def meets(passage: Metadata, asked: Filter) -> bool:
    """Ask one passage by itself, without an index."""
    match asked:
        case Clause():
            return (
                all(meets(passage, part) for part in asked.must)
                and (not asked.should or any(meets(passage, part) for part in asked.should))
                and not any(meets(passage, part) for part in asked.must_not)
            )
        case Exists():
            return asked.key in passage and passage[asked.key] != []
    value = passage.get(asked.key)
    items = [] if value is None else value if isinstance(value, list) else [value]
    match asked:
        case Equals():
            return any(type(item) is type(asked.value) and item == asked.value for item in items)
        case In():
            return any(type(item) is type(one) and item == one for item in items for one in asked.values)
        case Range():
            return any(type(item) is int and in_range(item, asked) for item in items)
    raise AssertionError


def in_range(item: int, asked: Range) -> bool:
    return (
        (asked.gt is None or item > asked.gt)
        and (asked.gte is None or item >= asked.gte)
        and (asked.lt is None or item < asked.lt)
        and (asked.lte is None or item <= asked.lte)
    )


@settings(deadline=None)
@given(filters)
def test_a_filter_survives_the_wire(asked: Filter) -> None:
    wire = wire_of(asked)
    assert filter_from(wire) == asked
    assert wire_of(filter_from(wire)) == wire


@settings(deadline=None)
@given(st.lists(metadata, max_size=30), filters)
def test_an_index_finds_what_asking_each_passage_finds(passages: list[dict[str, Any]], asked: Filter) -> None:
    index = MetadataIndex(passages)
    expected = [row for row, passage in enumerate(passages) if meets(passage, asked)]
    assert list(index.rows(asked)) == expected
    assert [row for row, passage in enumerate(passages) if rag.meeting.meets(passage, asked)] == expected


@settings(deadline=None)
@given(st.lists(metadata, min_size=1, max_size=20), filters, st.data())
def test_a_filter_never_admits_what_the_permit_does_not(
    passages: list[dict[str, Any]], asked: Filter, data: st.DataObject
) -> None:
    index = MetadataIndex(passages)
    permitted = data.draw(st.sets(st.integers(0, len(passages) - 1)))
    allowed = index.allowed(asked, within=Allowed(permitted, total=len(passages)))
    assert allowed is not None
    assert set(allowed.bitmap) == {row for row in permitted if meets(passages[row], asked)}


def test_no_filter_leaves_the_permit_as_it_is() -> None:
    index, permitted = MetadataIndex([{"year": 1}] * 3), Allowed([1], total=3)
    assert index.allowed(None, within=permitted) is permitted
    assert index.allowed(None) is None


def test_a_permit_of_another_dataset_is_refused() -> None:
    with pytest.raises(DimensionMismatch):
        MetadataIndex([{}] * 3).allowed(Exists(key="a"), within=Allowed([], total=4))


@pytest.mark.parametrize("lowest", [0, 10, 500, 999])
def test_frequent_values_and_wide_ranges_are_found_alike(lowest: int) -> None:
    rng = np.random.default_rng(7)
    years = rng.integers(0, 1000, size=3 * FREQUENT).tolist()
    passages: list[Metadata] = [{"year": year, "tags": ["all", f"t{year % 2}"]} for year in years]
    index = MetadataIndex(passages)
    assert list(index.rows(Range(key="year", gte=lowest))) == [at for at, year in enumerate(years) if year >= lowest]
    assert list(index.rows(Range(key="year", lt=lowest))) == [at for at, year in enumerate(years) if year < lowest]
    assert list(index.rows(Equals(key="tags", value="t1"))) == [at for at, year in enumerate(years) if year % 2]
    assert len(index.rows(In(key="tags", values=("all", "t0", "absent")))) == len(years)
    first = index.rows(Equals(key="tags", value="all"))
    first.clear()
    assert len(index.rows(Equals(key="tags", value="all"))) == len(years)  # what is handed out is a copy


def test_no_condition_reads_true_as_one() -> None:
    index = MetadataIndex([{"a": True}, {"a": 1}, {"a": "1"}])
    assert [list(index.rows(Equals(key="a", value=value))) for value in (True, 1, "1")] == [[0], [1], [2]]
    assert Equals(key="a", value=True) != Equals(key="a", value=1)
    assert list(index.rows(Range(key="a", gte=0))) == [1]


def test_helpers_read_as_they_are_named() -> None:
    index = MetadataIndex([{"a": 1}, {"a": 1, "b": 1}, {"b": 1}, {}])
    a, b = Exists(key="a"), Exists(key="b")
    assert [list(index.rows(asked)) for asked in (all_of(a, b), any_of(a, b), none_of(a, b))] == [[1], [0, 1, 2], [3]]


def nested(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"key": "a", "exists": True}
    for _ in range(levels - 1):
        node = {"must_not": [node]}
    return node


def several(count: int, make: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    return {"should": [make(number) for number in range(count)]}


AT_THE_BOUND = {
    "depth": nested(DEPTH_MAX),
    "nodes": several(NODES_MAX - 1, lambda n: {"key": "a", "equals": n}),
    "values": {"key": "a", "in": list(range(VALUES_MAX))},
    "ranges": several(RANGES_MAX, lambda n: {"key": "a", "range": {"gt": n}}),
    "key": {"key": "k" * KEY_BYTES_MAX, "exists": True},
    "text": {"key": "a", "equals": "é" * (TEXT_BYTES_MAX // 2)},
    "number": {"key": "a", "in": [NUMBER_MIN, NUMBER_MAX]},
    "range beyond the last number": {"key": "a", "range": {"gt": NUMBER_MAX, "lt": NUMBER_MIN}},
}
MALFORMED: dict[str, object] = {
    "depth": nested(DEPTH_MAX + 1),
    "bottomless": nested(900),
    "nodes": several(NODES_MAX, lambda n: {"key": "a", "equals": n}),
    "values": {"key": "a", "in": list(range(VALUES_MAX + 1))},
    "values of several conditions": several(2, lambda n: {"key": "a", "in": list(range(n, n + VALUES_MAX // 2 + 1))}),
    "ranges": several(RANGES_MAX + 1, lambda n: {"key": "a", "range": {"gt": n}}),
    "key": {"key": "secret" * KEY_BYTES_MAX, "exists": True},
    "empty key": {"key": "", "exists": True},
    "key of bytes": {"key": b"secret", "exists": True},
    "half a surrogate pair": {"key": "a", "equals": "secret\ud800"},
    "long text": {"key": "a", "equals": "secret" * TEXT_BYTES_MAX},
    "number of 65 bits": {"key": "a", "equals": NUMBER_MAX + 1},
    "float": {"key": "a", "equals": 1.0},
    "null": {"key": "a", "equals": None},
    "list as value": {"key": "a", "equals": ["secret"]},
    "mixed in": {"key": "a", "in": ["secret", 1]},
    "booleans in": {"key": "a", "in": [True, False]},
    "one and true in": {"key": "a", "in": [1, True]},
    "repeated in": {"key": "a", "in": ["secret", "secret"]},
    "empty in": {"key": "a", "in": []},
    "lists in": {"key": "a", "in": [["secret"]]},
    "text as list": {"key": "a", "in": "secret"},
    "text in range": {"key": "a", "range": {"gte": "secret"}},
    "true in range": {"key": "a", "range": {"gte": True}},
    "float in range": {"key": "a", "range": {"gte": 1.5}},
    "null in range": {"key": "a", "range": {"gte": None, "lt": 1}},
    "empty range": {"key": "a", "range": {}},
    "two lower bounds": {"key": "a", "range": {"gt": 1, "gte": 1}},
    "two upper bounds": {"key": "a", "range": {"lt": 1, "lte": 1}},
    "unknown bound": {"key": "a", "range": {"secret": 1}},
    "number as bound": {"key": "a", "range": {1: 1}},
    "exists with false": {"key": "a", "exists": False},
    "exists with one": {"key": "a", "exists": 1},
    "no operator": {"key": "a"},
    "two operators": {"key": "a", "equals": 1, "exists": True},
    "unknown operator": {"key": "a", "secret": 1},
    "condition in a clause": {"key": "a", "equals": 1, "must": [nested(1)]},
    "no key": {"equals": 1},
    "empty clause": {},
    "empty must": {"must": []},
    "clause as a map": {"must": nested(1)},
    "unknown clause": {"secret": [nested(1)]},
    "number as name": {1: [nested(1)]},
    "list": [nested(1)],
    "text": "secret",
    "nothing": None,
}


@pytest.mark.parametrize("name", AT_THE_BOUND)
def test_a_filter_at_a_bound_is_read(name: str) -> None:
    assert wire_of(filter_from(AT_THE_BOUND[name])) == AT_THE_BOUND[name]
    MetadataIndex([{"a": 1}]).rows(filter_from(AT_THE_BOUND[name]))


@pytest.mark.parametrize("name", MALFORMED)
def test_anything_else_is_refused_without_quoting_it(name: str) -> None:
    with pytest.raises(MalformedFilter) as refused:
        filter_from(MALFORMED[name])
    assert "secret" not in str(refused.value)


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["key", "equals", "in", "range", "exists", "must", "should", "must_not", "gt", "lte"])
            | st.text(max_size=3)
            | st.integers(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain)
def test_whatever_comes_is_a_filter_or_malformed(wire: object) -> None:
    try:
        asked = filter_from(wire)
    except RagError as error:
        assert type(error) is MalformedFilter
        return
    assert wire_of(asked) == wire


@pytest.mark.parametrize(
    "asked",
    [
        Equals(key="hush", value="hush"),
        In(key="hush", values=("hush",)),
        Range(key="hush", gt=987654),
        all_of(Equals(key="hush", value="hush")),
    ],
)
def test_a_filter_shows_nothing_of_itself(asked: Filter) -> None:
    assert "hush" not in repr(asked)
    assert "987654" not in repr(asked)


BAD_METADATA: dict[str, Any] = {
    "float": {"a": 1.0},
    "none": {"a": None},
    "bytes": {"a": b"secret"},
    "number of 65 bits": {"a": 1 << 63},
    "numbers in a list": {"a": [1]},
    "long text": {"a": "secret" * TEXT_BYTES_MAX},
    "half a surrogate pair": {"a": "\ud800"},
    "empty key": {"": 1},
    "number as key": {1: 1},
    "owner as number": {"owner": 1},
    "document as list": {"document": ["secret"]},
    "tags as text": {"tags": "secret"},
    "time as boolean": {"time": True},
    "time as text": {"time": "secret"},
    "many keys": {f"k{number}": 1 for number in range(65)},
    "long list": {"a": [str(number) for number in range(257)]},
}


@pytest.mark.parametrize("name", BAD_METADATA)
def test_metadata_that_no_filter_can_ask_for_is_refused(name: str) -> None:
    with pytest.raises(MalformedMetadata) as refused:
        MetadataIndex([{"a": 1}, BAD_METADATA[name]])
    assert "secret" not in str(refused.value)


def test_a_dataset_has_a_bound_on_its_keys() -> None:
    rows: Sequence[Metadata] = [{f"k{at}-{number}": 1 for number in range(64)} for at in range(17)]
    assert MetadataIndex(rows[:16]).count == 16
    with pytest.raises(MalformedMetadata, match="keys"):
        MetadataIndex(rows)


def test_metadata_shared_by_a_document_is_indexed_row_by_row() -> None:
    first, second = {"document": "one"}, {"document": "two"}
    index = MetadataIndex([first, first, second, first])
    assert list(index.rows(Equals(key="document", value="one"))) == [0, 1, 3]
