"""Types and protocols of retrieval: documents, passages, hits, and what embeds and searches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from rag.allowed import Allowed

Metadata: TypeAlias = Mapping[str, "str | int | bool | Sequence[str]"]  # a passage's facts, by key

K_MAX = 1000  # hits one query may ask for


@dataclass(frozen=True, slots=True)
class Document:
    """One text, the name its owner knows it by, and what filters can ask of it (`rag.metadata`).

    The text holds Unicode scalar values: it encodes to UTF-8.
    """

    name: str
    text: str
    metadata: Metadata = field(default_factory=dict)


def is_encodable(text: str) -> bool:
    """Tell whether a text may be a document's: JSON can smuggle in half a surrogate pair, which UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that was found and not read, and why, in one clear sentence that quotes none of it."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of one document: `text == document.text[start:end]`, offsets in characters."""

    document: str
    start: int
    end: int
    text: str
    metadata: Metadata = field(default_factory=dict)  # its document's


@dataclass(slots=True)  # one is made with every hit of every question, and a frozen one takes three times as long
class Hit:
    """A row of the index and its inner product with the query."""

    index: int
    score: float


class Embedder(Protocol):
    """Turns texts into unit vectors of one dimension with one pinned model."""

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        ...

    @property
    def model_hash(self) -> bytes:
        """SHA-256 of the weights, 32 bytes."""
        ...

    @property
    def settings_hash(self) -> bytes:
        """SHA-256 over what makes the vectors beside the weights: tokenizer, pooling, prompts."""
        ...

    @property
    def dtype(self) -> str:
        """Number format of the weights in memory; the vectors are float32 whatever it is."""
        ...

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension)."""
        ...

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Return unit rows, shape (len(texts), dimension).

        Args:
            progress: called after each batch with the number of texts embedded so far.
        """
        ...


class Index(Protocol):
    """Exact maximum inner product over a fixed set of vectors."""

    @property
    def count(self) -> int:
        """Number of vectors; hits index them from 0."""
        ...

    @property
    def dimension(self) -> int:
        """Length of every vector."""
        ...

    def search(self, queries: NDArray[np.float32], *, k: int, allowed: Allowed | None) -> list[list[Hit]]:
        """Return for each query the `k` best rows among those allowed.

        Filtering comes before ranking, so a forbidden row can change neither the ids nor the scores.

        Args:
            queries: shape (n, dimension).
            k: 1 to `K_MAX`; with fewer rows allowed, all of them are hits.
            allowed: the rows that may be hits; None means every row, an empty set means no hits.
        Returns: n lists by descending score, ties by ascending index.
        Raises: DimensionMismatch, UnusableVector; ValueError for `k` out of range.
        """
        ...

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a copy of some rows, shape (len(rows), dimension), bit for bit as they came."""
        ...

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> list[float]:
        """Return the scores that `search` gives these rows for this query, bit for bit.

        Args:
            query: shape (dimension,).
            rows: shape (n,), each 0 to count - 1.
        Raises: DimensionMismatch, UnusableVector.
        """
        ...
