"""Which passages meet a filter: for every key, the rows of each of its values, built once per dataset.

A key's rows lie in one array ordered by value, 4 bytes for each row and value; values that many rows share are kept as
bitmaps besides. Looking a value up costs what it matches; a range gathers at most half of the rows that have the key.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from rag.allowed import Allowed
from rag.errors import DimensionMismatch
from rag.facts import MalformedMetadata, entries
from rag.filters import (
    Clause,
    Equals,
    Exists,
    Filter,
    In,
    Range,
    Scalar,
)
from rag.model import Metadata

KEYS_TOTAL_MAX = 1024  # of a dataset
FREQUENT = 4096  # rows from which a value is kept as a bitmap too; there are at most entries / FREQUENT such values


class MetadataIndex:
    """Passages' metadata by value. It never changes, so threads may evaluate at once."""

    def __init__(self, rows: Iterable[Metadata]) -> None:
        """Index the metadata of each passage, in the order of the rows.

        Args:
            rows: one mapping a passage; the same object again and again, as for passages of one document, is read once.
        Raises: MalformedMetadata.
        """
        gathered: dict[tuple[str, type], dict[Scalar, list[range]]] = {}
        keys: set[str] = set()
        self.count = 0
        for metadata, where in _runs(rows):
            self.count = where.stop
            for key, value in entries(metadata, where.start):
                gathered.setdefault((key, type(value)), {}).setdefault(value, []).append(where)
                keys.add(key)
            if len(keys) > KEYS_TOTAL_MAX:
                raise MalformedMetadata(f"passages have more than {KEYS_TOTAL_MAX} different keys")
        self._columns = {name: _Column(values, self.count) for name, values in gathered.items()}

    def allowed(self, filter_: Filter | None, *, within: Allowed | None = None) -> Allowed | None:
        """Return the rows that meet a filter among those that may be hits at all; None means every row.

        Args:
            filter_: None asks for nothing.
            within: what the permit allows; None means every row.
        """
        if within is not None and within.total != self.count:
            raise DimensionMismatch(f"rows of {within.total} are allowed, there is metadata of {self.count} rows")
        if filter_ is None:
            return within
        found = self.rows(filter_)
        return Allowed(found if within is None else found & within.bitmap, total=self.count)

    def rows(self, filter_: Filter) -> BitMap:
        """Return the rows that meet a filter, as a bitmap of their own."""
        match filter_:
            case Equals(key=key, value=value, kind=kind):
                return self._with(key, kind, [value])
            case In(key=key, values=values):
                return self._with(key, type(values[0]), values)
            case Range(key=key):
                column = self._columns.get((key, int))
                return BitMap() if column is None else column.between(filter_.lowest, filter_.highest)
            case Exists(key=key):
                found = (self._columns.get((key, kind)) for kind in (str, int, bool))
                return BitMap.union(BitMap(), *(column.everything for column in found if column is not None))
            case Clause(must=must, should=should, must_not=must_not):
                return self._clause(must, should, must_not)

    def _with(self, key: str, kind: type, values: Sequence[Scalar]) -> BitMap:
        column = self._columns.get((key, kind))
        return BitMap() if column is None else column.any_of(values)

    def _clause(self, must: tuple[Filter, ...], should: tuple[Filter, ...], must_not: tuple[Filter, ...]) -> BitMap:
        found = BitMap(range(self.count)) if not must else reduce(and_, (self.rows(part) for part in must))
        if should:
            found &= reduce(or_, (self.rows(part) for part in should))
        for part in must_not:
            found -= self.rows(part)
        return found


class _Column:
    """The rows of one key's values of one type."""

    def __init__(self, values: dict[Scalar, list[range]], count: int) -> None:
        ordered: list[Any] = sorted(values)
        self._starts = np.zeros(len(ordered) + 1, dtype=np.int64)
        sizes = [sum(len(where) for where in values[value]) for value in ordered]
        np.cumsum(sizes, out=self._starts[1:])
        self._rows = np.empty(int(self._starts[-1]), dtype=np.uint32)
        for value, start in zip(ordered, self._starts[:-1].tolist(), strict=True):
            for where in values[value]:
                self._rows[start : start + len(where)] = np.arange(where.start, where.stop, dtype=np.uint32)
                start += len(where)
        self._codes: dict[Scalar, int] = {value: code for code, value in enumerate(ordered)}
        self._ordered = ordered
        self._frequent = {code: BitMap(self._of(code, code + 1)) for code, size in enumerate(sizes) if size >= FREQUENT}
        self.everything = BitMap(self._rows)
        self.everything.run_optimize()

    def any_of(self, values: Iterable[Scalar]) -> BitMap:
        """Return the rows that have one of these values."""
        codes = [code for value in values if (code := self._codes.get(value)) is not None]
        rare = [self._of(code, code + 1) for code in codes if code not in self._frequent]
        found = BitMap(np.concatenate(rare)) if rare else BitMap()
        return BitMap.union(found, *(self._frequent[code] for code in codes if code in self._frequent))

    def between(self, lowest: int, highest: int) -> BitMap:
        """Return the rows that have a number from `lowest` to `highest`. A row has one number a key at most."""
        first, last = bisect_left(self._ordered, lowest), bisect_right(self._ordered, highest)
        inside = int(self._starts[last] - self._starts[first]) if first < last else 0
        if 2 * inside <= len(self._rows):
            return BitMap(np.sort(self._of(first, last))) if inside else BitMap()
        outside = np.concatenate([self._of(0, first), self._of(last, len(self._ordered))])
        return self.everything - BitMap(np.sort(outside))

    def _of(self, first: int, last: int) -> NDArray[np.uint32]:
        return self._rows[self._starts[first] : self._starts[last]]


def _runs(rows: Iterable[Metadata]) -> Iterator[tuple[Metadata, range]]:
    """Yield each mapping with the rows in a row that share it."""
    before: Metadata | None = None
    start = end = 0
    for metadata in rows:
        if before is not None and metadata is not before:
            yield before, range(start, end)
            start = end
        before, end = metadata, end + 1
    if before is not None:
        yield before, range(start, end)
