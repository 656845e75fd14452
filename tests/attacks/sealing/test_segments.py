"""Attacks on sealed segments by whoever stores or serves them (rule S1)."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.cid import RAW, Cid
from tests.builders import dao, sealed_dataset, seeded, wallet
from vault.envelope import SegmentHeader, open_segment
from vault.errors import TamperedSegment
from vault.keys import SecretKey

DAO = dao()
SEALED = sealed_dataset(DAO)
KEY = SEALED.data_key
SEGMENT = SEALED.segments[0]
PREFIX = 2 + int.from_bytes(SEGMENT[:2], "big")
PLACE: dict[str, Any] = {"genesis": DAO.genesis, "dataset": SEALED.manifest.dataset, "version": 1, "index": 0}


def test_the_segment_under_attack_opens_when_left_alone() -> None:
    assert tuple(open_segment(KEY, SEGMENT, **PLACE)) == SEALED.encoded[:2]


def test_any_flipped_byte_is_noticed() -> None:
    for place in range(len(SEGMENT)):
        for flip in (0x01, 0x80):
            broken = SEGMENT[:place] + bytes([SEGMENT[place] ^ flip]) + SEGMENT[place + 1 :]
            with pytest.raises(TamperedSegment):
                open_segment(KEY, broken, **PLACE)


def test_any_cut_is_noticed() -> None:
    for size in (*range(PREFIX + 40), *range(PREFIX + 40, len(SEGMENT), 97), len(SEGMENT) - 1):
        with pytest.raises(TamperedSegment):
            open_segment(KEY, SEGMENT[:size], **PLACE)


@pytest.mark.parametrize("extra", [b"\x00", bytes(16), bytes(4096), SEGMENT])
def test_any_addition_is_noticed(extra: bytes) -> None:
    for broken in (SEGMENT + extra, extra + SEGMENT, SEGMENT[:PREFIX] + extra + SEGMENT[PREFIX:]):
        with pytest.raises(TamperedSegment):
            open_segment(KEY, broken, **PLACE)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_a_tampered_segment_and_nothing_else(data: bytes) -> None:
    with pytest.raises(TamperedSegment):
        open_segment(KEY, data, **PLACE)
    with pytest.raises(TamperedSegment):
        open_segment(KEY, SEGMENT[:PREFIX] + data, **PLACE)


def test_swapped_segments_are_noticed() -> None:
    first, second = SEALED.segments
    assert open_segment(KEY, second, **(PLACE | {"index": 1}))
    with pytest.raises(TamperedSegment, match="in fact segment 1 of version 1"):
        open_segment(KEY, second, **PLACE)
    with pytest.raises(TamperedSegment, match="in fact segment 0"):
        open_segment(KEY, first, **(PLACE | {"index": 1}))


@pytest.mark.parametrize(
    "other",
    [
        {"genesis": dao(name="Elsewhere").genesis},
        {"genesis": Cid.from_digest(RAW, DAO.genesis.digest)},
        {"dataset": seeded("another dataset")},
        {"version": 2},
        {"version": 0},
        {"index": 1},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_segment_is_not_accepted_in_another_place(other: dict[str, Any]) -> None:
    with pytest.raises(TamperedSegment):
        open_segment(KEY, SEGMENT, **(PLACE | other))


def moved(segment: bytes, **fields: Any) -> bytes:
    """Rewrite a segment's header as a host could, which knows no key."""
    size = 2 + int.from_bytes(segment[:2], "big")
    header = SegmentHeader.from_bytes(segment[2:size])
    facts = {name: getattr(header, name) for name in ("suite", "genesis", "dataset", "version", "index", "salt")}
    head = SegmentHeader(**(facts | fields)).encoded()
    return len(head).to_bytes(2, "big") + head + segment[size:]


@pytest.mark.parametrize(
    "place",
    [
        {"genesis": dao(name="Elsewhere").genesis},
        {"dataset": seeded("another dataset")},
        {"version": 2},
        {"index": 1},
    ],
    ids=lambda place: next(iter(place)),
)
def test_a_segment_moved_by_rewriting_its_header_does_not_authenticate(place: dict[str, Any]) -> None:
    assert open_segment(KEY, moved(SEGMENT), **PLACE)
    with pytest.raises(TamperedSegment, match="authenticate"):
        open_segment(KEY, moved(SEGMENT, **place), **(PLACE | place))


def test_the_suite_or_salt_of_a_segment_cannot_be_rewritten() -> None:
    for fields in ({"suite": "none"}, {"suite": ""}, {"salt": bytes(32)}):
        with pytest.raises(TamperedSegment):
            open_segment(KEY, moved(SEGMENT, **fields), **PLACE)


def test_an_older_versions_segment_does_not_pass_for_the_newer_ones() -> None:
    newer = sealed_dataset(DAO, version=2, previous=SEALED.manifest.cid())
    place = PLACE | {"version": 2}
    assert open_segment(newer.data_key, newer.segments[0], **place)
    for stale in (SEGMENT, moved(SEGMENT, version=2)):
        with pytest.raises(TamperedSegment):
            open_segment(newer.data_key, stale, **place)


def test_parts_of_two_sealings_of_the_same_passages_do_not_mix() -> None:
    again = sealed_dataset(DAO).segments[0]
    assert open_segment(KEY, again, **PLACE) == open_segment(KEY, SEGMENT, **PLACE)
    assert len(again) == len(SEGMENT)
    for at in (PREFIX - 32, PREFIX, PREFIX + 8, len(SEGMENT) // 2, len(SEGMENT) - 16):
        with pytest.raises(TamperedSegment):
            open_segment(KEY, SEGMENT[:at] + again[at:], **PLACE)


def test_another_key_opens_nothing_and_the_error_tells_nothing() -> None:
    wrong = SecretKey(seeded("wrong"))
    foreign = sealed_dataset(DAO, owner=wallet("mallory"))
    with pytest.raises(TamperedSegment) as caught:
        open_segment(wrong, SEGMENT, **PLACE)
    assert seeded("wrong").hex() not in repr(caught.value) and "tide" not in repr(caught.value)
    with pytest.raises(TamperedSegment):
        open_segment(KEY, foreign.segments[0], **PLACE)


def test_a_stored_segment_shows_nothing_of_its_text() -> None:
    stored = b"".join(SEALED.segments) + SEALED.manifest.encoded()
    for encoded in SEALED.encoded:
        assert encoded not in stored and encoded[10:20] not in stored
    assert KEY.reveal() not in stored
    assert not any(share in stored for share in SEALED.shares)
