"""An index that changes answers like one that was made anew, and keeps nothing of what it was told to forget."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

import rag.exact
from rag.allowed import Allowed
from rag.errors import DimensionMismatch, UnusableVector
from rag.exact import TileIndex
from rag.model import Hit
from rag.scoring import exact_scores

Rows = NDArray[np.float32]
DIMENSION = 12
MARK = np.float32(0.7310585786300049)  # an element that no other vector of these tests has


def some(seed: int, count: int) -> Rows:
    rng = np.random.default_rng(seed)
    scale = rng.choice([1e-3, 1.0, 50.0], size=(count, 1))
    return (rng.integers(-4, 5, size=(count, DIMENSION)) * scale).astype(np.float32)  # few values: many ties


class Changes(RuleBasedStateMachine):
    """The index against a dict of its live rows."""

    @initialize(
        seed=st.integers(0, 99), count=st.integers(0, 150), form=st.sampled_from(["int8", "bfloat16", "float32"])
    )
    def make(self, seed: int, count: int, form: str) -> None:
        vectors = some(seed, count)
        self.index, self.model, self.next = TileIndex(vectors, form=form), dict(enumerate(vectors)), count

    @rule(seed=st.integers(0, 99), count=st.integers(0, 130))
    def add(self, seed: int, count: int) -> None:
        vectors = some(seed, count)
        rows = self.index.add(vectors)
        assert rows == range(self.next, self.next + count)
        self.model.update(zip(rows, vectors, strict=True))
        self.next += count

    @precondition(lambda self: self.model)
    @rule(seed=st.integers(0, 99), data=st.data())
    def replace(self, seed: int, data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=90))
        vectors = some(seed, len(rows))
        self.index.replace(rows, vectors)
        self.model.update(zip(rows, vectors, strict=True))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.sampled_from(sorted(self.model)), unique=True, max_size=90))
        self.index.delete(rows)
        for row in rows:
            del self.model[row]

    @rule(seed=st.integers(0, 99), k=st.sampled_from([1, 7, 400]), share=st.sampled_from([None, 0.0, 0.02, 0.6]))
    def search(self, seed: int, k: int, share: float | None) -> None:
        queries = some(seed + 1000, 2)
        mask = np.random.default_rng(seed).random(self.next) < (1.0 if share is None else share)
        allowed = None if share is None else Allowed.from_mask(mask)
        rows = np.array(sorted(row for row in self.model if mask[row]), dtype=np.int64)
        vectors = np.array([self.model[row] for row in rows], np.float32).reshape(-1, DIMENSION)
        for _ in range(2):  # the second time with what the first one kept
            for query, hits in zip(queries, self.index.search(queries, k=k, allowed=allowed), strict=True):
                scores = exact_scores(vectors, query)
                order = np.lexsort((rows, -scores))[:k]
                assert hits == [Hit(int(rows[at]), float(scores[at])) for at in order]

    @invariant()
    def counts_agree(self) -> None:
        assert (self.index.count, self.index.live) == (self.next, len(self.model))


TestChanges = Changes.TestCase
TestChanges.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def buffers_of(index: TileIndex) -> list[NDArray[np.generic]]:
    """Return every array that the index holds rows in, also those it has let go of and the caller kept."""
    import torch

    found: list[NDArray[np.generic]] = []
    seen: set[int] = set()
    todo: list[object] = [index]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(thing, torch.Tensor):
            found.append((thing.view(torch.int16) if thing.dtype in (torch.bfloat16, torch.float16) else thing).numpy())
        elif isinstance(thing, np.ndarray):
            found.append(thing)
        elif type(thing).__module__.startswith("rag.") or isinstance(thing, (dict, list, tuple)):
            held = thing if isinstance(thing, (dict, list, tuple)) else getattr(thing, "__dict__", {})
            slots = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ()) if hasattr(thing, name)]
            todo += [*(held.values() if isinstance(held, dict) else held), *slots]
    return [array for array in found if array.ndim == 2 and array.shape[1] == DIMENSION]


@pytest.mark.parametrize("change", ["delete", "replace"])
@pytest.mark.parametrize(
    ("form", "device", "copies"),
    [("int8", "cpu", 3), ("bfloat16", "cpu", 3), ("float32", "cpu", 2), ("float16", "cpu:0", 3)],
)
def test_what_is_deleted_or_replaced_is_overwritten_in_every_copy(
    form: str, device: str, copies: int, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rag.exact, "NARROW_AT_ONCE", 1.0)
    monkeypatch.setattr(rag.exact, "NARROW_SHARE", 1.0)
    vectors = np.zeros((100, DIMENSION), np.float32)
    vectors[70] = MARK
    index = TileIndex(vectors, form=form, device=device)
    allowed = Allowed(range(60, 80), total=100)
    index.search(vectors[70:71], k=3, allowed=allowed)
    before = buffers_of(index)
    assert len(before) == copies  # few bits, the exact rows or their rest, and the copy for the allowed set
    assert all(array.any() for array in before)
    if change == "delete":
        index.delete([70])
    else:
        index.replace([70], np.zeros((1, DIMENSION), np.float32))
    assert not any(array.any() for array in before + buffers_of(index))


@pytest.mark.parametrize("form", ["int8", "bfloat16", "float32"])
def test_growing_leaves_nothing_in_the_old_room(form: str) -> None:
    index = TileIndex(np.full((64, DIMENSION), MARK), form=form)
    before = buffers_of(index)
    index.add(np.ones((1, DIMENSION), np.float32))
    assert before
    assert not any(array.any() for array in before)


def test_rows_are_added_at_amortized_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    index = TileIndex(np.zeros((0, DIMENSION), np.float32))
    rooms = []
    resize = index._tiles.resize
    monkeypatch.setattr(index._tiles, "resize", lambda tiles: (rooms.append(tiles), resize(tiles)))
    for _ in range(200):
        index.add(np.ones((64, DIMENSION), np.float32))
    assert len(rooms) < 20


@pytest.mark.parametrize("rows", [[5], [-1], [1, 1], [3]])
@pytest.mark.parametrize("change", ["delete", "replace"])
def test_a_row_that_is_not_there_deleted_or_named_twice_is_refused_and_nothing_changes(
    change: str, rows: list[int]
) -> None:
    eye = np.eye(5, dtype=np.float32)
    index = TileIndex(eye)
    index.delete([3])
    before = index.search(eye, k=5)
    with pytest.raises(ValueError, match="row"):
        index.delete([0, *rows]) if change == "delete" else index.replace([0, *rows], eye[: 1 + len(rows)] * 2)
    assert index.search(eye, k=5) == before


def test_vectors_that_an_index_cannot_take_are_refused_and_nothing_changes() -> None:
    eye = np.eye(5, dtype=np.float32)
    index = TileIndex(eye)
    for wrong, error in ((eye * np.float32("nan"), UnusableVector), (eye[:, :4], DimensionMismatch)):
        with pytest.raises(error):
            index.add(wrong)
        with pytest.raises(error):
            index.replace(range(5), wrong)
    with pytest.raises(ValueError, match="replaced by"):
        index.replace([1, 2], eye[:1])
    assert (index.count, index.live) == (5, 5)


def test_allowed_rows_of_before_an_addition_are_refused() -> None:
    eye = np.eye(5, dtype=np.float32)
    index = TileIndex(eye)
    allowed = Allowed([1], total=5)
    assert index.search(eye, k=1, allowed=allowed)
    index.add(eye)
    with pytest.raises(DimensionMismatch):
        index.search(eye, k=1, allowed=allowed)


def test_what_is_kept_for_allowed_sets_has_a_bound_and_ends_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rag.exact, "SELECTIONS_BYTES_MAX", 20_000)
    vectors = some(1, 2000)
    index = TileIndex(vectors)
    plain = index.nbytes
    sets = [Allowed(range(start, start + 20), total=2000) for start in range(0, 1000, 20)]
    for allowed in sets * 2:
        assert {hit.index for hit in index.search(vectors[:1], k=20, allowed=allowed)[0]} == set(allowed.rows.tolist())
        assert index.nbytes <= plain + 20_000 + 10_000
    sets.clear()
    del allowed
    gc.collect()
    index.search(vectors[:1], k=1, allowed=Allowed([], total=2000))
    assert index._selections.nbytes < 1000
