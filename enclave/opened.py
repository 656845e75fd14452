"""One dataset version as it lies opened in the engine: passages, what proves them, and the index over them.

Every version has an index of its own, so what a permit does not name takes no part in a search at all (rule O4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from enclave.found import Dataset, Found, IndexFacts, Shaping
from enclave.output import PassageWriter
from rag.allowed import Allowed
from rag.approximate import ApproximateIndex
from rag.facts import MalformedMetadata
from rag.filters import Filter
from rag.keyword import KeywordIndex, OversizedVocabulary
from rag.metadata import MetadataIndex
from rag.model import Index, Metadata
from rag.neighbors import Neighborhoods, Place
from rag.parts import Part
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from storage.unixfs import read_file
from vault.envelope import (
    SEALED_BYTES_MAX,
    Passage,
    checked_passage,
    lasting_words,
    open_segment,
    passage_salts,
    passage_text,
)
from vault.errors import TamperedSegment
from vault.manifest import Manifest, corpus_tree
from vault.merkle import Tree
from vault.permitted import facts_of, filter_of
from vault.question import PLAIN, Mode, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PERMITTED_KEPT = 64  # policies' filters whose rows are kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """A dataset version's passages, decrypted, and proved to be the ones that its owner committed to."""

    manifest: Manifest
    cid: Cid
    bodies: list[bytes]
    salts: list[bytes]
    leaves: Tree

    def texts(self) -> list[str]:
        """Return the texts, in order."""
        return [passage_text(body) for body in self.bodies]


class Opened:
    """Passages that can be searched."""

    def __init__(self, passages: Passages, index: Index, kin: NDArray[np.uint32] | None = None) -> None:
        """Take passages and the index over them.

        Args:
            kin: for each row the row under whose name it counts to budgets; without it, each counts by itself.
        """
        self.passages = passages
        self.index = index
        self._kin = kin
        self._writer = PassageWriter(passages.cid, passages.manifest.owner)
        self._permitted: dict[bytes, Allowed] = {}
        self._has_facts = True

    def prepare(self) -> None:
        """Make what only some questions need, so that the first of them holds up nobody."""
        _ = self._keywords, self._metadata, self._neighborhoods

    def index_facts(self) -> IndexFacts:
        """Return how the passages are searched, and how well."""
        if not isinstance(self.index, ApproximateIndex) or self.index.recall is None:
            return IndexFacts()
        recall = self.index.recall
        return IndexFacts(
            kind=str(self.index.plan.kind),
            recall_ppm=recall.recall_ppm,
            k=recall.k,
            queries=recall.queries,
            source=recall.source,
        )

    def part(self, options: Options) -> Part:
        """Return what a question with these options searches."""
        return self._plain if options == PLAIN else self._part(options)

    def _part(self, options: Options) -> Part:
        return Part(
            index=self.index,
            keywords=self._searchable_words() if options.mode is not Mode.DENSE else None,
            metadata=self._metadata if options.where else None,
            neighborhoods=self._neighborhoods if options.neighbors else None,
            text=self.text,
            vectors=self.index.vectors,
        )

    def permitted(self, only: bytes) -> Allowed | None:
        """Return the rows that a policy's filter lets be found; None for all, where it sets none.

        The same object for the same filter, as long as few are in force: what an index derives from it is kept.
        """
        if not only:
            return None
        if only not in self._permitted:
            while len(self._permitted) >= PERMITTED_KEPT:
                del self._permitted[next(iter(self._permitted))]
            metadata = self._metadata  # which finds out whether there are facts
            rows = metadata.rows(filter_of(only)) if self._has_facts else ()
            self._permitted[only] = Allowed(rows, total=len(self.passages.bodies))
        return self._permitted[only]

    def count(self, filter_: Filter, within: Allowed | None = None) -> int:
        """Return how many of the rows that may be found meet a filter."""
        found = self._metadata.allowed(filter_, within=within)
        return len(self.passages.bodies) if found is None else len(found)

    def text(self, row: int) -> str:
        """Return a passage's text."""
        return passage_text(self.passages.bodies[row])

    def found(self, row: int, score: float, shaping: Shaping) -> Found:
        """Return a passage as it was found."""
        passages = self.passages
        leaves = passages.leaves
        return self._writer.found(
            row,
            score,
            shaping,
            passages.bodies[row],
            passages.salts[row],
            leaves.leaf(row),
            leaves.path(row),
            self._kin_words(row),
        )

    def _kin_words(self, row: int) -> str | None:
        """Return the lasting words of the passage under whose name another one counts; None for its own."""
        named = row if self._kin is None else int(self._kin[row])
        return None if named == row else lasting_words(self.passages.bodies[named])

    def _searchable_words(self) -> KeywordIndex:
        if isinstance(self._keywords, OversizedVocabulary):
            raise self._keywords
        return self._keywords

    @cached_property
    def _plain(self) -> Part:
        return self._part(PLAIN)

    @cached_property
    def _keywords(self) -> KeywordIndex | OversizedVocabulary:
        try:
            return KeywordIndex(map(passage_text, self.passages.bodies))
        except OversizedVocabulary as error:  # kept: finding out again would hold up every question
            return error

    @cached_property
    def _metadata(self) -> MetadataIndex:
        try:
            return MetadataIndex(metadata_of(self.passages, with_facts=True))
        except MalformedMetadata:  # by an owner whose own program sealed it: nobody else's questions fail for that
            self._has_facts = False  # and nothing of it passes a policy's filter, which cannot be asked of it
            return MetadataIndex(metadata_of(self.passages, with_facts=False))

    @cached_property
    def _neighborhoods(self) -> Neighborhoods:
        passages = map(checked_passage, self.passages.bodies)
        return Neighborhoods([Place(one.document, one.start, one.end) for one in passages])


def metadata_of(passages: Passages, *, with_facts: bool) -> Iterator[Metadata]:
    """Yield what filters can ask of each passage; those of one document share one mapping.

    Args:
        with_facts: whether its owner's facts are among it.
    """
    last: Passage | None = None
    shared: Metadata = {}
    for body in passages.bodies:
        passage = checked_passage(body)
        if last is None or (passage.document, passage.metadata) != (last.document, last.metadata):
            last, shared = passage, facts_of(passage, passages.manifest.owner, with_own=with_facts)
        yield shared


def opened_passages(blobs: Blobs, dataset: Dataset) -> Passages:
    """Fetch, verify and decrypt a dataset. Raises `TamperedSegment` or a `StorageError`."""
    bodies = fetched_passages(blobs, dataset)
    tree = corpus_tree(dataset.key, bodies)
    if tree.root() != dataset.manifest.corpus_root:
        raise TamperedSegment("the passages are not the ones the owner committed to")
    return Passages(
        manifest=dataset.manifest,
        cid=dataset.manifest.cid(),
        bodies=bodies,
        salts=list(islice(passage_salts(dataset.key), len(bodies))),
        leaves=tree,
    )


def fetched_passages(blobs: Blobs, dataset: Dataset) -> list[bytes]:
    """Return a dataset's encoded passages in order: every block checked, every segment authenticated."""
    manifest = dataset.manifest
    bodies: list[bytes] = []
    for index, segment in enumerate(manifest.segments):
        try:
            sealed = read_file(blobs, segment.root, bytes_max=SEALED_BYTES_MAX)
        except StorageError as error:
            raise type(error)(f"segment {index} of dataset {manifest.title or manifest.cid()}: {error}") from error
        opened = open_segment(
            dataset.key,
            sealed,
            genesis=manifest.genesis,
            dataset=manifest.dataset,
            version=manifest.version,
            index=index,
        )
        if len(opened) != segment.passages or len(sealed) != segment.sealed_bytes:
            raise TamperedSegment(f"segment {index} does not hold what the manifest says")
        bodies.extend(opened)
    return bodies


Progress = Callable[[int, int], None]
