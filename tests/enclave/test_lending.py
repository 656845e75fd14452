"""Vectors lent from one engine to the next: what is known is not embedded, and only what was asked for leaves."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from enclave import lending
from enclave.engine import LocalEngine
from enclave.found import Dataset
from enclave.lending import ASKED_MAX, Borrower, Lender, Lent, Wanted, borrowed, text_digest
from rag.faiss_index import FaissFlatIndex
from storage.memory import MemoryBlobs
from tests.builders import SealedDataset, dao, sealed_dataset, seeded
from tests.toy import DIMENSION, ToyEmbedder
from tests.versions import store

TEXTS = ("one tide", "two tides", "three gulls", "one tide")


class Counting(ToyEmbedder):
    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed_passages(self, texts: Sequence[str], *, progress: Any = None) -> NDArray[np.float32]:
        self.embedded += texts
        return super().embed_passages(texts, progress=progress)


class Engines:
    """An engine with one version open, and others beside it."""

    def __init__(self) -> None:
        self.blobs = MemoryBlobs()
        self.dao = dao(3)
        self.old = self.opened(self.version(1, TEXTS))[0]

    def version(self, number: int, texts: Sequence[str], **fields: Any) -> SealedDataset:
        previous = None if number == 1 else self.version(number - 1, TEXTS).manifest.cid()
        made = sealed_dataset(self.dao, texts, version=number, previous=previous, **fields)
        store(self.blobs, made)
        return made

    def opened(self, dataset: SealedDataset, source: Any = None) -> tuple[LocalEngine, list[str], list[int]]:
        """Return an engine that has opened a dataset, what it embedded, and the progress it told of."""
        embedder, told = Counting(), list[int]()
        engine = LocalEngine(embedder, FaissFlatIndex, self.blobs)
        named = Dataset(manifest=dataset.manifest, key=dataset.data_key)
        engine.open([named], lambda done, _: told.append(done), source)
        return engine, embedder.embedded, told


@pytest.fixture(scope="module")
def engines() -> Engines:
    return Engines()


def wanted(dataset: SealedDataset, *texts: str, **fields: Any) -> Wanted:
    usual = {"owner": dataset.manifest.owner, "dataset": dataset.manifest.dataset}
    return Wanted(**(usual | fields), digests=tuple(map(text_digest, texts)))


def vectors(engine: LocalEngine) -> NDArray[np.float32]:
    (opened,) = engine._opened.values()
    return opened.index.vectors(np.arange(opened.index.count, dtype=np.int64))


class TestOpening:
    @pytest.mark.parametrize(
        ("texts", "anew"),
        [
            (TEXTS, []),
            (TEXTS[::-1], []),
            (TEXTS[1:], []),
            ((*TEXTS, "four lamps"), ["four lamps"]),
            (("four lamps", "Three gulls"), ["four lamps", "Three gulls"]),
        ],
        ids=["nothing new", "another order", "one deleted", "one added", "nothing known"],
    )
    def test_only_what_is_new_is_embedded(self, engines: Engines, texts: tuple[str, ...], anew: list[str]) -> None:
        version = engines.version(2, texts)
        new, embedded, told = engines.opened(version, engines.old.lender())
        assert embedded == anew
        assert told[-1] == len(texts)
        assert told == sorted(told)
        assert vectors(new).tobytes() == vectors(engines.opened(version)[0]).tobytes()

    def test_of_another_dataset_nothing_is_lent(self, engines: Engines) -> None:
        version = engines.version(2, TEXTS, dataset=seeded("another"))
        assert Lender(engines.old._opened.values()).lent(wanted(version, *TEXTS)) == Lent(places=(), vectors=b"")

    def test_past_what_is_kept_of_a_dataset_the_rest_is_embedded(
        self, engines: Engines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lending, "PASSAGES_MAX", 2)
        assert engines.opened(engines.version(2, TEXTS), engines.old.lender())[1] == [TEXTS[2], TEXTS[3]]

    def test_vectors_of_another_length_are_not_taken(self, engines: Engines) -> None:
        class Broken:
            def lent(self, _: Wanted) -> Lent:
                return Lent(places=(0, 1), vectors=bytes(4 * DIMENSION))

        assert engines.opened(engines.version(2, TEXTS), Broken())[1] == list(TEXTS)


class TestLender:
    def test_only_what_is_asked_for_leaves(self, engines: Engines) -> None:
        lent = engines.old.lender().lent(wanted(engines.version(1, TEXTS), "no such text", TEXTS[1]))
        assert lent == Lent(places=(1,), vectors=vectors(engines.old)[1].astype("<f4").tobytes())

    def test_it_reads_its_texts_in_steps(self, engines: Engines, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lending, "HASHED_MAX", 1)
        lender, question = engines.old.lender(), wanted(engines.version(1, TEXTS), *TEXTS)
        answers = [lender.lent(question) for _ in range(len(TEXTS) + 2)]
        assert answers[: len(TEXTS)] == [None] * len(TEXTS)
        assert [answer is not None and answer.places for answer in answers[len(TEXTS) :]] == [(0, 1, 2, 3)] * 2

    def test_one_answer_is_bounded(self, engines: Engines) -> None:
        question = wanted(engines.version(1, TEXTS), *[TEXTS[0]] * (ASKED_MAX + 1))
        lent = engines.old.lender().lent(question)
        assert lent is not None and len(lent.places) == ASKED_MAX


class TestBorrower:
    @pytest.fixture
    def links(self) -> Iterator[tuple[Any, Any]]:
        near, far = Pipe()
        with near, far:
            yield near, far

    def test_it_asks_across(self, engines: Engines, links: tuple[Any, Any]) -> None:
        near, far = links
        lender = engines.old.lender()
        serving = threading.Thread(target=lambda: far.send(lender.lent(far.recv())))
        serving.start()
        known, rows = borrowed(
            Borrower(near), TEXTS[:3], **owner_and_id(engines.version(1, TEXTS)), dimension=DIMENSION
        )
        serving.join()
        assert known == [0, 1, 2]
        assert rows.tobytes() == vectors(engines.old)[:3].tobytes()

    def test_a_lender_that_has_ended_lends_nothing_and_is_not_asked_again(
        self, engines: Engines, links: tuple[Any, Any]
    ) -> None:
        near, far = links
        far.close()
        borrower = Borrower(near)
        for _ in range(2):
            assert borrower.lent(wanted(engines.version(1, TEXTS), *TEXTS)) == Lent(places=(), vectors=b"")
        assert near.closed

    def test_nor_does_one_that_does_not_answer_in_time(
        self, engines: Engines, links: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lending, "PATIENCE_S", 0.01)
        near, _ = links
        assert Borrower(near).lent(wanted(engines.version(1, TEXTS), *TEXTS)) == Lent(places=(), vectors=b"")
        assert near.closed


def owner_and_id(dataset: SealedDataset) -> dict[str, bytes]:
    return {"owner": dataset.manifest.owner, "dataset": dataset.manifest.dataset}
