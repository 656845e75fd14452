"""JSON with one meaning: what the standard parser takes, less what parsers disagree on."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave.attestation.errors import EvidenceMalformed
from enclave.attestation.strict_json import DEPTH_MAX, hex_of, json_from, number_of, object_from, text_of

BYTES_MAX = 1 << 12

atoms = st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.text(max_size=20)
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(data: bytes) -> Any:
    return json_from(data, what="test", bytes_max=BYTES_MAX)


@given(values, st.booleans())
def test_a_plain_value_comes_back(value: Any, escaped: bool) -> None:
    assert read(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}',
        '[{"b": {"a": 1, "\\u0061": 2}}]',
        "1.0",
        "1e2",
        "NaN",
        "[-Infinity]",
        "123456789012345678901",
        '"\\ud800"',
        "",
        "[1] 2",
        "[1,]",
        "'a'",
        '"\t"',
        "\ufeff[]",
    ],
)
def test_what_has_no_one_meaning_is_refused(text: str) -> None:
    with pytest.raises(EvidenceMalformed):
        read(text.encode())


def test_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(EvidenceMalformed):
        read('"é"'.encode("latin-1"))
    with pytest.raises(EvidenceMalformed):
        read("[1]".encode("utf-16"))


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_nesting_has_a_limit_whatever_the_interpreters(brackets: str) -> None:
    limit = sys.getrecursionlimit()
    opening, closing = ("[", "]") if brackets == "[]" else ('{"[": ', "}")
    at_most = opening * (DEPTH_MAX - 1) + brackets + closing * (DEPTH_MAX - 1)
    assert read(at_most.encode()) is not None
    try:
        sys.setrecursionlimit(1 << 28)
        for text in (opening + at_most + closing, opening * 500):
            with pytest.raises(EvidenceMalformed):
                read(text.encode())
    finally:
        sys.setrecursionlimit(limit)


def test_brackets_inside_text_are_not_nesting() -> None:
    text = '\\"' + "[{" * DEPTH_MAX + "\\\\"
    assert read(f'["{text}"]'.encode()) == ['"' + "[{" * DEPTH_MAX + "\\"]


@pytest.mark.parametrize("text", ['"' + '\\"' * 100_000, '"\\' * 100_000, '"' * 200_001])
def test_text_that_never_ends_is_read_once(text: str) -> None:
    with pytest.raises(EvidenceMalformed):
        json_from(text.encode(), what="test", bytes_max=1 << 20)


def test_size_is_bounded() -> None:
    assert read(b'"' + b"a" * (BYTES_MAX - 2) + b'"')
    with pytest.raises(EvidenceMalformed, match="over the limit"):
        read(b'"' + b"a" * (BYTES_MAX - 1) + b'"')


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(alphabet='[]{}":,\\ua0 1.-', max_size=60).map(str.encode))
def test_nothing_else_escapes(data: bytes) -> None:
    try:
        read(data)
    except EvidenceMalformed:
        return


@pytest.mark.parametrize("value", ["0", "0g", "00 ", " 00", "0 0", 7, None, "é0"])
def test_hex_is_hex_and_nothing_else(value: Any) -> None:
    assert hex_of({"a": "00fF"}, "a", what="test") == b"\x00\xff"
    with pytest.raises(EvidenceMalformed):
        hex_of({"a": value}, "a", what="test")


@pytest.mark.parametrize("value", [-1, 6, True, "1", None])
def test_numbers_keep_their_bounds(value: Any) -> None:
    assert [number_of({"a": number}, "a", what="test", most=5) for number in (0, 5)] == [0, 5]
    with pytest.raises(EvidenceMalformed):
        number_of({"a": value}, "a", what="test", most=5)


def test_members_are_there_and_of_their_type() -> None:
    with pytest.raises(EvidenceMalformed):
        text_of({}, "a", what="test")
    with pytest.raises(EvidenceMalformed):
        text_of({"a": 1}, "a", what="test")
    with pytest.raises(EvidenceMalformed):
        object_from(b"[]", what="test", bytes_max=BYTES_MAX)
