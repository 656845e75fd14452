"""Exact search over tiles is exact, whatever the vectors: each form of rows against float64 over every row."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import rag.tile_filter
from rag.allowed import Allowed
from rag.exact import TileIndex
from rag.exact_rows import exact_beside
from rag.float_rows import multiplies_bfloat16
from rag.int8_rows import multiplies_int8
from rag.low_precision import FORMS, LowPrecision, best_form, rows_of
from rag.model import Hit
from rag.rounding import TILE
from rag.scoring import NORM_MAX, exact_scores

Rows = NDArray[np.float32]
every_form = pytest.mark.parametrize("form", FORMS)


def oracle(vectors: Rows, query: Rows, k: int, mask: NDArray[np.bool_] | None = None) -> list[Hit]:
    rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
    scores = exact_scores(vectors[rows], query)
    return [Hit(int(rows[at]), float(scores[at])) for at in np.lexsort((rows, -scores))[:k]]


def unit(rng: np.random.Generator, count: int, dimension: int) -> Rows:
    rows = rng.standard_normal((count, dimension))
    found: Rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def near_ties(rng: np.random.Generator, dimension: int) -> Rows:
    base = unit(rng, 6, dimension)
    noise = rng.standard_normal((900, dimension)) * rng.choice([0, 1e-8, 1e-5, 1e-3], size=(900, 1))
    return (np.repeat(base, 150, axis=0) + noise).astype(np.float32)


def huge_range(rng: np.random.Generator, dimension: int) -> Rows:
    """Rows from the longest that are taken down to subnormal ones, side by side in each tile."""
    lengths = 10.0 ** rng.uniform(-44, 3, size=(700, 1))
    return (unit(rng, 700, dimension) * np.minimum(lengths, 0.99 * NORM_MAX)).astype(np.float32)


def wide_elements(rng: np.random.Generator, dimension: int) -> Rows:
    """Rows of one large element and many small ones: what a scale for all of them rounds away."""
    rows = rng.standard_normal((500, dimension)) * 1e-4
    rows[np.arange(500), rng.integers(0, dimension, 500)] = rng.choice([-1.0, 1.0], 500)
    return rows.astype(np.float32)


def midpoints(rng: np.random.Generator, dimension: int) -> Rows:
    """Elements half-way between two bfloat16, and half-way between two steps of 8 bits: all round the same way."""
    signs = rng.choice([-1.0, 1.0], size=(1, dimension))
    steps = rng.integers(64, 127, size=(600, dimension))
    rows = np.where(rng.random((600, 1)) < 0.5, (steps + 0.5) / 128, 1 + (2 * (steps % 64) + 1) * 2.0**-8)
    rows[:, 0] = 127 / 64  # sets the scale
    found: Rows = (rows * signs * np.where(rng.random((600, dimension)) < 0.9, 1, -1)).astype(np.float32)
    return found


def tiny(rng: np.random.Generator, dimension: int) -> Rows:
    rows = unit(rng, 300, dimension).astype(np.float64) * rng.choice([1e-38, 1e-42, 1e-45, 0, 1], size=(300, 1))
    return rows.astype(np.float32)


def sorted_block(rng: np.random.Generator, dimension: int) -> Rows:
    """All the best rows in one tile, in order of their score."""
    rows = unit(rng, 1000, dimension)
    rows[320:384] = rows[0] * np.linspace(0.5, 2, 64, dtype=np.float32)[:, None]
    return rows


ADVERSARIES = (near_ties, huge_range, wide_elements, midpoints, tiny, sorted_block)
every_adversary = pytest.mark.parametrize("made", ADVERSARIES, ids=lambda made: made.__name__)


def asked(rng: np.random.Generator, vectors: Rows) -> Rows:
    """Rows themselves, random directions, zero, one axis, and both ends of the range."""
    dimension = vectors.shape[1]
    special = np.stack([np.zeros(dimension), np.eye(dimension)[0], np.full(dimension, 1e-40), -vectors[0]])
    random = unit(rng, 3, dimension)
    return np.concatenate([vectors[:2], vectors[400 % len(vectors)][None], random, random * 900, special]).astype(
        np.float32
    )


@every_form
@every_adversary
@pytest.mark.parametrize("dimension", [384, 7])
def test_ids_and_scores_are_those_of_float64_over_every_row(made, form: str, dimension: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(dimension)
    vectors = made(rng, dimension)
    index, queries = TileIndex(vectors, form=form), asked(rng, vectors)
    mask = rng.random(len(vectors)) < 0.4
    for k in (1, 10, 257):
        assert index.search(queries, k=k) == [oracle(vectors, query, k) for query in queries]
        found = index.search(queries, k=k, allowed=Allowed.from_mask(mask))
        assert found == [oracle(vectors, query, k, mask) for query in queries]


@pytest.mark.parametrize("dimension", [1, 2, 7, 384, 4096])
def test_each_form_is_tried_before_it_is_chosen(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that sums in 16 bits, or that saturates, is not asked for such products."""
    import torch

    sums = torch.mm, torch._int_mm

    def in_16_bits(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        whole = torch.zeros((len(rows), columns.shape[1]), dtype=torch.bfloat16)
        for depth in range(rows.shape[1]):
            whole += rows[:, depth : depth + 1] * columns[depth]
        return whole

    for features, form in (({"amx_bf16"}, "bfloat16"), ({"avx512_bf16"}, "bfloat16"), ({"avx512_vnni"}, "int8")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda features=features: dict.fromkeys(features, True))
        multiplies_bfloat16.cache_clear(), multiplies_int8.cache_clear()
        assert best_form(dimension) == form
        monkeypatch.setattr(torch, "mm", in_16_bits)
        monkeypatch.setattr(torch, "_int_mm", lambda rows, columns: sums[1](rows, columns).clamp(-(2**13), 2**13))
        multiplies_bfloat16.cache_clear(), multiplies_int8.cache_clear()
        if dimension >= 7:  # few products have sums that fit
            assert best_form(dimension) == "float32"
        monkeypatch.setattr(torch, "mm", sums[0])
        monkeypatch.setattr(torch, "_int_mm", sums[1])
    multiplies_bfloat16.cache_clear(), multiplies_int8.cache_clear()


@every_form
@every_adversary
def test_the_bound_holds_for_every_row(made, form: str) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(5)
    vectors = made(rng, 384)
    queries = asked(rng, vectors)
    for scores, published, margin in margins(form, vectors, queries):
        assert (np.abs(scores - published) <= margin).all()


@pytest.mark.parametrize("form", ["int8", "bfloat16"])
def test_the_bound_is_no_wider_than_it_needs_to_be(form: str) -> None:
    """Half-way elements that all round against the query use up a good part of it: half of it would be wrong."""
    used = 0.0
    for seed in range(3):
        rng = np.random.default_rng(seed)
        vectors = midpoints(rng, 384)
        lost = vectors - rounded_as(form, vectors)
        for scores, published, margin in margins(form, vectors, lost[:40]):
            used = max(used, float(np.max(np.abs(scores - published) / np.maximum(margin, 1e-300))))
    assert 0.5 < used <= 1


def margins(form: str, vectors: Rows, queries: Rows):  # type: ignore[no-untyped-def]
    """Yield for each query the low-precision scores of all rows, the published ones, and the bound between them."""
    low = filled(form, vectors)
    columns, bounds = low.columns(queries, low.width_of(len(queries)))
    multiplied = np.empty(0)
    import torch

    out = torch.empty((len(low.values), columns.shape[1]), dtype=low.scores_like())  # type: ignore[attr-defined]
    low.product(0, len(out), columns, out)
    multiplied = out.double().numpy()[: len(vectors)]
    tile = np.arange(len(vectors)) // TILE
    for at, query in enumerate(queries):
        scores = multiplied[:, at] * low.bounds.scale[tile] * bounds.scale[at]
        margin = bounds.alpha[at] * low.bounds.error[tile] + bounds.beta[at] * low.bounds.norm[tile] + bounds.tau[at]
        margin += low.arithmetic.output * np.abs(scores)
        yield scores, exact_scores(vectors, query), margin


def filled(form: str, vectors: Rows) -> LowPrecision:
    low = rows_of(form, vectors.shape[1])
    tiles = -(-len(vectors) // TILE)
    low.resize(tiles)
    block = np.zeros((tiles * TILE, vectors.shape[1]), np.float32)
    block[: len(vectors)] = vectors
    low.encode(0, block)
    return low


def rounded_as(form: str, vectors: Rows) -> Rows:
    low = filled(form, vectors)
    values = low.values.float().numpy()[: len(vectors)]  # type: ignore[attr-defined]
    scaled: Rows = values * low.bounds.scale[np.arange(len(vectors)) // TILE][:, None].astype(np.float32)
    return scaled


@every_form
@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 127, 129])
def test_any_number_of_rows(form: str, count: int) -> None:
    rng = np.random.default_rng(count)
    vectors, queries = unit(rng, count, 48), unit(rng, 3, 48)
    index = TileIndex(vectors, form=form)
    for k in (1, 5, 1000):
        assert index.search(queries, k=k) == [oracle(vectors, query, k) for query in queries]


@every_form
def test_many_small_segments_give_the_same_answer(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    vectors, queries = unit(rng, 3000, 64), unit(rng, 20, 64)
    vectors[1000:1500] = vectors[7]
    mask = np.arange(3000) % 500 > 300  # whole tiles are closed, and the first segments have few open rows
    expected = [oracle(vectors, query, 40, mask) for query in np.concatenate([queries, vectors[7:8]])]
    monkeypatch.setattr(rag.tile_filter, "SEGMENT_BYTES", 64 * TILE * 4)
    monkeypatch.setattr(rag.tile_filter, "CHUNK_BYTES", 16 * TILE * 4)
    monkeypatch.setattr(rag.tile_filter, "GATHERED_MAX", 500)
    monkeypatch.setattr(rag.tile_filter, "PENDING_MAX", 60)
    found = TileIndex(vectors, form=form).search(
        np.concatenate([queries, vectors[7:8]]), k=40, allowed=Allowed.from_mask(mask)
    )
    assert found == expected


@every_form
def test_an_answer_does_not_depend_on_the_batch_its_order_or_the_threads(form: str) -> None:
    rng = np.random.default_rng(3)
    vectors = near_ties(rng, 384)
    queries = np.concatenate([unit(rng, 60, 384), vectors[:10]])
    index = TileIndex(vectors, form=form)
    together = index.search(queries, k=10)
    order = rng.permutation(len(queries))
    assert index.search(queries[order], k=10) == [together[at] for at in order]
    for size in (1, 2, 3, 17):
        alone = [hits for at in range(0, 17, size) for hits in index.search(queries[at : at + size], k=10)]
        assert alone[:17] == together[:17]
    for threads in (1, 2):
        assert TileIndex(vectors, form=form, threads=threads).search(queries, k=10) == together


def test_threads_take_turns() -> None:
    rng = np.random.default_rng(8)
    vectors, queries = unit(rng, 5000, 96), unit(rng, 40, 96)
    index = TileIndex(vectors)
    expected = index.search(queries, k=5)
    with ThreadPoolExecutor(8) as pool:
        assert [hits for (hits,) in pool.map(lambda query: index.search(query[None], k=5), queries)] == expected


def test_an_index_asks_for_its_own_threads_and_gives_them_back() -> None:
    import torch

    before = torch.get_num_threads()
    TileIndex(np.eye(4, dtype=np.float32), threads=before + 1).search(np.eye(4, dtype=np.float32), k=1)
    assert torch.get_num_threads() == before


@settings(max_examples=40, deadline=None)
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=200))
def test_every_float32_that_an_index_takes_is_put_together_again_bit_for_bit(bits: list[int]) -> None:
    values = np.array(bits, dtype=np.uint32).view(np.float32)
    values = values[np.abs(values) <= NORM_MAX]  # drops NaN too
    block = np.zeros((-(-len(values) // TILE) * TILE, 1), np.float32)
    block[: len(values), 0] = values
    low = rows_of("bfloat16", 1)
    exact = exact_beside(low)
    exact.resize(len(block))
    low.resize(len(block) // TILE)
    low.encode(0, block)
    exact.write(0, block)
    assert exact.read(np.arange(len(block))).tobytes() == block.tobytes()


@pytest.mark.parametrize("dimension", [1, 2, 3, 6, 7, 384])
def test_scores_are_summed_by_halving(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    vectors, query = unit(rng, 300, dimension), unit(rng, 1, dimension)[0]
    assert exact_scores(vectors, query).tolist() == [summed(row.tolist(), query.tolist()) for row in vectors]
    each = np.repeat(query[None], 300, axis=0)
    assert exact_scores(vectors, each).tolist() == exact_scores(vectors, query).tolist()
    exact = [math.fsum(row.astype(np.float64) * query) for row in vectors]
    assert exact_scores(vectors, query) == pytest.approx(exact, abs=1e-15)


def summed(row: list[float], query: list[float]) -> float:
    products = [left * right for left, right in zip(row, query, strict=True)]
    while len(products) > 1:
        half = (len(products) + 1) // 2
        upper = products[half:]
        products = [value + (upper[at] if at < len(upper) else 0.0) for at, value in enumerate(products[:half])]
    return products[0]


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"form": "int4"}, {"form": "int8", "device": "cpu:0"}])
def test_settings_that_there_are_not_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        TileIndex(np.eye(4, dtype=np.float32), **wrong)  # type: ignore[arg-type]
