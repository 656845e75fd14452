"""Sealed segments: what goes in comes out, nothing shows but a rounded size, and no key encrypts twice."""

from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import dag_cbor
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storage.cid import DAG_CBOR, Cid
from tests.builders import seeded
from vault.codec import INTEGER_MAX, encode
from vault.envelope import (
    PASSAGE_BYTES_MAX,
    PASSAGES_PER_SEGMENT_MAX,
    SEGMENT_BYTES,
    SEGMENT_BYTES_MAX,
    SIZE_FLOOR,
    SUITE,
    Passage,
    SegmentHeader,
    decoded_passage,
    open_segment,
    padded_size,
    passage_commitment,
    passage_salts,
    seal_segment,
    segmented,
)
from vault.errors import MalformedObject, TamperedSegment
from vault.keys import SecretKey
from vault.merkle import leaf_hash

KEY = SecretKey(seeded("data key"))
PLACE: dict[str, Any] = {"genesis": Cid.of(DAG_CBOR, b"g"), "dataset": seeded("dataset"), "version": 2, "index": 3}
PASSAGE = Passage("a.txt", 0, 5, "hello")

passages = st.builds(
    Passage,
    st.text(max_size=20),
    st.integers(0, 1000),
    st.integers(1000, INTEGER_MAX),
    st.text(max_size=100),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(passages, max_size=300))
@example([PASSAGE] * 23)
@example([PASSAGE] * 24)
@example([PASSAGE] * 255)
@example([PASSAGE] * 256)
@example([PASSAGE] * 65_536)
def test_sealed_passages_open_to_the_same_bytes_in_order(given: list[Passage]) -> None:
    encoded = [passage.encoded() for passage in given]
    opened = open_segment(KEY, seal_segment(KEY, encoded, **PLACE), **PLACE)
    assert opened == encoded
    assert [decoded_passage(item) for item in opened[:300]] == given[:300]


@settings(max_examples=100)
@given(passages)
def test_a_passage_is_encoded_as_the_oracle_does(passage: Passage) -> None:
    row = [passage.document, passage.start, passage.end, passage.text]
    assert passage.encoded() == dag_cbor.encode(row)  # type: ignore[arg-type]
    assert decoded_passage(passage.encoded()) == passage


@pytest.mark.parametrize(
    "row",
    [
        ["d", 1, 0, "t"],
        ["d", False, True, "t"],
        ["d", 0, True, "t"],
        [b"d", 0, 1, "t"],
        ["d", 0, 1, b"t"],
        ["d", 0, 1],
        ["d", 0, 1, "t", 0],
        ["d", None, 1, "t"],
        {},
        "dddd",
        0,
    ],
    ids=str,
)
def test_other_rows_are_not_passages_and_open_to_nothing(row: Any) -> None:
    with pytest.raises(MalformedObject):
        decoded_passage(encode(row))
    with pytest.raises(TamperedSegment):
        open_segment(KEY, seal_segment(KEY, [encode(row)], **PLACE), **PLACE)


NOT_CANONICAL = {
    "length in two bytes": "84780164000161" + "74",
    "number in two bytes": "8461641800016174",
    "indefinite list": "9f616400016174ff",
    "half float": "846164f900000161" + "74",
    "over 2^63-1": "84616400" + "1b8000000000000000" + "6174",
    "over 64 bits": "84616400" + "c249010000000000000000" + "6174",
    "rational": "84616400" + "d81e820103" + "6174",
    "trailing": "84616400016174" + "00",
    "cut short": "846164000161",
    "nothing": "",
    "deep": "81" * 5000,
}


@pytest.mark.parametrize("row_hex", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_other_encodings_of_a_passage_are_refused_even_from_the_owner(row_hex: str) -> None:
    row = bytes.fromhex(row_hex)
    with pytest.raises(MalformedObject):
        decoded_passage(row)
    with pytest.raises(TamperedSegment):
        open_segment(KEY, seal_segment(KEY, [row], **PLACE), **PLACE)


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_passage_or_malformed_and_nothing_else(data: bytes) -> None:
    with suppress(MalformedObject):
        assert decoded_passage(data).encoded() == data


def test_a_passage_over_the_limit_is_refused_before_sealing_and_when_read() -> None:
    fits = Passage("", 0, 0, "x" * (PASSAGE_BYTES_MAX - 7)).encoded()
    assert len(fits) == PASSAGE_BYTES_MAX
    assert list(segmented([fits])) == [[fits]] and decoded_passage(fits)
    over = Passage("", 0, 0, "x" * (PASSAGE_BYTES_MAX - 6)).encoded()
    with pytest.raises(MalformedObject, match="over the limit"):
        list(segmented([over]))
    with pytest.raises(MalformedObject, match="over the limit"):
        decoded_passage(over)
    assert open_segment(KEY, seal_segment(KEY, [fits], **PLACE), **PLACE) == [fits]
    with pytest.raises(TamperedSegment):  # by an owner's own program: its answers would fit into no message
        open_segment(KEY, seal_segment(KEY, [over], **PLACE), **PLACE)


def test_text_that_cannot_be_encoded_does_not_travel_in_the_error() -> None:
    with pytest.raises(MalformedObject) as caught:
        replace(PASSAGE, text="the secret\ud800").encoded()
    assert "secret" not in repr(caught.value) and caught.value.__cause__ is None


def test_a_passage_does_not_print_its_text_or_its_documents_name() -> None:
    for shown in (repr(PASSAGE), str(PASSAGE), f"{[PASSAGE]}"):
        assert "hello" not in shown and "a.txt" not in shown


def sealed_with(plain: bytes) -> bytes:
    """Seal a plaintext as `seal_segment` does, but one that it would never make."""
    header = SegmentHeader(suite=SUITE, salt=seeded("salt"), **PLACE).encoded()
    prefix = len(header).to_bytes(2, "big") + header
    return prefix + SegmentHeader.from_bytes(header).key(KEY).encrypt(bytes(12), plain, prefix)


def plain(body: bytes, length: int, padding: bytes) -> bytes:
    return length.to_bytes(8, "big") + body + padding


BODY = b"\x81" + PASSAGE.encoded()


@pytest.mark.parametrize(
    "broken",
    [
        plain(BODY, len(BODY), bytes(99) + b"\x01"),
        plain(BODY, len(BODY) - 1, bytes(100)),
        plain(BODY, len(BODY) + 1, bytes(100)),
        plain(BODY, 2**64 - 1, bytes(100)),
        plain(b"\x82" + PASSAGE.encoded(), len(BODY), bytes(100)),
        plain(b"\xa0", 1, bytes(100)),
        plain(b"\x00", 1, bytes(100)),
        plain(b"\x61a", 2, bytes(100)),
        b"",
        bytes(7),
        bytes(8),
    ],
    ids=["padding", "shorter", "longer", "2^64-1", "count", "map", "number", "text", "nothing", "no length", "no body"],
)
def test_authentic_bytes_that_are_no_segment_are_refused(broken: bytes) -> None:
    assert open_segment(KEY, sealed_with(plain(BODY, len(BODY), bytes(100))), **PLACE) == [PASSAGE.encoded()]
    with pytest.raises(TamperedSegment):
        open_segment(KEY, sealed_with(broken), **PLACE)


def test_more_than_a_segment_holds_is_neither_sealed_nor_opened() -> None:
    least = Passage("", 0, 0, "").encoded()
    many = [least] * (PASSAGES_PER_SEGMENT_MAX + 1)
    body = b"\x9a" + len(many).to_bytes(4, "big") + b"".join(many)
    with pytest.raises(TamperedSegment, match="passages"):
        open_segment(KEY, sealed_with(plain(body, len(body), b"")), **PLACE)
    long = [Passage("", 0, 0, "x" * (PASSAGE_BYTES_MAX - 7)).encoded()] * (SEGMENT_BYTES_MAX // PASSAGE_BYTES_MAX + 1)
    for group in (many, long):
        with pytest.raises(ValueError, match="segmented"):
            seal_segment(KEY, group, **PLACE)
    assert open_segment(KEY, seal_segment(KEY, long[:-2], **PLACE), **PLACE) == long[:-2]
    with pytest.raises(TamperedSegment, match="over the limit"):
        open_segment(KEY, bytes(SEGMENT_BYTES_MAX + SIZE_FLOOR + 1), **PLACE)


def test_sizes_are_padmes_and_grow_by_at_most_an_eighth() -> None:
    assert padded_size(0) == padded_size(1) == padded_size(SIZE_FLOOR) == SIZE_FLOOR
    assert [padded_size(n) for n in (4097, 4223, 4225, 9_999, 1_000_000)] == [4352, 4352, 4352, 10240, 1_015_808]


@given(st.integers(0, SEGMENT_BYTES_MAX))
def test_a_padded_size_fits_and_is_the_size_of_many(size: int) -> None:
    padded = padded_size(size)
    assert size <= padded
    assert padded == padded_size(padded)
    assert padded <= max(SIZE_FLOOR, size * 1.12)
    bits = padded.bit_length()
    assert padded % (1 << (bits - 1 - (bits - 1).bit_length())) == 0  # Padmé keeps only the top bits


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 20_000))
def test_only_the_padded_size_shows(size: int) -> None:
    body = len(Passage("", 0, 0, "x" * size).encoded()) + 1
    sealed = seal_segment(KEY, [Passage("", 0, 0, "x" * size).encoded()], **PLACE)
    prefix = 2 + int.from_bytes(sealed[:2], "big")
    assert len(sealed) == prefix + padded_size(8 + body) + 16


def salt_of(sealed: bytes) -> bytes:
    return SegmentHeader.from_bytes(sealed[2 : 2 + int.from_bytes(sealed[:2], "big")]).salt


def test_the_same_passages_sealed_again_share_no_salt_key_or_ciphertext() -> None:
    sealed = [seal_segment(KEY, [PASSAGE.encoded()], **PLACE) for _ in range(500)]
    assert len({salt_of(item) for item in sealed}) == 500
    assert len({item[-4112:-4080] for item in sealed}) == 500
    assert len({item[-16:] for item in sealed}) == 500


def test_every_fact_of_the_header_changes_the_key() -> None:
    header = SegmentHeader(suite=SUITE, salt=seeded("salt"), **PLACE)
    changes: list[dict[str, Any]] = [
        {},
        {"suite": "other"},
        {"genesis": Cid.of(DAG_CBOR, b"other")},
        {"dataset": bytes(32)},
        {"version": 3, "index": 2},
        {"version": 23},
        {"index": 2},
        {"salt": bytes(32)},
    ]
    outputs = {replace(header, **change).key(KEY).encrypt(bytes(12), bytes(32), b"") for change in changes}
    assert len(outputs) == len(changes)
    assert isinstance(header.key(KEY), AESGCM)


@pytest.mark.parametrize(
    "sizes", [[], [1], [SEGMENT_BYTES // 128] * 128, [SEGMENT_BYTES // 128] * 129, [PASSAGE_BYTES_MAX] * 300]
)
def test_segments_close_in_order_at_their_size(sizes: list[int]) -> None:
    encoded = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    groups = list(segmented(encoded))
    assert [item for group in groups for item in group] == encoded
    assert all(group and sum(map(len, group)) <= SEGMENT_BYTES for group in groups)
    assert len(groups) == -(-sum(sizes) // SEGMENT_BYTES)


def test_segments_close_at_their_count() -> None:
    groups = list(segmented([b"x"] * (PASSAGES_PER_SEGMENT_MAX + 1)))
    assert [len(group) for group in groups] == [PASSAGES_PER_SEGMENT_MAX, 1]


def test_salts_of_passages_are_one_each_and_depend_on_the_key_alone() -> None:
    salts = list(islice(passage_salts(KEY), 1000))
    assert len(set(salts)) == 1000 and {len(salt) for salt in salts} == {32}
    assert list(islice(passage_salts(KEY), 1000)) == salts
    assert not set(islice(passage_salts(SecretKey(bytes(32))), 1000)) & set(salts)


def test_a_commitment_is_a_leaf_over_salt_and_passage() -> None:
    salt, next_salt = islice(passage_salts(KEY), 2)
    committed = passage_commitment(salt, PASSAGE.encoded())
    assert committed == leaf_hash(salt + PASSAGE.encoded())
    assert passage_commitment(next_salt, PASSAGE.encoded()) != committed
    assert passage_commitment(salt, replace(PASSAGE, end=6).encoded()) != committed
