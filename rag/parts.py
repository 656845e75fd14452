"""One dataset as it lies prepared for retrieval, and what of it a question may search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.allowed import Allowed
    from rag.keyword import KeywordIndex
    from rag.metadata import MetadataIndex
    from rag.model import Index
    from rag.neighbors import Neighborhoods


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One dataset, prepared; row n is the same passage everywhere. What it lacks cannot be asked of it."""

    index: Index
    keywords: KeywordIndex | None = None
    metadata: MetadataIndex | None = None
    neighborhoods: Neighborhoods | None = None
    text: Callable[[int], str] | None = None  # of a row; reranking and dropping repetitions read it
    vectors: Callable[[NDArray[np.int64]], NDArray[np.float32]] | None = None  # of rows, (n, dimension), for diversity

    def __post_init__(self) -> None:
        parts = (self.keywords, self.metadata, self.neighborhoods)
        if any(part is not None and part.count != self.index.count for part in parts):
            raise ValueError(f"the parts of a dataset have to have the index's {self.index.count} rows")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """A dataset that a question may search, and the rows its permit allows; None allows all of them."""

    part: Part
    permitted: Allowed | None = None
