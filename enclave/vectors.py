"""A dataset version's vectors: out of its sealed snapshot, or embedded and sealed for the next time (rule S2).

What an engine that serves an earlier version has embedded is borrowed from it instead (`enclave.lending`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from enclave.found import Dataset
from enclave.lending import Source, borrowed
from enclave.opened import Passages
from rag.model import Embedder
from storage.cid import Cid
from storage.errors import StorageError
from storage.model import Blobs
from vault.errors import MalformedObject, TamperedSegment, VaultError
from vault.keys import SecretKey
from vault.snapshot import read_snapshot, store_snapshot

log = logging.getLogger(__name__)


def vectors_of(
    passages: Passages,
    dataset: Dataset,
    embedder: Embedder,
    blobs: Blobs,
    progress: Callable[[int], None],
    source: Source | None = None,
) -> tuple[NDArray[np.float32], Cid | None]:
    """Return the vectors, shape (passages, dimension), and the snapshot that was made of them, if one was.

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
    vectors = _embedded(passages, embedder, progress, source)
    return vectors, _stored(passages, vectors, embedder, blobs, keys) if keys is not None else None


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
) -> NDArray[np.float32]:
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
    if vectors.shape != (len(passages.bodies), embedder.dimension):
        raise TamperedSegment("the snapshot holds another number of vectors, or others, than the dataset needs")
    return vectors


def _stored(
    passages: Passages,
    vectors: NDArray[np.float32],
    embedder: Embedder,
    blobs: Blobs,
    keys: tuple[SecretKey, SecretKey],
) -> Cid | None:
    """Seal the vectors beside the dataset; an enclave that cannot serves all the same, and embeds again next time."""
    try:
        return store_snapshot(
            blobs,
            memoryview(np.ascontiguousarray(vectors, dtype="<f4").data).cast("B"),
            manifest=passages.cid,
            model=embedder.model_hash,
            settings=embedder.settings_hash,
            dtype=embedder.dtype,
            dimension=embedder.dimension,
            keys=keys,
        )
    except (StorageError, MalformedObject) as error:
        log.warning("no snapshot of dataset %s: %s", passages.cid, error)
        return None
