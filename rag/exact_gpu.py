"""The rows of an index in a GPU's memory, searched there: only the survivors' numbers and scores come back.

The algorithm is that of `rag.tile_filter`; what differs is what a GPU is good at. Scores of a segment are reduced to
tile maxima where they are made, by the fused kernel of `rag.triton_tiles` where there is one, and surviving tiles are
scored whole, in float64 and in the order of `rag.scoring`: elementwise sums, which no library reorders, so the bytes
are those of the CPU. Rows take 6 bytes an element: 2 that are multiplied and 4 that are scored.

It runs on any device of torch. Tests run it on the CPU; it was not run on a GPU.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from rag.pairs import Pairs, hits_of, k_best
from rag.rounding import (
    BFLOAT16_UNIT,
    DEVICE_SUM_UNIT,
    FLOAT16_TINY,
    FLOAT16_UNIT,
    SLACK,
    TILE,
    Arithmetic,
    QueryBounds,
    TileBounds,
)
from rag.scoring import halved
from rag.tile_encoding import float_columns, keep_bounds, resized, resized_bounds, rounded_width, tiles_of
from rag.tile_filter import split_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

    from rag.model import Hit

FORMS = ("float16", "bfloat16")
COLUMNS_MAX = 1024  # queries multiplied at once
SEGMENT_BYTES = 256 * 2**20  # scores held at once, where they are not fused away
SCORED_BYTES = 256 * 2**20  # float64 products held at once
BLOCK = 64 * TILE


class DeviceTiles:
    """Tiles of rows on a device; see `rag.exact.Tiles`."""

    def __init__(self, dimension: int, *, device: str, form: str | None = None, fused: bool | None = None) -> None:
        """Make empty rows.

        Args:
            form: one of `FORMS`; None: float16, whose bound is 8 times tighter.
            fused: whether the Triton kernel multiplies; None: where there is Triton and a GPU.
        """
        import torch

        from rag.triton_tiles import is_fused_on

        form = form or "float16"
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
        self.dimension, self.form = dimension, form
        self.device = torch.device(device)
        self.fused = is_fused_on(self.device) if fused is None else fused
        self.dtype = torch.float16 if form == "float16" else torch.bfloat16
        if form == "float16":
            self.arithmetic = Arithmetic.floating(
                dimension, output=FLOAT16_UNIT, tiny=FLOAT16_TINY, unit=DEVICE_SUM_UNIT
            )
        else:
            self.arithmetic = Arithmetic.floating(dimension, output=BFLOAT16_UNIT, unit=DEVICE_SUM_UNIT)
        self.bounds = TileBounds.zeros(0)
        self.values = torch.zeros((0, dimension), dtype=self.dtype, device=self.device)
        self.exact = torch.zeros((0, dimension), dtype=torch.float32, device=self.device)

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take, bounds included."""
        return self.values.nbytes + self.exact.nbytes + self.bounds.nbytes

    def resize(self, tiles: int) -> None:
        """Make room for `tiles` tiles in all, and overwrite the old room."""
        self.values = resized(self.values, tiles * TILE)
        self.exact = resized(self.exact, tiles * TILE)
        self.bounds = resized_bounds(self.bounds, tiles)

    def write(self, tile: int, vectors: NDArray[np.float32]) -> None:
        """Write whole tiles, at most `BLOCK` rows, from `tile` on."""
        import torch

        self._encode(self.values, self.bounds, tile, vectors)
        self.exact[tile * TILE : tile * TILE + len(vectors)] = torch.from_numpy(vectors).to(self.device)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows, bit for bit as they came."""
        import torch

        at = torch.from_numpy(np.array(rows)).to(self.device)
        return np.asarray(self.exact.index_select(0, at).cpu().numpy(), dtype=np.float32)

    def masked(self, mask: NDArray[np.bool_]) -> DeviceSelection:
        """Return a search among the rows where a mask is True; rows beyond it are none."""
        padded = np.zeros(-(-len(mask) // TILE) * TILE, dtype=np.bool_)
        padded[: len(mask)] = mask
        return DeviceSelection(self, self.values[: len(padded)], self.bounds, padded, None)

    def narrowed(self, rows: NDArray[np.int64]) -> DeviceSelection:
        """Return a search among some rows, ascending, that copies them in few bits."""
        import torch

        tiles = -(-len(rows) // TILE)
        values = torch.zeros((tiles * TILE, self.dimension), dtype=self.dtype, device=self.device)
        bounds = TileBounds.zeros(tiles)
        for start in range(0, len(rows), BLOCK):
            part = rows[start : start + BLOCK]
            block = np.zeros((-(-len(part) // TILE) * TILE, self.dimension), dtype=np.float32)
            block[: len(part)] = self.read(part)
            self._encode(values, bounds, start // TILE, block)
        return DeviceSelection(self, values, bounds, np.arange(tiles * TILE) < len(rows), rows)

    def columns(self, queries: NDArray[np.float32]) -> tuple[torch.Tensor, QueryBounds]:
        """Return queries as columns on the device, and their bounds."""
        width = rounded_width(len(queries))
        columns, bounds = float_columns(
            queries, width, self.dtype, self.arithmetic, tiny=FLOAT16_TINY if self.form == "float16" else 0.0
        )
        return columns.to(self.device), bounds

    def _encode(self, values: torch.Tensor, bounds: TileBounds, tile: int, vectors: NDArray[np.float32]) -> None:
        """Round on the host; subnormal float16 become zeros, so that it is the same if the device flushes them."""
        import torch

        block = tiles_of(vectors)
        rounded = block.to(self.dtype)
        if self.form == "float16":
            rounded[rounded.abs() < FLOAT16_TINY] = 0
        values[tile * TILE : tile * TILE + len(vectors)] = rounded.view(vectors.shape).to(self.device)
        keep_bounds(bounds, tile, torch.ones(len(block), dtype=torch.float64), block, rounded.float())


class DeviceSelection:
    """A search among some of the rows of `DeviceTiles`."""

    def __init__(
        self,
        tiles: DeviceTiles,
        values: torch.Tensor,
        bounds: TileBounds,
        mask: NDArray[np.bool_],
        rows: NDArray[np.int64] | None,
    ) -> None:
        import torch

        self._tiles, self._values, self._host_rows = tiles, values, rows
        device = tiles.device
        self._open = torch.from_numpy(mask).to(device)
        self._total = int(np.count_nonzero(mask))
        self._error, self._norm = (
            torch.from_numpy(part[: len(mask) // TILE].copy()).to(device) for part in (bounds.error, bounds.norm)
        )
        self._bias = torch.zeros(len(mask), dtype=tiles.dtype, device=device)
        self._bias[~self._open] = float("-inf")
        self._rows = None if rows is None else torch.from_numpy(np.array(rows)).to(device)

    @property
    def nbytes(self) -> int:
        """Return how many bytes it takes beside the rows themselves."""
        own = self._open.nbytes + self._error.nbytes + self._norm.nbytes + self._bias.nbytes
        return own + (0 if self._rows is None else self._rows.nbytes + self._values.nbytes)

    def wipe(self) -> None:
        """Overwrite the copies."""
        if self._rows is not None:
            self._values.zero_()

    def search(self, queries: NDArray[np.float32], k: int) -> list[list[Hit]]:
        """Return for each query the `k` best of the rows."""
        hits: list[list[Hit]] = []
        for start in range(0, len(queries), COLUMNS_MAX):
            part = queries[start : start + COLUMNS_MAX]
            best = self._best(part, min(k, self._total)) if self._total else None
            hits += [[] for _ in part] if best is None else hits_of(*best, len(part))
        return hits

    def _best(self, queries: NDArray[np.float32], k: int) -> tuple[Pairs, NDArray[np.float64]]:
        import torch

        device, count = self._tiles.device, len(self._values) // TILE
        columns, bounds = self._tiles.columns(queries)
        alpha, beta, tau, scale = (
            torch.from_numpy(part).to(device) for part in (bounds.alpha, bounds.beta, bounds.tau, bounds.scale)
        )
        tops = torch.full((len(queries), k), float("-inf"), dtype=torch.float64, device=device)
        size = max(1, SEGMENT_BYTES // (columns.shape[1] * TILE * 2))
        split = split_of(min(count, size), k)
        pending = []
        for first in range(0, count, size):
            last = min(first + size, count)
            values = self._maxima(first, last, columns, split)[:, : len(queries)].t().double()
            error, norm = (part[first:last].repeat_interleave(split) for part in (self._error, self._norm))
            closed = values == float("-inf")
            values = values.masked_fill_(closed, 0) * scale[:, None]
            margin = alpha[:, None] * error + beta[:, None] * norm + tau[:, None]
            margin = margin * SLACK + (self._tiles.arithmetic.output + 2.0**-48) * values.abs()
            margin.masked_fill_(values.isnan(), float("inf"))  # no product should give it; its tile is scored
            values.nan_to_num_(nan=0.0)
            lower = (values - margin).masked_fill_(closed, float("-inf"))
            tops = torch.cat([tops, lower], dim=1).topk(k, dim=1, sorted=False).values
            upper = (values + margin).masked_fill_(closed, float("-inf"))
            query, at = torch.nonzero((upper >= tops.amin(dim=1)[:, None]) & ~closed, as_tuple=True)
            pending.append((query, first * split + at, upper[query, at]))
        query, at, upper = (torch.cat(parts) for parts in zip(*pending, strict=True))
        reach = upper >= tops.amin(dim=1)[query]
        return self._scored(query[reach], at[reach], TILE // split, queries, tops.amin(dim=1), k)

    def _maxima(self, first: int, last: int, columns: torch.Tensor, split: int) -> torch.Tensor:
        """Return the best score with each column of each tile, cut in `split`."""
        import torch

        rows, bias = self._values[first * TILE : last * TILE], self._bias[first * TILE : last * TILE]
        if self._tiles.fused and split == 1:
            from rag.triton_tiles import tile_maxima

            return tile_maxima(rows, columns, bias)
        with full_precision_sums():
            scores = torch.mm(rows, columns)
        scores.add_(bias[:, None])
        return scores.view(-1, TILE // split, columns.shape[1]).amax(dim=1)

    def _scored(
        self,
        query: torch.Tensor,
        at: torch.Tensor,
        length: int,
        queries: NDArray[np.float32],
        floor: torch.Tensor,
        k: int,
    ) -> tuple[Pairs, NDArray[np.float64]]:
        """Score all rows of surviving tiles of `length` rows, and return the k best of each query."""
        import torch

        asked = torch.from_numpy(queries).to(self._tiles.device).double()
        inner = torch.arange(length, device=self._tiles.device)
        size = max(1, SCORED_BYTES // (length * self._tiles.dimension * 8))
        empty = np.empty(0, dtype=np.int64)
        best, scores = Pairs(empty, empty), np.empty(0)
        for start in range(0, len(query), size):
            local = (at[start : start + size, None] * length + inner).reshape(-1)
            owner = query[start : start + size].repeat_interleave(length)
            opened = self._open[local]
            local, owner = local[opened], owner[opened]
            row = local if self._rows is None else self._rows[local]
            products = self._tiles.exact.index_select(0, row).double().mul_(asked.index_select(0, owner))
            scored = halved(products)
            reach = scored >= floor[owner]
            found = Pairs(
                np.concatenate([best.query, owner[reach].cpu().numpy()]),
                np.concatenate([best.row, row[reach].cpu().numpy()]),
            )
            best, scores = k_best(found, np.concatenate([scores, scored[reach].cpu().numpy()]), k)
        return best, scores


@contextmanager
def full_precision_sums() -> Iterator[None]:
    """Have cuBLAS sum in float32 only: by default it may add parts of a sum in 16 bits, beyond the bound."""
    import torch

    settings = torch.backends.cuda.matmul
    names = (
        "allow_fp16_reduced_precision_reduction",
        "allow_bf16_reduced_precision_reduction",
        "allow_fp16_accumulation",
    )
    before = {name: getattr(settings, name) for name in names}
    for name in names:
        setattr(settings, name, False)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)
