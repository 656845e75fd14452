"""Which rows of an index may be hits: a compressed bitmap, and the forms that searching wants it in, made once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import FrozenBitMap

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Allowed:
    """A set of rows of one index, 0 to `total` - 1. It never changes, so what is derived from it may be kept.

    An index may keep what it derives for as long as this object lives: hold on to one that is asked with again.
    """

    def __init__(self, rows: Iterable[int], *, total: int) -> None:
        """Take the rows.

        Args:
            rows: in any order; a `pyroaring` bitmap or a uint32 array is taken without a loop in Python.
            total: how many rows the index has.
        Raises: ValueError for a row that the index has not.
        """
        try:
            self.bitmap = FrozenBitMap(rows)
        except OverflowError as error:
            raise ValueError("a row is not a number of a row") from error
        if total < 0 or (self.bitmap and self.bitmap.max() >= total):
            raise ValueError(f"the index has {total} rows, and a higher one is to be allowed")
        self.total = total

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> Allowed:
        """Return the rows where a mask of shape (total,) is True."""
        if mask.dtype != np.bool_ or mask.ndim != 1:
            raise ValueError(f"a mask must be a row of booleans, got {mask.dtype} of shape {mask.shape}")
        return cls(np.flatnonzero(mask).astype(np.uint32), total=len(mask))

    def __len__(self) -> int:
        return len(self.bitmap)

    @property
    def share(self) -> float:
        """Return the share of the rows that are allowed, 0 to 1; 1 for an empty index."""
        return len(self) / self.total if self.total else 1.0

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Return the rows, ascending; read-only."""
        rows = np.array(self.bitmap.to_array(), dtype=np.int64)
        rows.setflags(write=False)
        return rows

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """Return a mask of shape (total,); read-only."""
        mask = np.zeros(self.total, dtype=np.bool_)
        mask[self.rows] = True
        mask.setflags(write=False)
        return mask
