"""Exact search, fast: `TileIndex` gives the answer of scoring every row in float64, at the cost of far fewer bits.

How it is found is in `rag.tile_filter`, why it is exact in `rag.rounding`. This file holds the rows: which of them
live, which a caller may see, and how they change.

A row of d elements takes 5·d bytes where rows are multiplied as 8-bit integers, 4·d otherwise; a tile of 64 rows takes
24 more. A search holds up to 16 MiB of scores for each thread that searches.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np

from rag.rounding import TILE
from rag.scoring import checked_matrix, exact_scores, require_k, require_own
from rag.selections import Selection, Selections

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from rag.allowed import Allowed
    from rag.model import Hit

BLOCK = 64 * TILE  # rows written at once
GROWTH = 1.5
NARROW_SHARE = 0.1  # of the rows: a set that allows more is searched in place, the others' scores pushed down
NARROW_AT_ONCE = 0.01  # a larger one is copied when it is asked with again, and searched in place before
SELECTIONS_BYTES_MAX = 256 * 2**20
ALONE_MAX = 2**26  # multiplications that one thread does by itself: to wake another one would take longer


class Tiles(Protocol):
    """Where the rows are, in tiles of `TILE`."""

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take."""
        ...

    def resize(self, tiles: int) -> None:
        """Make room for `tiles` tiles in all, new rows zeros, and overwrite the old room."""
        ...

    def write(self, tile: int, vectors: NDArray[np.float32]) -> None:
        """Write whole tiles, at most `BLOCK` rows, from `tile` on."""
        ...

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows, bit for bit as they came."""
        ...

    def masked(self, mask: NDArray[np.bool_]) -> Selection:
        """Return a search among the rows where a mask is True; rows beyond it are none."""
        ...

    def narrowed(self, rows: NDArray[np.int64]) -> Selection:
        """Return a search among some rows, ascending, that copies them in few bits."""
        ...


class TileIndex:
    """An `Index` that can change. Threads may share it: they take turns, so a change waits for the search before it.

    A row keeps its number for good; that of a deleted row is not given out again.
    """

    def __init__(
        self,
        vectors: NDArray[np.float32],
        *,
        threads: int | None = None,
        device: str = "cpu",
        form: str | None = None,
    ) -> None:
        """Copy `vectors`, shape (count, dimension); `count` may be 0.

        Args:
            threads: of the CPU, for each search; None: as many as torch has.
            device: "cpu", or a GPU as torch names it.
            form: what rows are multiplied as, one of `rag.low_precision.FORMS` on the CPU and of
                `rag.exact_gpu.FORMS` on a GPU; None: the fastest here. The answers are the same.
        Raises: DimensionMismatch: not a matrix. UnusableVector: a row is not finite or longer than `NORM_MAX`.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        checked = checked_matrix(vectors, None)
        self.dimension = int(checked.shape[1])
        self._threads = threads
        self._lock = threading.Lock()
        self._tiles = _tiles_on(device, self.dimension, form)
        self._room = 0
        self._live = np.zeros(0, dtype=np.bool_)
        self._all: Selection | None = None
        self._selections = Selections(bytes_max=SELECTIONS_BYTES_MAX)
        with self._computing():
            self._append(checked)

    @property
    def count(self) -> int:
        """Number of rows, deleted ones included; hits index them from 0."""
        return len(self._live)

    @property
    def live(self) -> int:
        """Number of rows that were not deleted."""
        return int(np.count_nonzero(self._live))

    @property
    def nbytes(self) -> int:
        """Return how many bytes the rows take, room to grow and kept selections included."""
        with self._lock:
            return self._tiles.nbytes + self._selections.nbytes + (self._all.nbytes if self._all else 0)

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        """Return for each query the `k` best rows among those allowed; see `rag.model.Index.search`."""
        require_k(k)
        checked = checked_matrix(queries, self.dimension)
        with self._computing(work=len(checked) * self.count * self.dimension):
            require_own(allowed, self.count)
            return self._selection(allowed).search(checked, k)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows; see `rag.model.Index.vectors`. A deleted row's are zeros."""
        with self._computing():
            self._require_rows(rows)
            return self._tiles.read(rows)

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the exact scores of given rows; see `rag.model.Index.scores`. A deleted row's is 0."""
        (checked,) = checked_matrix(query[None], self.dimension)
        with self._computing():
            self._require_rows(rows)
            return [float(score) for score in exact_scores(self._tiles.read(rows), checked)]

    def add(self, vectors: NDArray[np.float32]) -> range:
        """Append rows, and return their numbers.

        Raises: DimensionMismatch, UnusableVector; then nothing was appended.
        """
        checked = checked_matrix(vectors, self.dimension)
        with self._changing():
            first = self.count
            self._append(checked)
            return range(first, self.count)

    def replace(self, rows: Sequence[int] | NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Put other vectors into distinct live rows; the old ones are overwritten in every copy.

        Raises: DimensionMismatch, UnusableVector; ValueError for a row that is not there, deleted, or named twice.
            Then nothing was replaced.
        """
        checked = checked_matrix(vectors, self.dimension)
        with self._changing():
            at = self._require_live(rows)
            if len(at) != len(checked):
                raise ValueError(f"{len(at)} rows are to be replaced by {len(checked)} vectors")
            self._overwrite(at, checked)

    def delete(self, rows: Sequence[int] | NDArray[np.int64]) -> None:
        """Take distinct live rows out for good: their vectors are overwritten in every copy, and they are never hits.

        Raises: ValueError for a row that is not there, deleted before, or named twice; then nothing was deleted.
        """
        with self._changing():
            at = self._require_live(rows)
            self._overwrite(at, np.zeros((len(at), self.dimension), dtype=np.float32))
            self._live[at] = False

    def _selection(self, allowed: Allowed | None) -> Selection:
        """Return the search among rows that are allowed and live."""
        if allowed is None or len(allowed) == self.count:
            if self._all is None:
                self._all = self._tiles.masked(self._live)
            return self._all
        kept = self._selections.get(allowed)
        is_narrow = allowed.share <= NARROW_SHARE
        if kept is not None and (not is_narrow or isinstance(kept, _Narrowed)):
            return kept
        made: Selection
        if is_narrow and (kept is not None or allowed.share <= NARROW_AT_ONCE):
            made = _Narrowed(self._tiles.narrowed(allowed.rows[self._live[allowed.rows]]))
        else:
            made = self._tiles.masked(allowed.mask & self._live)
        self._selections.keep(allowed, made)
        return made

    def _append(self, vectors: NDArray[np.float32]) -> None:
        first, count = self.count, self.count + len(vectors)
        needed = -(-count // TILE)
        if needed > self._room:
            room = max(needed, int(self._room * GROWTH))
            self._tiles.resize(room)
            self._room = room
        for start in range(first // TILE * TILE, count, BLOCK):
            end = min(start + BLOCK, needed * TILE)
            block = np.zeros((end - start, self.dimension), dtype=np.float32)
            if start < first:
                block[: first - start] = self._tiles.read(np.arange(start, first))
            new = vectors[max(start - first, 0) : end - first]
            at = max(first - start, 0)
            block[at : at + len(new)] = new
            self._tiles.write(start // TILE, block)
        self._live = np.concatenate([self._live, np.ones(len(vectors), dtype=np.bool_)])

    def _overwrite(self, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Write rows anew, with the tiles that they are in: a tile's scale may change."""
        order = np.argsort(rows)
        rows, vectors = rows[order], vectors[order]
        for tile, last in _runs_of(np.unique(rows // TILE)):
            start, end = tile * TILE, last * TILE
            block = self._tiles.read(np.arange(start, end))
            first, beyond = np.searchsorted(rows, [start, end])
            block[rows[first:beyond] - start] = vectors[first:beyond]
            self._tiles.write(tile, block)

    def _require_rows(self, rows: NDArray[np.int64]) -> None:
        if rows.ndim != 1 or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < self.count):
            raise ValueError(f"the index has {self.count} rows, and another one is named")

    def _require_live(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        at = np.asarray(rows, dtype=np.int64)
        self._require_rows(at)
        if not self._live[at].all():
            raise ValueError("a row that is named was deleted")
        if len(np.unique(at)) != len(at):
            raise ValueError("a row is named twice")
        return at

    @contextmanager
    def _computing(self, work: int = ALONE_MAX + 1) -> Iterator[None]:
        """Hold the lock, with as many threads as suit; torch's number of threads is the calling thread's own.

        Args:
            work: multiplications; for few of them one thread is enough, whatever number was asked for.
        """
        import torch

        with self._lock:
            before = torch.get_num_threads()
            wanted = 1 if work <= ALONE_MAX else self._threads
            if wanted in (None, before):
                yield
                return
            torch.set_num_threads(wanted)
            try:
                yield
            finally:
                torch.set_num_threads(before)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the lock, and overwrite what was derived from the rows as they are."""
        with self._computing():
            self._selections.clear()
            self._all = None
            yield


class _Narrowed:
    """Marks a selection that copied its rows."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self.search = selection.search
        self.wipe = selection.wipe

    @property
    def nbytes(self) -> int:
        return self._selection.nbytes


def _runs_of(tiles: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield (first, last + 1) of neighboring tiles, at most a block of them."""
    start = 0
    for at in range(1, len(tiles) + 1):
        if at == len(tiles) or tiles[at] != tiles[at - 1] + 1 or (at - start) * TILE == BLOCK:
            yield int(tiles[start]), int(tiles[at - 1]) + 1
            start = at


def _tiles_on(device: str, dimension: int, form: str | None) -> Tiles:
    if device == "cpu":
        from rag.exact_cpu import HostTiles
        from rag.low_precision import best_form

        return HostTiles(form or best_form(dimension), dimension)
    from rag.exact_gpu import DeviceTiles

    return DeviceTiles(dimension, device=device, form=form)
