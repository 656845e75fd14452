"""One value, one encoding: the strict reader against `dag-cbor` as oracle."""

from typing import Any

import cbor2
import dag_cbor
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multiformats import CID

from storage.cid import DAG_CBOR, DAG_PB, RAW, Cid
from vault.codec import DEPTH_MAX, INTEGER_MAX, OBJECT_BYTES_MAX, decode, encode
from vault.errors import MalformedObject

LINK = "d82a58250001711220" + "00" * 32

cids = st.builds(Cid.from_digest, st.sampled_from([RAW, DAG_PB, DAG_CBOR]), st.binary(min_size=32, max_size=32))
atoms = st.none() | st.booleans() | st.integers(0, INTEGER_MAX) | st.text() | st.binary(max_size=300) | cids
values = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def for_oracle(value: Any) -> Any:
    match value:
        case Cid():
            return CID("base32", 1, {RAW: "raw", DAG_PB: "dag-pb", DAG_CBOR: "dag-cbor"}[value.codec], value.binary[2:])
        case list():
            return [for_oracle(item) for item in value]
        case dict():
            return {key: for_oracle(item) for key, item in value.items()}
    return value


@settings(max_examples=200)
@given(values)
def test_encoding_is_the_oracles_and_comes_back(value: Any) -> None:
    encoded = encode(value)
    assert encoded == dag_cbor.encode(for_oracle(value))
    assert decode(encoded) == value


@settings(max_examples=300)
@given(values, st.data())
def test_a_changed_byte_is_refused_or_is_another_value_in_canonical_form(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(encode(value))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    try:
        other = decode(bytes(encoded))
    except MalformedObject:
        return
    assert encode(other) == bytes(encoded)
    assert dag_cbor.encode(for_oracle(other)) == bytes(encoded)


@settings(max_examples=500)
@given(st.binary(max_size=200))
@example(b"\xd9\x01\x00\x82\x01\x01")
@example(b"\xa1\x81\x81\x80\x00")
@example(b"\xa1\xa1\x00\x00\x00")
@example(b"\xa1\xd8\x2a\x80\x00")
def test_arbitrary_bytes_are_a_value_or_malformed_and_nothing_else(data: bytes) -> None:
    try:
        value = decode(data)
    except MalformedObject:
        return
    assert encode(value) == data


REFUSED = {
    "nothing": "",
    "trailing byte": "0000",
    "cut short": "6261",
    "key twice": "a2616101616102",
    "keys out of order": "a2616201616102",
    "longer key first": "a262616101616202",
    "integer in two bytes": "1817",
    "integer in eight bytes": "1b0000000000000001",
    "length in two bytes": "580161",
    "list length in two bytes": "980100",
    "map length in two bytes": "b801616100",
    "tag in two bytes": "d9002a" + LINK[4:],
    "indefinite list": "9fff",
    "indefinite map": "bfff",
    "indefinite bytes": "5f4161ff",
    "indefinite text": "7f6161ff",
    "lone break": "ff",
    "half float": "f93c00",
    "float": "fa3f800000",
    "double": "fb3ff0000000000000",
    "infinity": "f97c00",
    "not a number": "f97e00",
    "negative": "20",
    "over 2^63-1": "1b8000000000000000",
    "over 64 bits": "c249010000000000000000",
    "undefined": "f7",
    "simple value": "e0",
    "simple value in two bytes": "f8ff",
    "false in two bytes": "f814",
    "integer key": "a10102",
    "bytes key": "a1416100",
    "list key": "a18000",
    "date": "c074323031332d30332d32315432303a30343a30305a",
    "set": "d90100820102",
    "shared value": "d81c80",
    "reference": "d81d00",
    "decimal fraction": "c48221196ab3",
    "rational": "d81e820103",
    "regular expression": "d8236161",
    "self-described": "d9d9f700",
    "unknown tag": "d86300",
    "link without its zero": "d82a582401711220" + "00" * 32,
    "link over another byte": "d82a58250101711220" + "00" * 32,
    "link that is text": "d82a6161",
    "link to an identity hash": "d82a46000155000161",
    "link to a version 0": "d82a5823001220" + "00" * 32,
    "link with a longer digest": "d82a58260001711220" + "00" * 33,
    "link to an unknown codec": "d82a58250001011220" + "00" * 32,
    "link in a link": "d82a" + LINK,
    "not UTF-8": "61ff",
    "surrogate in UTF-8": "63eda080",
    "overlong UTF-8": "62c081",
    "announces 2^64 bytes": "5bffffffffffffffff",
    "announces 2^64 items": "9bffffffffffffffff",
    "announces 2^40 pairs": "bb0000010000000000",
    "reserved length": "1c",
}


@pytest.mark.parametrize("bytes_hex", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("inside", ["", "81", "a16161"], ids=["alone", "in a list", "in a map"])
def test_other_forms_are_malformed(bytes_hex: str, inside: str) -> None:
    assert decode(bytes.fromhex(inside + LINK))  # the wrapping itself is fine
    with pytest.raises(MalformedObject):
        decode(bytes.fromhex(inside + bytes_hex))


@pytest.mark.parametrize("level", ["81", "a16161", "d82a", "c1", "9f"])
@pytest.mark.parametrize("levels", [DEPTH_MAX + 1, 2_000, 500_000 // 3])
def test_deep_nesting_is_malformed_and_never_a_recursion_error(level: str, levels: int) -> None:
    with pytest.raises(MalformedObject):
        decode(bytes.fromhex(level) * levels + b"\x00")


def nested(levels: int, inmost: Any) -> Any:
    for _ in range(levels):
        inmost = [inmost]
    return inmost


def test_whatever_can_be_encoded_can_be_decoded_however_deep() -> None:
    assert decode(encode(nested(DEPTH_MAX, 0))) == nested(DEPTH_MAX, 0)
    link = Cid.of(RAW, b"")
    assert decode(encode(nested(DEPTH_MAX - 1, link))) == nested(DEPTH_MAX - 1, link)
    for value in (nested(DEPTH_MAX + 1, 0), nested(DEPTH_MAX, link), nested(100_000, 0)):
        with pytest.raises(MalformedObject):
            encode(value)


def test_an_object_over_the_limit_is_refused_before_it_is_read() -> None:
    data = encode(b"x" * 95)
    assert decode(data, bytes_max=len(data))
    with pytest.raises(MalformedObject, match="over the limit of 96"):
        decode(data, bytes_max=len(data) - 1)
    with pytest.raises(MalformedObject, match="over the limit"):
        decode(bytes(OBJECT_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "value",
    [-1, INTEGER_MAX + 1, 1.0, {1: 0}, {"a": {2}}, bytearray(1), object(), "\ud800", {"\udfff": 0}, cbor2.undefined],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form_is_not_encoded(value: Any) -> None:
    with pytest.raises(MalformedObject):
        encode([value])


def test_text_that_cannot_be_encoded_does_not_travel_in_the_error() -> None:
    with pytest.raises(MalformedObject) as caught:
        encode("the secret\ud800")
    assert caught.value.__cause__ is None and caught.value.__suppress_context__
    assert "secret" not in str(caught.value)
