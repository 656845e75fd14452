"""Which rows may be hits: what is taken, what is refused, and that it never changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.allowed import Allowed


@given(rows=st.sets(st.integers(0, 299)))
def test_rows_mask_and_share_say_the_same(rows: set[int]) -> None:
    allowed = Allowed(rows, total=300)
    assert len(allowed) == len(rows)
    assert allowed.rows.tolist() == sorted(rows)
    assert np.flatnonzero(allowed.mask).tolist() == sorted(rows)
    assert allowed.share == len(rows) / 300
    assert Allowed.from_mask(allowed.mask).bitmap == allowed.bitmap


def test_all_of_nothing_is_allowed() -> None:
    assert Allowed([], total=0).share == 1
    assert len(Allowed.from_mask(np.zeros(0, dtype=np.bool_))) == 0


@pytest.mark.parametrize(("rows", "total"), [([5], 5), ([0], 0), ([-1], 5), ([2**32], 5), ([2**70], 5), ([], -1)])
def test_a_row_that_the_index_has_not_is_refused(rows: list[int], total: int) -> None:
    with pytest.raises(ValueError, match="row"):
        Allowed(rows, total=total)


@pytest.mark.parametrize("mask", [np.array([0, 2, 1]), np.ones((2, 2), dtype=np.bool_), np.array([1.0])])
def test_a_mask_that_is_not_a_row_of_booleans_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(ValueError, match="booleans"):
        Allowed.from_mask(mask)


def test_what_it_gives_out_cannot_be_written_to() -> None:
    allowed = Allowed([1, 3], total=5)
    for given_out in (allowed.rows, allowed.mask):
        with pytest.raises(ValueError, match="read-only"):
            given_out[0] = 1
