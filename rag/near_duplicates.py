"""Passages that say nearly the same in the same words, told by their shingles: every run of five tokens.

Two passages are near-duplicates where at least 80 % of the shingles of both together are in both (Jaccard; Broder, On
the resemblance and containment of documents, 1997). Text decides, not vectors: a report of 2019 and the one of 2020
embed alike and say different things. Case, form, punctuation and spacing do not count, since shingles are of tokens.

`distinct` drops repetitions from one answer and compares just what is in it, so nothing outside an allowed set has an
influence (rule O4). `groups` and `overlapping_groups` part a whole dataset, for budgets and royalties (rules O1, L4).
A group gathers around one passage that all others in it resemble. Chains are not followed: from window to window along
a document they would join everything, and who paid for one window would have paid for all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from rag.neighbors import Place
from rag.tokens import tokens

SHINGLE_TOKENS = 5
JACCARD_THOUSANDTHS = 800
# MinHash: 16 bands of 4 find a pair at 0.8 with 1 - (1 - 0.8^4)^16 = 99.98 % and one at 0.3 with 12 %.
BANDS, BAND_ROWS = 16, 4
LEADERS_MAX = 8  # compared in one bucket: bounds the work on passages made to share all buckets
SHINGLES_KEPT = 4096  # sets of shingles held for comparison while grouping
_TOKENS_KEPT = 1 << 16


def normalized(text: str) -> str:
    """Return what a passage's identity is taken from: its tokens, one space apart."""
    return " ".join(tokens(text))


def shingles(text: str) -> NDArray[np.uint64]:
    """Return the distinct hashes of a passage's shingles, ascending; of a text shorter than one, its tokens' hash."""
    hashes = np.array([_token_hash(token) for token in tokens(text)], dtype=np.uint64)
    width = min(SHINGLE_TOKENS, len(hashes))
    if width == 0:
        return hashes
    found = np.zeros(len(hashes) - width + 1, dtype=np.uint64)
    for offset in range(width):  # a polynomial modulo 2^64; its factor is odd
        found = found * np.uint64(0x9E3779B97F4A7C15) + hashes[offset : len(hashes) - width + 1 + offset]
    return np.unique(_mixed(found))


def resembles(first: NDArray[np.uint64], second: NDArray[np.uint64], *, thousandths: int = JACCARD_THOUSANDTHS) -> bool:
    """Tell whether two sets of shingles have this Jaccard similarity; texts without a token resemble one another."""
    shared, together = _shared(first, second)
    return 1000 * shared >= thousandths * together


def distinct(texts: Sequence[str], *, thousandths: int = JACCARD_THOUSANDTHS) -> list[int]:
    """Return the places of the texts that resemble none that is kept before them, in order.

    Args:
        texts: best first; at most some thousand, since each is compared with all that are kept.
        thousandths: the Jaccard similarity from which two texts count as one, 1 to 1000.
    """
    _require_thousandths(thousandths)
    sets = [shingles(text) for text in texts]
    sizes = [len(one) for one in sets]
    if not texts:
        return []
    known, numbers = np.unique(np.concatenate(sets), return_inverse=True)
    numbered = np.split(numbers, np.cumsum(sizes)[:-1])
    holders: list[NDArray[np.int64]] = []  # for each text kept, the numbers of its shingles
    kept: list[int] = []
    mine = np.zeros(len(known), dtype=np.bool_)
    for place, own in enumerate(numbered):
        mine[own] = True
        shared = [int(np.count_nonzero(mine[other])) for other in holders]
        mine[own] = False
        together = [sizes[place] + sizes[other] - both for other, both in zip(kept, shared, strict=True)]
        if not any(1000 * both >= thousandths * all_ for both, all_ in zip(shared, together, strict=True)):
            kept.append(place)
            holders.append(own)
    return kept


def groups(texts: Sequence[str], *, thousandths: int = JACCARD_THOUSANDTHS) -> NDArray[np.int64]:
    """Return for each row the first row of its group.

    Equal tokens are always one group. The partition depends on the texts alone, not on their order. While it runs it
    holds some 170 bytes a passage.

    Args:
        texts: read once in order, and those that may have a near-duplicate some times more.
        thousandths: the Jaccard similarity to its group's middle that a passage has, 1 to 1000.
    """
    _require_thousandths(thousandths)
    digests = np.zeros((len(texts), 2), dtype=np.uint64)
    bands = np.zeros((len(texts), BANDS), dtype=np.uint64)
    for row, text in enumerate(texts):
        digest = hashlib.sha256(normalized(text).encode("utf-8", "surrogatepass")).digest()
        digests[row] = np.frombuffer(digest[:16], dtype="<u8")
        bands[row] = _bands(shingles(text))
    first_of, order = _equal(digests)
    leaders = _Leaders(texts, thousandths)
    leader_of = np.arange(len(texts))
    for row in order[_crowded(bands[order])]:
        leader_of[row] = leaders.lead(int(row), bands[row])
    return _first_rows(leader_of[first_of])


def overlapping_groups(places: Sequence[Place]) -> NDArray[np.int64]:
    """Return for each row the first row of its group: passages that share half of the shorter one with its middle.

    Each document is swept from its beginning, and what joins no passage before it gathers a group of its own.
    """
    label = np.arange(len(places))
    order = sorted(range(len(places)), key=lambda row: (places[row].document, places[row].start, -places[row].end))
    open_: list[int] = []  # rows that gather a group and may reach the row at hand
    for row in order:
        place = places[row]
        open_ = [at for at in open_ if places[at].document == place.document and places[at].end > place.start]
        near = [at for at in open_ if _halves(places[at], place)]
        if near:
            label[row] = near[0]
        else:
            open_.append(row)
    return _first_rows(label)


class _Leaders:
    """The passages that gather groups, by the buckets their bands fall into."""

    def __init__(self, texts: Sequence[str], thousandths: int) -> None:
        self._thousandths = thousandths
        self.buckets: dict[tuple[int, int], list[int]] = {}
        self._shingles = lru_cache(maxsize=SHINGLES_KEPT)(lambda row: shingles(texts[row]))

    def lead(self, row: int, bands: NDArray[np.uint64]) -> int:
        """Return the leader that a row resembles most, the earlier of equals, or make it one."""
        buckets = [self.buckets.setdefault((band, int(value)), []) for band, value in enumerate(bands)]
        best, best_shared, best_together = row, 0, 1
        for leader in dict.fromkeys(leader for bucket in buckets for leader in bucket):
            shared, together = _shared(self._shingles(row), self._shingles(leader))
            if 1000 * shared >= self._thousandths * together and shared * best_together > best_shared * together:
                best, best_shared, best_together = leader, shared, together
        if best == row:
            for bucket in buckets:
                if len(bucket) < LEADERS_MAX:
                    bucket.append(row)
        return best


def _shared(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[int, int]:
    """Return how many shingles two sets share, and how many they have together."""
    shared = len(np.intersect1d(first, second, assume_unique=True))
    return shared, len(first) + len(second) - shared


def _equal(digests: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each row the first row of equal digest, and these first rows in the order of their digests."""
    order = np.lexsort((np.arange(len(digests)), digests[:, 1], digests[:, 0]))
    new = np.ones(len(order), dtype=np.bool_)
    new[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    first_of = np.empty(len(order), dtype=np.int64)
    first_of[order] = order[new][np.cumsum(new) - 1]
    return first_of, order[new]


def _crowded(bands: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Tell of each row whether another falls into one of its buckets; the others need no comparison."""
    crowded = np.zeros(len(bands), dtype=np.bool_)
    for band in bands.T:
        _, bucket, sizes = np.unique(band, return_inverse=True, return_counts=True)
        crowded |= sizes[bucket] > 1
    return crowded


def _bands(found: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the buckets of a set of shingles, one a band; those of no shingles at all are alike."""
    factors, terms = _permutations()
    minima = (found[:, None] * factors + terms).min(axis=0, initial=np.iinfo(np.uint64).max)
    value = np.zeros(BANDS, dtype=np.uint64)
    for column in minima.reshape(BANDS, BAND_ROWS).T:
        value = _mixed(value + column)
    return value


@lru_cache(maxsize=1)
def _permutations() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the factors and terms of MinHash's permutations of 64-bit numbers: x to a x + b modulo 2^64, a odd."""
    count = BANDS * BAND_ROWS
    drawn = np.frombuffer(hashlib.shake_256(b"coffer near-duplicates").digest(16 * count), dtype="<u8")
    return drawn[:count] | np.uint64(1), drawn[count:].copy()


@lru_cache(maxsize=_TOKENS_KEPT)
def _token_hash(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finalizer of each number (Steele, Lea and Flood, OOPSLA 2014): a bijection."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


def _halves(first: Place, second: Place) -> bool:
    shared = min(first.end, second.end) - max(first.start, second.start)
    return 2 * shared >= min(first.end - first.start, second.end - second.start)


def _first_rows(label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row the first row that has its label."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rows: NDArray[np.int64] = first[inverse]
    return rows


def _require_thousandths(thousandths: int) -> None:
    if not 1 <= thousandths <= 1000:
        raise ValueError(f"a similarity must be 1 to 1000 thousandths, got {thousandths}")
