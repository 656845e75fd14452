"""The engine: what it opens, and that a permit's datasets are all it ever sees (rule O4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from enclave.found import Dataset
from storage.errors import BlockNotFound
from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests.builders import SealedDataset, dao, sealed_dataset, seeded, wallet
from tests.toy import toy_engine
from vault.envelope import passage_commitment
from vault.errors import AccessDenied, TamperedSegment
from vault.keys import SecretKey
from vault.merkle import root_from_path

DAO = dao(3)
TIDES = sealed_dataset(DAO)
GULLS = sealed_dataset(
    DAO, ("The tide table for gulls.", "Gulls sleep at noon.", "A tide table table."), owner=wallet("other")
)


def given(sealed: SealedDataset, **manifest: object) -> Dataset:
    return Dataset(manifest=replace(sealed.manifest, **manifest), key=sealed.data_key)


@pytest.fixture
def blobs() -> MemoryBlobs:
    blobs = MemoryBlobs()
    for sealed in (TIDES, GULLS):
        for segment in sealed.segments:
            add_file(blobs, segment)
    return blobs


def quiet(done: int, total: int) -> None: ...


def test_only_the_permits_datasets_are_searched_whatever_else_is_open(blobs: MemoryBlobs) -> None:
    alone, together = toy_engine(blobs), toy_engine(blobs)
    alone.open([given(TIDES)], quiet)
    tides = [TIDES.manifest.cid()]
    for order in ([given(TIDES), given(GULLS)], [given(GULLS), given(TIDES)]):
        together.open(order, quiet)
        for text in ("tide table", "gulls", "noon"):
            for k in (1, 2, 3, 10):
                expected, answer = alone.search(text, tides, k), together.search(text, tides, k)
                assert (answer.found, answer.vector) == (expected.found, expected.vector)


def test_every_passage_comes_with_what_opens_and_proves_it(blobs: MemoryBlobs) -> None:
    engine = toy_engine(blobs)
    engine.open([given(GULLS), given(TIDES)], quiet)
    answer = engine.search("tide", [GULLS.manifest.cid(), TIDES.manifest.cid()], 6)
    assert len({(found.manifest, found.index) for found in answer.found}) == 6
    assert [found.score for found in answer.found] == sorted((found.score for found in answer.found), reverse=True)
    manifests = {sealed.manifest.cid(): sealed.manifest for sealed in (TIDES, GULLS)}
    for found in answer.found:
        manifest = manifests[found.manifest]
        assert found.owner == manifest.owner
        assert passage_commitment(found.salt, found.body) == found.commitment
        root = root_from_path(found.commitment, found.index, manifest.passages, found.path)
        assert root == manifest.corpus_root
    again = engine.passages([(found.manifest, found.index) for found in answer.found], answer.vector)
    assert again == answer.found  # a retry is given the same passages with the same scores


def test_a_dataset_that_is_not_open_is_refused(blobs: MemoryBlobs) -> None:
    engine = toy_engine(blobs)
    for dataset in ([TIDES.manifest.cid()], [GULLS.manifest.cid()]):
        with pytest.raises(AccessDenied):
            engine.search("tide", dataset, 1)
    engine.open([given(TIDES)], quiet)
    for dataset in ([GULLS.manifest.cid()], [TIDES.manifest.cid(), GULLS.manifest.cid()]):
        with pytest.raises(AccessDenied):
            engine.search("tide", dataset, 1)
    with pytest.raises(AccessDenied):
        engine.passages([(GULLS.manifest.cid(), 0)], bytes(4 * 64))
    engine.close()
    with pytest.raises(AccessDenied):
        engine.search("tide", [TIDES.manifest.cid()], 1)


@pytest.mark.parametrize(
    "field",
    ["corpus_root", "model", "version", "dataset", "segments"],
)
def test_a_manifest_the_segments_do_not_fit_is_refused(blobs: MemoryBlobs, field: str) -> None:
    segments = TIDES.manifest.segments
    wrong: dict[str, object] = {
        "corpus_root": seeded("another"),
        "model": seeded("another model"),
        "dataset": seeded("another"),
        "segments": segments[::-1],
    }
    changes = {"version": 2, "previous": TIDES.manifest.cid()} if field == "version" else {field: wrong[field]}
    with pytest.raises((TamperedSegment, AccessDenied)):
        toy_engine(blobs).open([given(TIDES, **changes)], quiet)


def test_a_wrong_key_or_a_missing_block_is_told(blobs: MemoryBlobs) -> None:
    with pytest.raises(TamperedSegment):
        toy_engine(blobs).open([Dataset(manifest=TIDES.manifest, key=SecretKey(bytes(32)))], quiet)
    blobs.delete(TIDES.manifest.segments[1].root)
    with pytest.raises(BlockNotFound, match="segment 1 of dataset Tides"):
        toy_engine(blobs).open([given(TIDES)], quiet)
