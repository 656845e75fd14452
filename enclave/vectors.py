"""A dataset version's vectors and kin: out of its sealed snapshot, or worked out and sealed for next time (rule S2).

Kin says which passages count as one to a budget (rule O1); it is worked out here, where the texts are.

What an engine that serves an earlier version has embedded is borrowed from it instead (`enclave.lending`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enclave.found import Dataset
from enclave.lending import Source, borrowed
from enclave.opened import Passages
from rag.kinship import RULES, Member, kin
from rag.model import Embedder
from rag.neighbors import Place
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.codec import Value, encode
from vault.envelope import checked_passage
from vault.errors import MalformedObject, TamperedSegment, VaultError
from vault.keys import SecretKey
from vault.snapshot import beside, read_snapshot, store_snapshot

log = logging.getLogger(__name__)
_KIN_TYPE: Final = "uint32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is worked out of passages before they can be searched."""

    vectors: NDArray[np.float32]  # shape (passages, dimension)
    kin: NDArray[np.uint32]  # for each row the row under whose name it counts


def prepared_of(
    passages: Passages,
    dataset: Dataset,
    embedder: Embedder,
    blobs: Blobs,
    progress: Callable[[int], None],
    source: Source | None = None,
) -> tuple[Prepared, Cid | None]:
    """Return vectors and kin, and the snapshot that was made of them, if one was.

    A snapshot that cannot be read, or is of something else, is passed over: the passages are the truth.

    Args:
        progress: called with the number of passages that have their vectors.
        source: who may have embedded some of the passages before.
    """
    keys = (dataset.key, dataset.state_key) if dataset.state_key is not None else None
    if keys is not None and dataset.snapshot is not None:
        try:
            return _read(passages, dataset.snapshot, embedder, blobs, keys), None
        except (VaultError, StorageError) as error:
            log.warning("the vectors of dataset %s are computed anew: %s", passages.cid, error)
    prepared = Prepared(vectors=_embedded(passages, embedder, progress, source), kin=kin(members(passages)))
    return prepared, _stored(passages, prepared, embedder, blobs, keys) if keys is not None else None


def members(passages: Passages) -> list[Member]:
    """Return passages as kinship sees them."""
    found = []
    for one in map(checked_passage, passages.bodies):
        facts: dict[str, Value] = {
            key: fact if isinstance(fact, str | int) else list(fact) for key, fact in one.metadata.items()
        }
        found.append(Member(one.text, Place(one.document, one.start, one.end), encode(facts) if facts else b""))
    return found


def _embedded(
    passages: Passages, embedder: Embedder, progress: Callable[[int], None], source: Source | None
) -> NDArray[np.float32]:
    """Return the vectors, of which only those are embedded that the source does not have."""
    texts, manifest = passages.texts(), passages.manifest
    if source is None:
        return embedder.embed_passages(texts, progress=progress)
    known, lent = borrowed(source, texts, owner=manifest.owner, dataset=manifest.dataset, dimension=embedder.dimension)
    progress(len(known))
    vectors = np.empty((len(texts), embedder.dimension), dtype=np.float32)
    vectors[known] = lent
    if missing := sorted(set(range(len(texts))).difference(known)):
        rest = [texts[row] for row in missing]
        vectors[missing] = embedder.embed_passages(rest, progress=lambda done: progress(len(known) + done))
    return vectors


def _read(
    passages: Passages, root: Cid, embedder: Embedder, blobs: Blobs, keys: tuple[SecretKey, SecretKey]
) -> Prepared:
    count = len(passages.bodies)
    dimension, found = read_snapshot(
        blobs,
        root,
        manifest=passages.cid,
        model=embedder.model_hash,
        settings=embedder.settings_hash,
        dtype=embedder.dtype,
        keys=keys,
    )
    vectors = np.frombuffer(found, dtype="<f4").reshape(-1, dimension)
    if vectors.shape != (count, embedder.dimension):
        raise TamperedSegment("the snapshot holds another number of vectors, or others, than the dataset needs")
    _, named = read_snapshot(
        blobs, beside(blobs, root), manifest=passages.cid, model=RULES, settings=RULES, dtype=_KIN_TYPE, keys=keys
    )
    rows = np.frombuffer(named, dtype="<u4")
    if rows.shape != (count,) or (count and int(rows.max()) >= count):
        raise TamperedSegment("the snapshot names kin that the dataset does not have")
    return Prepared(vectors=vectors, kin=rows)


def _stored(
    passages: Passages, prepared: Prepared, embedder: Embedder, blobs: Blobs, keys: tuple[SecretKey, SecretKey]
) -> Cid | None:
    """Seal both beside the dataset; an enclave that cannot serves all the same, and works them out again next time."""
    try:
        named = store_snapshot(
            blobs,
            memoryview(np.ascontiguousarray(prepared.kin, dtype="<u4").data).cast("B"),
            manifest=passages.cid,
            model=RULES,
            settings=RULES,
            dtype=_KIN_TYPE,
            dimension=1,
            keys=keys,
        )
        return store_snapshot(
            blobs,
            memoryview(np.ascontiguousarray(prepared.vectors, dtype="<f4").data).cast("B"),
            manifest=passages.cid,
            model=embedder.model_hash,
            settings=embedder.settings_hash,
            dtype=embedder.dtype,
            dimension=embedder.dimension,
            keys=keys,
            beside=named,
        )
    except (StorageError, MalformedObject) as error:
        log.warning("no snapshot of dataset %s: %s", passages.cid, error)
        return None
