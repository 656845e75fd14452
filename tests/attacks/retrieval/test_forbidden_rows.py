"""A forbidden passage has no influence on ids, scores or errors (rule O4), whatever its vector is made to be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rag.exact
from rag.allowed import Allowed
from rag.exact import TileIndex
from rag.faiss_index import FaissFlatIndex
from rag.model import Hit, Index
from rag.scoring import NORM_MAX

Rows = NDArray[np.float32]
INDEXES: dict[str, Callable[[Rows], Index]] = {
    "faiss": FaissFlatIndex,
    "int8": partial(TileIndex, form="int8"),
    "bfloat16": partial(TileIndex, form="bfloat16"),
    "float32": partial(TileIndex, form="float32"),
    "device": partial(TileIndex, device="cpu:0"),
}


def unit(rng: np.random.Generator, count: int, dimension: int) -> Rows:
    rows = rng.standard_normal((count, dimension))
    found: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def forbidden_as(kind: str, rng: np.random.Generator, queries: Rows, count: int) -> Rows:
    """Vectors for rows that the caller may not see."""
    match kind:
        case "perfect":
            rows = np.tile(queries[0], (count, 1))
        case "far too good":
            rows = np.tile(queries[0] * (0.99 * NORM_MAX), (count, 1))
        case "worst":
            rows = -np.tile(queries[0] * (0.99 * NORM_MAX), (count, 1))
        case "tiny":
            rows = rng.standard_normal((count, queries.shape[1])) * 1e-44
        case _:
            rows = np.zeros((count, queries.shape[1]))
    return rows.astype(np.float32)


KINDS = ("perfect", "far too good", "worst", "tiny", "zero")


@pytest.mark.parametrize("made", INDEXES.values(), ids=INDEXES.keys())
@pytest.mark.parametrize("share", [0.005, 0.06, 0.5, 0.97])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS))
def test_forbidden_vectors_change_nothing(made: Callable[[Rows], Index], share: float, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((700, 32)).astype(np.float32) / 6
    queries = unit(rng, 4, 32)
    mask = rng.random(700) < share
    before = answers(made(vectors), queries, mask)
    vectors[~mask] = forbidden_as(kind, rng, queries, int((~mask).sum()))
    assert answers(made(vectors), queries, mask) == before


def answers(index: Index, queries: Rows, mask: NDArray[np.bool_]) -> list[list[list[Hit]]]:
    """Ask thrice: with a fresh set, again with what was kept for it, and for more than there is."""
    allowed = Allowed.from_mask(mask)
    return [index.search(queries, k=k, allowed=allowed) for k in (10, 10, 900)]


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_change_behind_a_kept_set_change_nothing(kind: str) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((900, 32)).astype(np.float32) / 6
    queries = unit(rng, 4, 32)
    for share in (0.005, 0.06, 0.5):
        index, mask = TileIndex(vectors), rng.random(900) < share
        allowed = Allowed.from_mask(mask)
        before = [index.search(queries, k=10, allowed=allowed) for _ in range(2)]
        hidden = np.flatnonzero(~mask)
        index.replace(hidden, forbidden_as(kind, rng, queries, len(hidden)))
        assert [index.search(queries, k=10, allowed=allowed) for _ in range(2)] == before
        index.delete(hidden[::2])
        assert [index.search(queries, k=10, allowed=allowed) for _ in range(2)] == before


def test_a_set_of_the_same_address_gets_nothing_of_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python gives a new object the address of a dead one: what was kept must not outlive its set."""
    rng = np.random.default_rng(2)
    vectors = rng.standard_normal((400, 8)).astype(np.float32)
    index = TileIndex(vectors)
    for start in range(0, 400, 4):
        (hits,) = index.search(vectors[:1], k=10, allowed=Allowed(range(start, start + 4), total=400))
        assert sorted(hit.index for hit in hits) == list(range(start, start + 4))
    assert rag.exact.NARROW_AT_ONCE >= 4 / 400  # or nothing would have been kept
