"""What the records of an owner's copies promise, over SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.cid import DAG_CBOR, RAW, Cid
from storage.commp import piece_cid
from storage.pieces import ListedPiece, listed
from vault.copies.model import COPIES_MAX, FAULT_CHARS_MAX, Copy, CopyState, Kind, PlaceStanding
from vault.errors import RecordsUnavailable, StaleState
from vault.records import copies as copies_module
from vault.records.copies import CopyRecords
from vault.records.database import Records

pytest_plugins = ["tests.records"]

MANIFEST, OTHER = Cid.of(DAG_CBOR, b"manifest"), Cid.of(DAG_CBOR, b"another manifest")
COPY = Copy(
    manifest=MANIFEST,
    place="pins",
    kind=Kind.PINNING,
    state=CopyState.VERIFIED,
    since=10,
    verified_at=30,
    whole_at=20,
    due_at=40,
    lapses_at=1 << 40,
    month_cost=2_500_000,
    fault="été",
    note=b"request",
    repairs=2,
)
PENDING = Copy(manifest=MANIFEST, place="home", kind=Kind.DIRECTORY)
PIECE = ListedPiece(number=0, piece=piece_cid(bytes(200)), blocks=listed([(Cid.of(RAW, b"x"), 1)]))


@pytest.fixture
def kept(records: Records) -> CopyRecords:
    return CopyRecords(records)


def test_a_copy_is_found_as_it_was_added_and_once(kept: CopyRecords) -> None:
    assert kept.add(COPY) == COPY
    assert kept.add(PENDING) == PENDING
    assert kept.add(replace(COPY, state=CopyState.DAMAGED, note=b"")) == COPY
    assert kept.add(replace(COPY, manifest=OTHER)).manifest == OTHER
    assert kept.copies(MANIFEST) == [PENDING, COPY]
    assert {(copy.manifest, copy.place) for copy in kept.copies()} == {
        *((MANIFEST, "home"), (MANIFEST, "pins"), (OTHER, "pins"))
    }
    assert kept.get(MANIFEST, "pins") == COPY
    assert kept.get(OTHER, "home") is None


def test_a_change_leaves_what_it_does_not_name(kept: CopyRecords) -> None:
    kept.add(COPY)
    changed = kept.change(MANIFEST, "pins", state=CopyState.DAMAGED, fault="x" * 5000)
    assert changed == replace(COPY, state=CopyState.DAMAGED, fault="x" * FAULT_CHARS_MAX)
    assert kept.copies() == [changed]
    assert kept.change(MANIFEST, "pins", lapses_at=None).lapses_at is None
    with pytest.raises(StaleState, match="forgotten"):
        kept.change(OTHER, "pins", fault="")


def test_copies_are_counted_by_state(kept: CopyRecords) -> None:
    kept.add(COPY)
    kept.add(PENDING)
    assert [kept.count(MANIFEST, state) for state in CopyState] == [1, 1, 0, 0, 0, 0]
    assert kept.count(OTHER, CopyState.VERIFIED) == 0


def test_how_many_are_wanted_is_kept_and_may_change(kept: CopyRecords) -> None:
    assert (kept.wanted(MANIFEST), kept.datasets()) == (0, [])
    for copies in (2, COPIES_MAX):
        kept.want(MANIFEST, copies)
        assert kept.wanted(MANIFEST) == copies
    kept.want(OTHER, 1)
    assert kept.datasets() == sorted([MANIFEST, OTHER])


@pytest.mark.parametrize("copies", [0, COPIES_MAX + 1])
def test_no_other_number_can_be_wanted(kept: CopyRecords, copies: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        kept.want(MANIFEST, copies)
    assert kept.wanted(MANIFEST) == 0


def test_a_dataset_has_a_bounded_number_of_copies(kept: CopyRecords) -> None:
    for number in range(COPIES_MAX):
        kept.add(replace(COPY, place=f"place {number}"))
    with pytest.raises(RecordsUnavailable, match="its limit"):
        kept.add(replace(COPY, place="one more"))
    assert kept.add(replace(COPY, place="place 0")).place == "place 0"


def test_pieces_are_kept_in_order_and_by_number(kept: CopyRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    second = replace(PIECE, number=1, piece=piece_cid(bytes(300)))
    for piece in (second, replace(second, piece=PIECE.piece), second, PIECE):
        kept.keep_piece(MANIFEST, "filecoin", piece)
    assert kept.pieces(MANIFEST, "filecoin") == [PIECE, second]
    assert kept.pieces(MANIFEST, "other") == kept.pieces(OTHER, "filecoin") == []
    monkeypatch.setattr(copies_module, "PIECES_MAX", 2)
    with pytest.raises(RecordsUnavailable, match="its limit"):
        kept.keep_piece(MANIFEST, "filecoin", replace(PIECE, number=2))


def test_a_forgotten_copy_takes_its_pieces_with_it(kept: CopyRecords) -> None:
    kept.add(COPY)
    kept.add(PENDING)
    kept.keep_piece(MANIFEST, "pins", PIECE)
    for _ in range(2):
        kept.forget(MANIFEST, "pins")
    assert (kept.copies(), kept.pieces(MANIFEST, "pins")) == ([PENDING], [])


def test_copies_that_nobody_wants_any_more_are_there_until_their_places_let_go(kept: CopyRecords) -> None:
    for manifest in (MANIFEST, OTHER):
        kept.want(manifest, 2)
        kept.add(replace(COPY, manifest=manifest))
        kept.keep_piece(manifest, "pins", PIECE)
    for _ in range(2):
        kept.unwant(MANIFEST)
    assert (kept.datasets(), kept.wanted(MANIFEST)) == ([OTHER], 0)
    assert (kept.pieces(MANIFEST, "pins"), kept.pieces(OTHER, "pins")) == ([PIECE], [PIECE])


def test_a_leaving_copy_stays_one_until_it_is_forgotten_or_wanted_anew(kept: CopyRecords) -> None:
    kept.add(COPY)
    kept.keep_piece(MANIFEST, "pins", PIECE)
    left = kept.change(MANIFEST, "pins", state=CopyState.LEAVING, fault="not yet")
    assert kept.change(MANIFEST, "pins", due_at=9) == replace(left, due_at=9)
    assert [kept.get(MANIFEST, "pins")] == kept.copies() == [replace(left, due_at=9)]
    assert kept.count(MANIFEST, CopyState.VERIFIED) == 0
    assert kept.add(PENDING) == PENDING
    assert kept.add(COPY) == COPY  # which begins anew
    assert (kept.get(MANIFEST, "pins"), kept.pieces(MANIFEST, "pins")) == (COPY, [])
    kept.change(MANIFEST, "pins", state=CopyState.LEAVING)
    kept.forget(MANIFEST, "pins")
    assert kept.add(COPY) == kept.copies(MANIFEST)[-1] == COPY


def test_who_lied_is_counted_and_the_last_lie_kept(kept: CopyRecords) -> None:
    kept.blame("node", "first", at=5)
    kept.blame("node", "y" * 5000, at=7)
    assert kept.claim_place_note("quiet", b"", b"note") == b"note"
    assert kept.standings() == {
        "node": PlaceStanding(place="node", lies=2, last_lie_at=7, last_lie="y" * FAULT_CHARS_MAX),
        "quiet": PlaceStanding(place="quiet", note=b"note"),
    }


def test_only_one_of_two_claims_is_remembered(kept: CopyRecords) -> None:
    assert kept.place_note("filecoin") == b""
    assert kept.claim_place_note("filecoin", b"", b"mine") == b"mine"
    assert kept.claim_place_note("filecoin", b"", b"yours") == b"mine"
    assert kept.claim_place_note("filecoin", b"mine", b"") == b""
    assert kept.place_note("filecoin") == b""
