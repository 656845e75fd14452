"""Keyword search: BM25 whose statistics count the allowed rows only, so no other passage has an influence (rule O4).

The formula is Lucene's (Kamphuis et al., ECIR 2020, "accurate"): a token that n of N passages hold weighs
ln(1 + (N - n + 0.5) / (n + 0.5)), times tf / (tf + k1 (1 - b + b length / average length)).

`bm25s` computes the same scores and serves as the oracle in tests, but it multiplies N, n and the average length of
all passages into a float32 matrix while it indexes. Its `weight_mask` only hides rows afterwards: what is hidden still
moves the scores of what is shown. So this keeps the plain counts and weighs them when a question comes.

Allowed means by the permit. What a question's own filter leaves out of that still counts: if it did not, the score of
one passage that the asker knows would say to the unit how many others meet a filter (rule O3).

Scores are float64, added up in the order of the tokens' text, and the logarithm is decimal's, which is rounded
correctly everywhere; the processor's differs between C libraries. Equal scores order by row.

Six bytes a posting (row and count), 4 a row; the vocabulary takes some 120 bytes a distinct token.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from rag.allowed import Allowed
from rag.errors import RagError
from rag.model import Hit
from rag.scoring import best, require_k, require_own
from rag.tokens import singular, tokens

K1, B = 1.5, 0.75  # Robertson's usual choice, and bm25s's default
TOKENS_MAX = 65_535  # of one passage; a count fits in 16 bits
QUERY_TOKENS_MAX = 256  # different ones of one question, the first that it has
VOCABULARY_MAX = 1 << 23  # different tokens of one index, some 1 GB
BLOCK_TOKENS = 1 << 22  # sorted at once while building
NARROW = 16  # a set so many times smaller than a token's rows is looked up in them, not the other way round
_PRECISE = Context(prec=34)


class OversizedVocabulary(RagError):
    """A dataset has more different tokens than an index takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question's different tokens in the order of their text, and how often it has each."""

    tokens: tuple[str, ...] = field(repr=False)
    weights: tuple[int, ...] = field(repr=False)
    plurals: bool  # whether plurals count as their singulars


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What BM25 has to know of the allowed rows; those of several indexes add up to those of all of them."""

    passages: int
    tokens: int  # in all these passages
    frequencies: tuple[int, ...]  # for each token of the query, the passages that hold it

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            passages=self.passages + other.passages,
            tokens=self.tokens + other.tokens,
            frequencies=tuple(a + b for a, b in zip(self.frequencies, other.frequencies, strict=True)),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The allowed rows of one index that hold a query's tokens, and these rows' own statistics."""

    query: Query
    statistics: Statistics
    postings: tuple[tuple[NDArray[np.uint32], NDArray[np.uint16]], ...]  # for each token: rows ascending, and counts


class KeywordIndex:
    """Passages by the tokens they hold. It never changes, so threads may search at once."""

    def __init__(self, texts: Iterable[str], *, plurals: bool = True, vocabulary_max: int = VOCABULARY_MAX) -> None:
        """Index the passages, in the order of the rows.

        Args:
            plurals: whether English plurals count as their singulars.
            vocabulary_max: different words that it may have.
        Raises: OversizedVocabulary.
        """
        self.plurals = plurals
        builder = _Builder(plurals, vocabulary_max)
        for text in texts:
            builder.add(tokens(text)[:TOKENS_MAX])
        self._numbers, self._lengths = builder.numbers, np.array(builder.lengths, dtype=np.uint32)
        self._starts, self._rows, self._counts = builder.postings()
        self._tokens = int(self._lengths.sum(dtype=np.int64))
        self._tokens_of: WeakKeyDictionary[Allowed, int] = WeakKeyDictionary()

    @property
    def count(self) -> int:
        """Number of passages; hits index them from 0."""
        return len(self._lengths)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays; the vocabulary comes on top."""
        return sum(part.nbytes for part in (self._lengths, self._starts, self._rows, self._counts))

    def search(self, texts: Sequence[str], *, k: int, allowed: Allowed | None = None) -> list[list[Hit]]:
        """Return for each question the `k` best rows among those allowed that hold one of its tokens.

        Returns: lists by descending score, ties by ascending row.
        Raises: DimensionMismatch for allowed rows of another index; ValueError for `k` out of range.
        """
        found = [self.match(query_from(text, plurals=self.plurals), allowed) for text in texts]
        return [self.ranked(matches, matches.statistics, k=k) for matches in found]

    def match(self, query: Query, allowed: Allowed | None = None) -> Matches:
        """Return the allowed rows that hold a token of the query, and their statistics."""
        require_own(allowed, self.count)
        if query.plurals is not self.plurals:
            raise ValueError("the query and the index differ in what plurals count as")
        if allowed is not None and len(allowed) == self.count:
            allowed = None
        postings = tuple(self._postings(token, allowed) for token in query.tokens)
        statistics = Statistics(
            passages=self.count if allowed is None else len(allowed),
            tokens=self._tokens if allowed is None else self._tokens_in(allowed),
            frequencies=tuple(len(rows) for rows, _ in postings),
        )
        return Matches(query, statistics, postings)

    def statistics(self, query: Query, allowed: Allowed | None = None) -> Statistics:
        """Return the statistics of the allowed rows, matching or not; see `match`."""
        return self.match(query, allowed).statistics

    def ranked(self, matches: Matches, statistics: Statistics, *, k: int) -> list[Hit]:
        """Return the `k` best of some matches, scored by the statistics of everything that is asked with them.

        Args:
            statistics: of these matches, or of more rows, such as all that the asker's permit allows.
        """
        require_k(k)
        rows, scores = self._scored(matches, statistics)
        if len(rows) > k:
            kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
            rows, scores = rows[kept], scores[kept]
        return best(rows, scores, k)

    def _tokens_in(self, allowed: Allowed) -> int:
        if allowed not in self._tokens_of:
            self._tokens_of[allowed] = int(self._lengths[allowed.rows].sum(dtype=np.int64))
        return self._tokens_of[allowed]

    def _scored(self, matches: Matches, statistics: Statistics) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the rows that match, ascending, and their scores."""
        found = [rows for rows, _ in matches.postings]
        if sum(map(len, found)) * NARROW < self.count:
            rows = np.unique(np.concatenate([*found, np.empty(0, dtype=np.uint32)]))
            places = [np.searchsorted(rows, part) for part in found]
        else:
            held = np.zeros(self.count, dtype=np.bool_)
            for part in found:
                held[part] = True
            rows, place_of = np.flatnonzero(held), np.cumsum(held) - 1
            places = [place_of[part] for part in found]
        scores = np.zeros(len(rows), dtype=np.float64)
        for number, (place, (part, counts)) in enumerate(zip(places, matches.postings, strict=True)):
            if len(part):
                weight = idf(statistics.passages, statistics.frequencies[number]) * matches.query.weights[number]
                scores[place] += weight * self._saturation(part, counts, statistics)
        return rows.astype(np.int64), scores

    def _saturation(
        self, rows: NDArray[np.uint32], counts: NDArray[np.uint16], statistics: Statistics
    ) -> NDArray[np.float64]:
        frequency = counts.astype(np.float64)
        lengths = self._lengths[rows].astype(np.float64)
        saturation: NDArray[np.float64] = frequency / (
            frequency + K1 * (1 - B + B * (lengths * statistics.passages / statistics.tokens))
        )
        return saturation

    def _postings(self, token: str, allowed: Allowed | None) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
        """Return the allowed rows that hold a token, ascending, and how often each does."""
        number = self._numbers.get(token)
        if number is None:
            return self._rows[:0], self._counts[:0]
        start, end = self._starts[number], self._starts[number + 1]
        rows, counts = self._rows[start:end], self._counts[start:end]
        if allowed is None:
            return rows, counts
        if len(allowed) * NARROW < len(rows):
            at = np.searchsorted(rows, allowed.rows.astype(np.uint32))
            at = at[at < len(rows)]
            at = at[rows[at] == allowed.rows[: len(at)]]
            return rows[at], counts[at]
        kept = allowed.mask[rows]
        return rows[kept], counts[kept]


def query_from(text: str, *, plurals: bool = True) -> Query:
    """Return a question's tokens, the first `QUERY_TOKENS_MAX` different ones."""
    counted = Counter(map(singular, tokens(text)) if plurals else tokens(text))
    first = sorted(list(counted)[:QUERY_TOKENS_MAX])
    return Query(tokens=tuple(first), weights=tuple(counted[token] for token in first), plurals=plurals)


@lru_cache(maxsize=1 << 16)
def idf(passages: int, frequency: int) -> float:
    """Return ln(1 + (N - n + 0.5) / (n + 0.5)) = ln((2 N + 2) / (2 n + 1)), rounded alike on every machine."""
    return float(_PRECISE.ln(_PRECISE.divide(Decimal(2 * passages + 2), Decimal(2 * frequency + 1))))


class _Numbers(dict[str, int]):
    """Numbers words as they are first asked for; a plural gets the number of its singular."""

    def __init__(self, plurals: bool) -> None:
        self._plurals = plurals
        self.count = 0

    def __missing__(self, token: str) -> int:
        word = singular(token) if self._plurals else token
        if word in self:
            number = self[word]
        else:
            self[word] = number = self.count
            self.count += 1
        self[token] = number
        return number


class _Builder:
    """Gathers tokens block by block: each is sorted by token and row, then laid behind the blocks before it."""

    def __init__(self, plurals: bool, vocabulary_max: int) -> None:
        self.numbers = _Numbers(plurals)
        self.lengths = array("I")
        self._vocabulary_max = vocabulary_max
        self._pending = array("i")
        self._first_row = 0  # of the pending tokens
        self._blocks: list[tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint16]]] = []

    def add(self, found: Sequence[str]) -> None:
        self._pending.extend(map(self.numbers.__getitem__, found))
        self.lengths.append(len(found))
        if len(self.numbers) > self._vocabulary_max:
            raise OversizedVocabulary(f"keyword search takes at most {self._vocabulary_max} different words a dataset")
        if len(self._pending) >= BLOCK_TOKENS:
            self._close_block()

    def postings(self) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint16]]:
        """Return where each token's postings start, and of all postings the rows and the counts."""
        self._close_block()
        starts = np.zeros(self.numbers.count + 1, dtype=np.int64)
        for held, _, _ in self._blocks:
            starts[1:] += np.bincount(held, minlength=self.numbers.count)
        np.cumsum(starts, out=starts)
        rows, counts = np.empty(starts[-1], dtype=np.uint32), np.empty(starts[-1], dtype=np.uint16)
        cursor = starts[:-1].copy()
        for held, block_rows, block_counts in self._blocks:
            numbers, first, sizes = np.unique(held, return_index=True, return_counts=True)
            at = np.arange(len(held)) + np.repeat(cursor[numbers] - first, sizes)
            rows[at], counts[at] = block_rows, block_counts
            cursor[numbers] += sizes
        self._blocks.clear()
        return starts, rows, counts

    def _close_block(self) -> None:
        lengths = np.array(self.lengths[self._first_row :], dtype=np.uint32)
        rows = np.repeat(np.arange(self._first_row, self._first_row + len(lengths), dtype=np.int64), lengths)
        numbers = np.array(self._pending, dtype=np.int64)
        distinct, counts = np.unique(numbers << 32 | rows, return_counts=True)
        self._blocks.append(((distinct >> 32).astype(np.uint32), distinct.astype(np.uint32), counts.astype(np.uint16)))
        self._first_row += len(lengths)
        self._pending = array("i")
