"""Vectors that one engine has and the next one needs, found by the SHA-256 of their texts: no text is embedded twice.

Vectors invert to text (rule S2), so they go straight from the engine that serves to the one that opens beside it: over
a socket pair that those two hold, past the front process and the disk. Only what is asked for by its digest leaves. So
the vectors and texts of a deleted document end with the process that held them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.connection import Connection
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from enclave.opened import Opened

PASSAGES_MAX = 200_000  # of one dataset version; what is beyond is embedded anew
ASKED_MAX = 1024  # texts at once: some milliseconds in which the lender answers no question
HASHED_MAX = 4096  # texts, likewise
PATIENCE_S = 30.0  # for one answer of a lender that has questions to answer as well


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Texts of a dataset whose vectors are asked for."""

    owner: bytes
    dataset: bytes  # the id that all of its versions share
    digests: tuple[bytes, ...]  # SHA-256 of each text, at most `ASKED_MAX`


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """The vectors of those texts that are known."""

    places: tuple[int, ...]  # in `Wanted.digests`, ascending
    vectors: bytes  # float32 little-endian, one row for each place


class Source(Protocol):
    """Where vectors may be had; None where it will answer soon, and is to be asked again."""

    def lent(self, wanted: Wanted) -> Lent | None: ...  # noqa: D102


class Lender:
    """Finds the vectors of opened datasets by their texts' digests, in steps that hold up no question for long."""

    def __init__(self, opened: Iterable[Opened]) -> None:
        self._opened = tuple(opened)
        self._of: tuple[bytes, bytes] | None = None  # the dataset whose texts are known by their digests
        self._rows: dict[bytes, tuple[Opened, int]] = {}
        self._hashing: Iterator[None] = iter(())

    def lent(self, wanted: Wanted) -> Lent | None:
        """Return the known vectors among at most `ASKED_MAX`; None while a dataset's texts are still being hashed."""
        if self._of != (wanted.owner, wanted.dataset):
            self._of = wanted.owner, wanted.dataset
            self._rows, self._hashing = {}, self._hashed(wanted.owner, wanted.dataset)
        if next(self._hashing, self) is None:
            return None
        found = [(place, self._rows.get(digest)) for place, digest in enumerate(wanted.digests[:ASKED_MAX])]
        known = [(place, at) for place, at in found if at is not None]
        vectors = [one.index.vectors(np.array([row], dtype=np.int64)) for _, (one, row) in known]
        return Lent(
            places=tuple(place for place, _ in known),
            vectors=b"".join(np.ascontiguousarray(vector, dtype="<f4").tobytes() for vector in vectors),
        )

    def _hashed(self, owner: bytes, dataset: bytes) -> Iterator[None]:
        """Hash the texts of a dataset's versions, a step at a time."""
        for one in self._opened:
            manifest = one.passages.manifest
            if (manifest.owner, manifest.dataset) != (owner, dataset):
                continue
            for row in range(min(len(one.passages.bodies), PASSAGES_MAX)):
                self._rows[text_digest(one.text(row))] = one, row
                if row % HASHED_MAX == HASHED_MAX - 1:
                    yield


class Borrower:
    """A lender in another process, at the far end of a socket pair. Once it fails, it is not asked again."""

    def __init__(self, link: Connection) -> None:
        self._link = link
        self._is_over = False

    def lent(self, wanted: Wanted) -> Lent | None:
        """Return what the lender knows; nothing where it has ended, or takes too long."""
        if not self._is_over:
            try:
                self._link.send(wanted)
                if self._link.poll(PATIENCE_S):
                    lent: Lent | None = self._link.recv()
                    return lent
            except (EOFError, OSError):
                pass
            self.close()
        return Lent(places=(), vectors=b"")

    def close(self) -> None:
        """Ask for nothing any more."""
        self._is_over = True
        self._link.close()


def text_digest(text: str) -> bytes:
    """Return what a text's vector is found by."""
    return sha256(text.encode()).digest()


def borrowed(
    source: Source, texts: Sequence[str], *, owner: bytes, dataset: bytes, dimension: int
) -> tuple[list[int], NDArray[np.float32]]:
    """Return which of a dataset's texts a source knows, and their vectors, shape (known, dimension)."""
    known: list[int] = []
    pages = [np.empty((0, dimension), dtype=np.float32)]
    for start in range(0, min(len(texts), PASSAGES_MAX), ASKED_MAX):
        digests = tuple(text_digest(text) for text in texts[start : min(start + ASKED_MAX, PASSAGES_MAX)])
        wanted = Wanted(owner=owner, dataset=dataset, digests=digests)
        while (lent := source.lent(wanted)) is None:
            pass
        vectors = np.frombuffer(lent.vectors, dtype="<f4")
        if vectors.size != len(lent.places) * dimension:
            continue
        known += [start + place for place in lent.places]
        pages.append(vectors.reshape(-1, dimension).astype(np.float32, copy=False))
    return known, np.concatenate(pages)
