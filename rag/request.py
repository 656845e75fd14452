"""What one question asks for. It comes from outside, so everything is bounded when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from rag.diversity import CHOICES_MAX, LAMBDA_MAX
from rag.errors import RagError
from rag.fusion import WEIGHT_MAX
from rag.model import K_MAX
from rag.neighbors import NEIGHBORS_MAX
from rag.rerank import DEPTH_MAX

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from rag.filters import Filter


class MalformedRequest(RagError):
    """A request is over a bound or lacks what its mode needs; the message quotes none of it."""


class UnsupportedRequest(RagError):
    """A dataset or this process does not offer what a request asks for."""


class Mode(StrEnum):
    """What ranks the passages."""

    DENSE = "dense"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """One question and how to answer it. The defaults are plain dense search."""

    k: int
    text: str | None = field(default=None, repr=False)  # keyword search and reranking read it
    vector: NDArray[np.float32] | None = field(default=None, repr=False)  # shape (dimension,); spares embedding
    mode: Mode = Mode.DENSE
    filter: Filter | None = field(default=None, repr=False)
    weights: tuple[int, int] = (1, 1)  # of dense and of keyword search, where both are fused
    rerank: int = 0  # candidates that the cross-encoder orders anew, at least k; 0 leaves it out
    dedupe: bool = False  # whether hits that repeat a better one are dropped
    diversity: int | None = None  # lambda of maximal marginal relevance in thousandths; None leaves it out
    neighbors: int = 0  # passages before and after each hit

    def __post_init__(self) -> None:
        if not 1 <= self.k <= K_MAX:
            raise MalformedRequest(f"k must be 1 to {K_MAX}")
        if self.text is None and (self.mode is not Mode.DENSE or self.vector is None or self.rerank):
            raise MalformedRequest("a question needs its text, except dense search by vector without reranking")
        if self.vector is not None and (self.vector.ndim != 1 or self.vector.dtype.str != "<f4"):
            raise MalformedRequest("a question's vector is one row of float32 numbers")
        if self.rerank and not self.k <= self.rerank <= DEPTH_MAX:
            raise MalformedRequest(f"reranking takes at least k candidates and at most {DEPTH_MAX}")
        if self.diversity is not None and not (0 <= self.diversity <= LAMBDA_MAX and self.k <= CHOICES_MAX):
            raise MalformedRequest(f"diversity takes 0 to {LAMBDA_MAX} thousandths and k of at most {CHOICES_MAX}")
        if not 0 <= self.neighbors <= NEIGHBORS_MAX:
            raise MalformedRequest(f"neighbors must be 0 to {NEIGHBORS_MAX}")
        if len(self.weights) != 2 or not all(1 <= weight <= WEIGHT_MAX for weight in self.weights):
            raise MalformedRequest(f"the weights of fusion are two whole numbers, 1 to {WEIGHT_MAX}")

    @property
    def is_plain(self) -> bool:
        """Say whether the index alone answers it: the nearest passages to a vector that it brings, and nothing else."""
        plain = self.mode is Mode.DENSE and self.vector is not None and self.filter is None
        return plain and not (self.rerank or self.dedupe or self.neighbors) and self.diversity is None
