"""The passages of a sealed version, read again to be sealed anew: all of them, or without some documents (rule S3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from storage.errors import BlockMismatch
from storage.model import Blobs
from storage.unixfs import read_file
from vault.corpus import Corpus
from vault.envelope import SEALED_BYTES_MAX, Passage, decoded_passage, open_segment, passage_commitment, passage_salts
from vault.errors import MalformedObject
from vault.merkle import GrowingRoot
from vault.publishing import Sealed

NAMES_SHOWN = 5


def surviving(
    sealed: Sealed, blobs: Blobs, without: Collection[str], corpus: Corpus, progress: Callable[[int], None]
) -> Iterator[Passage]:
    """Yield a version's passages but those of some documents, in order, one segment in memory at a time.

    Args:
        corpus: counts what is yielded.
        progress: called with the sealed bytes read so far.
    Raises: `BlockMismatch` where they are not the corpus that the manifest commits to; `MalformedObject` where a
        document is not in it, or nothing is left. Both come at the end, so seal nothing for good before.
    """
    tree, salts = GrowingRoot(), passage_salts(sealed.key)
    names: dict[str, None] = {}
    read, last = 0, None
    for encoded in _encoded(sealed, blobs):
        tree.append(passage_commitment(next(salts), encoded))
        passage = decoded_passage(encoded)
        if passage.document != last:
            last = passage.document
            names[last] = None
            corpus.documents += last not in without
        if passage.document not in without:
            corpus.passages += 1
            corpus.text_bytes += len(passage.text.encode())
            yield passage
        read += len(encoded)
        progress(read)
    if tree.root() != sealed.manifest.corpus_root:
        raise BlockMismatch("the passages read are not the ones that were sealed; nothing was sealed anew")
    _require_known(without, names)
    if not corpus.passages:
        raise MalformedObject("that would leave nothing in it; delete all of it with: coffer dataset delete")


def _encoded(sealed: Sealed, blobs: Blobs) -> Iterator[bytes]:
    manifest = sealed.manifest
    for index, segment in enumerate(manifest.segments):
        body = read_file(blobs, segment.root, bytes_max=SEALED_BYTES_MAX)
        place = {"genesis": manifest.genesis, "dataset": manifest.dataset, "version": manifest.version}
        yield from open_segment(sealed.key, body, index=index, **place)  # type: ignore[arg-type]


def _require_known(without: Collection[str], names: Collection[str]) -> None:
    unknown = [name for name in without if name not in names]
    if unknown:
        some = ", ".join(list(names)[:NAMES_SHOWN])
        raise MalformedObject(
            f"there is no document {unknown[0]} in it, so nothing was sealed; it has {len(names)}, the first: {some}"
        )
