"""Neighbors: in reading order, within one document, and never past what is not allowed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.allowed import Allowed
from rag.errors import DimensionMismatch
from rag.neighbors import NEIGHBORS_MAX, Neighborhoods, Place

# Rows of two documents, stored out of order.
PLACES = [
    Place("b", 0, 10),
    Place("a", 20, 30),
    Place("a", 0, 10),
    Place("a", 10, 20),
    Place("b", 10, 20),
    Place("a", 30, 40),
]
places = st.lists(
    st.builds(lambda d, s, n: Place(d, s, s + n), st.sampled_from("abc"), st.integers(0, 20), st.integers(0, 20)),
    min_size=1,
    max_size=25,
)


def test_neighbors_are_of_the_same_document_in_reading_order() -> None:
    around = Neighborhoods(PLACES)
    assert around.around(3, reach=1) == [2, 1]
    assert around.around(3, reach=8) == [2, 1, 5]
    assert around.around(5, reach=2) == [3, 1]
    assert around.around(0, reach=8) == [4]
    assert around.around(3, reach=0) == []


def test_a_forbidden_passage_ends_the_walk() -> None:
    around = Neighborhoods(PLACES)
    assert around.around(2, reach=8, allowed=Allowed([2, 1, 5], total=6)) == []  # 3 lies between
    assert around.around(5, reach=8, allowed=Allowed([5, 1], total=6)) == [1]


def test_a_forbidden_passage_has_no_neighbors_itself() -> None:
    assert Neighborhoods(PLACES).around(3, reach=8, allowed=Allowed([1, 2, 5], total=6)) == []


@settings(deadline=None)
@given(places, st.data(), st.integers(0, NEIGHBORS_MAX))
def test_neighbors_are_what_lies_around_in_the_sorted_document(
    given_: list[Place], data: st.DataObject, reach: int
) -> None:
    row = data.draw(st.integers(0, len(given_) - 1))
    permitted = data.draw(st.sets(st.integers(0, len(given_) - 1)))
    document = sorted(
        (place.start, place.end, at) for at, place in enumerate(given_) if place.document == given_[row].document
    )
    order = [at for _, _, at in document]
    here = order.index(row)
    before, after = order[max(0, here - reach) : here], order[here + 1 : here + 1 + reach]
    assert Neighborhoods(given_).around(row, reach=reach) == before + after
    reached = []
    for walk in (before[::-1], after):
        stop = next((at for at, other in enumerate(walk) if other not in permitted), len(walk))
        reached.append(walk[:stop])
    expected = reached[0][::-1] + reached[1] if row in permitted else []
    found = Neighborhoods(given_).around(row, reach=reach, allowed=Allowed(permitted, total=len(given_)))
    assert found == expected


@pytest.mark.parametrize(("row", "reach"), [(-1, 1), (6, 1), (0, -1), (0, NEIGHBORS_MAX + 1)])
def test_what_is_out_of_range_is_refused(row: int, reach: int) -> None:
    with pytest.raises(ValueError, match="row must be"):
        Neighborhoods(PLACES).around(row, reach=reach)


def test_a_permit_of_another_dataset_is_refused() -> None:
    with pytest.raises(DimensionMismatch):
        Neighborhoods(PLACES).around(0, reach=1, allowed=Allowed([0], total=7))


def test_a_dataset_may_be_empty() -> None:
    assert Neighborhoods([]).count == 0
