"""The engine: what it opens, and that a permit's datasets are all it ever sees (rule O4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from enclave.engine import LocalEngine
from enclave.found import Answer, Dataset, Recall, Shaping
from enclave.output import shaped
from rag.diversity import CHOICES_MAX as DIVERSE_MAX
from rag.faiss_index import FaissFlatIndex
from storage.cid import RAW, Cid
from storage.errors import BlockNotFound
from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests.builders import TEXTS, SealedDataset, dao, sealed_dataset, seeded, wallet
from tests.toy import DIMENSION, ToyEmbedder, answered, ask, refused, toy_engine
from vault.envelope import passage_commitment
from vault.errors import AccessDenied, MalformedObject, TamperedSegment
from vault.keys import SecretKey
from vault.merkle import root_from_path
from vault.output_rules import EVERYTHING, Redaction
from vault.question import PLAIN
from vault.receipt import PassageProof, redacted_commitment
from vault.snapshot import Snapshot

DAO = dao(3)
TIDES = sealed_dataset(DAO)
GULLS = sealed_dataset(
    DAO, ("The tide table for gulls.", "Gulls sleep at noon.", "A tide table table."), owner=wallet("other")
)


RERANKED = replace(PLAIN, rerank=True)


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
                asked = [ask(text, *tides, k=k)]
                expected, answer = answered(alone.search(asked)), answered(together.search(asked))
                assert (answer.found, answer.vector) == (expected.found, expected.vector)


def test_every_passage_comes_with_what_opens_and_proves_it(blobs: MemoryBlobs) -> None:
    engine = toy_engine(blobs)
    engine.open([given(GULLS), given(TIDES)], quiet)
    answer = answered(engine.search([ask("tide", GULLS.manifest.cid(), TIDES.manifest.cid(), k=6)]))
    assert len({(found.manifest, found.index) for found in answer.found}) == 6
    assert [found.score for found in answer.found] == sorted((found.score for found in answer.found), reverse=True)
    manifests = {sealed.manifest.cid(): sealed.manifest for sealed in (TIDES, GULLS)}
    for found in answer.found:
        manifest = manifests[found.manifest]
        assert found.owner == manifest.owner
        proof, sent = PassageProof.from_bytes(found.proof), found.message
        assert passage_commitment(sent.salt, sent.body) == found.commitment == proof.commitment
        assert (sent.manifest, sent.index, sent.score) == (found.manifest.binary, found.index, found.score)
        assert (proof.manifest, proof.index, proof.redacted) == (found.manifest, found.index, None)
        root = root_from_path(found.commitment, found.index, manifest.passages, proof.path)
        assert root == manifest.corpus_root
    again = Recall(
        places=tuple((found.manifest, found.index) for found in answer.found),
        scores=tuple(found.score for found in answer.found),
    )
    assert answered(engine.search([again])).found == answer.found


def test_what_is_redacted_leaves_under_a_commitment_of_its_own(blobs: MemoryBlobs) -> None:
    written = sealed_dataset(DAO, ("Ask ann@port.example for the tide table.", *TEXTS))
    for segment in written.segments:
        add_file(blobs, segment)
    engine, manifest = toy_engine(blobs), written.manifest.cid()
    engine.open([given(written)], quiet)
    plain = {one.index: one for one in answered(engine.search([ask("tide table", manifest, k=4)])).found}
    blacked = replace(ask("tide table", manifest, k=4), shaping=Shaping((Redaction.EMAIL,), 2))
    redacted = answered(engine.search([blacked])).found
    assert {one.index for one in redacted if "[e-mail address]" in one.text} == {0}
    for one in redacted:
        whole, sent, proof = plain[one.index], one.message, PassageProof.from_bytes(one.proof)
        assert one.score == sent.score == round(whole.score, 2)
        assert (one.commitment, one.lasting) == (whole.commitment, whole.lasting) == (proof.commitment, whole.lasting)
        if one.index:
            assert (sent.body, sent.salt, one.proof) == (whole.message.body, whole.message.salt, whole.proof)
        else:
            assert b"ann@" not in one.sent and whole.message.salt not in one.sent
            assert proof.redacted == redacted_commitment(sent.salt, sent.body)


def test_what_was_asked_by_other_rules_does_not_leave(blobs: MemoryBlobs) -> None:
    engine = toy_engine(blobs)
    engine.open([given(TIDES)], quiet)
    found = answered(engine.search([ask("tide", TIDES.manifest.cid(), k=2)])).found
    assert shaped(found, EVERYTHING) == found
    for rules in (replace(EVERYTHING, redacts=(Redaction.CARD,)), replace(EVERYTHING, score_decimals=3)):
        with pytest.raises(ValueError, match="by other rules"):
            shaped(found, rules)


def test_a_dataset_that_is_not_open_is_refused(blobs: MemoryBlobs) -> None:
    engine = toy_engine(blobs)
    for dataset in ([TIDES.manifest.cid()], [GULLS.manifest.cid()]):
        assert refused(engine.search([ask("tide", *dataset, k=1)]), AccessDenied)
    engine.open([given(TIDES)], quiet)
    for dataset in ([GULLS.manifest.cid()], [TIDES.manifest.cid(), GULLS.manifest.cid()]):
        assert refused(engine.search([ask("tide", *dataset, k=1)]), AccessDenied)
    assert refused(engine.search([Recall(places=((GULLS.manifest.cid(), 0),), scores=(0.5,))]), AccessDenied)
    engine.close()
    assert refused(engine.search([ask("tide", TIDES.manifest.cid(), k=1)]), AccessDenied)


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


class TestSnapshots:
    """An enclave restarts without embedding anew, and is not told by storage what its vectors are (rule S2)."""

    STATE_KEY = SecretKey(seeded("state key"))

    def dataset(self, snapshot: Cid | None = None, **changes: Any) -> Dataset:
        return replace(given(TIDES), state_key=self.STATE_KEY, snapshot=snapshot, **changes)

    def opened(
        self, blobs: MemoryBlobs, dataset: Dataset, sealed: SealedDataset = TIDES
    ) -> tuple[int, dict[Cid, Cid], Answer]:
        """Return how many passages were embedded, what snapshots were made, and an answer."""
        embedder = CountingEmbedder()
        engine = LocalEngine(embedder, FaissFlatIndex, blobs)
        made = engine.open([dataset], quiet)
        return embedder.passages, made, answered(engine.search([ask("tide table", sealed.manifest.cid(), k=4)]))

    def test_it_is_made_once_and_then_embeds_nothing(self, blobs: MemoryBlobs) -> None:
        embedded, made, first = self.opened(blobs, self.dataset())
        assert (embedded, made.keys()) == (3, {TIDES.manifest.cid()})
        embedded, again, second = self.opened(blobs, self.dataset(made[TIDES.manifest.cid()]))
        assert (embedded, again) == (0, {})
        assert (second.found, second.vector) == (first.found, first.vector)

    def test_it_holds_which_passages_count_as_one(self, blobs: MemoryBlobs) -> None:
        """Or an enclave that restarts would work it out anew from every text, and a host could have it forgotten."""
        twice = sealed_dataset(dao(3), ("The tide  table for May.", *TEXTS))
        for segment in twice.segments:
            add_file(blobs, segment)
        dataset = replace(given(twice), state_key=self.STATE_KEY)
        _, made, first = self.opened(blobs, dataset, twice)
        _, again, second = self.opened(blobs, replace(dataset, snapshot=made[twice.manifest.cid()]), twice)
        assert again == {}
        assert len({one.lasting for one in first.found}) == len(first.found) - 1
        assert [one.lasting for one in first.found] == [one.lasting for one in second.found]

    def test_without_the_state_key_none_is_made(self, blobs: MemoryBlobs) -> None:
        assert self.opened(blobs, given(TIDES))[:2] == (3, {})

    @pytest.mark.parametrize("wrong", ["another dataset's", "another ledger's", "lost", "tampered with"])
    def test_one_that_does_not_hold_is_passed_over_and_made_anew(
        self, blobs: MemoryBlobs, wrong: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        dataset = self.dataset()
        _, made, right = self.opened(blobs, dataset)
        root = made[TIDES.manifest.cid()]
        if wrong == "another dataset's":
            gulls = replace(given(GULLS), state_key=self.STATE_KEY)
            root = toy_engine(blobs).open([gulls], quiet)[GULLS.manifest.cid()]
        elif wrong == "another ledger's":
            dataset = replace(dataset, state_key=SecretKey(seeded("another state key")))
        elif wrong == "lost":
            blobs.delete(Snapshot.from_bytes(blobs.get(root)).blocks[0])
        else:
            blobs.delete(root)
            root = Cid.of(RAW, b"not a snapshot")
            blobs.put(root, b"not a snapshot")
        embedded, again, answer = self.opened(blobs, replace(dataset, snapshot=root))
        assert (embedded, again.keys()) == (3, {TIDES.manifest.cid()})
        assert answer.found == right.found
        assert "computed anew" in caplog.text


class CountingEmbedder(ToyEmbedder):
    """It counts the passages that it embeds."""

    def __init__(self) -> None:
        self.passages = 0

    def embed_passages(self, texts: Sequence[str], *, progress: Any = None) -> NDArray[np.float32]:
        self.passages += len(texts)
        return super().embed_passages(texts, progress=progress)


class TestAsks:
    """What is asked together is answered by itself."""

    def engine(self, blobs: MemoryBlobs) -> LocalEngine:
        engine = toy_engine(blobs)
        engine.open([given(TIDES), given(GULLS)], quiet)
        return engine

    def test_each_as_if_it_were_alone(self, blobs: MemoryBlobs) -> None:
        engine, tides, gulls = self.engine(blobs), TIDES.manifest.cid(), GULLS.manifest.cid()
        vector = answered(engine.search([ask("gulls", tides, k=1)])).vector
        asks = [
            ask("tide table", tides, k=1),
            ask("tide table", tides, gulls, k=5),
            ask("", gulls, k=2, vector=vector),
            ask("noon", gulls, tides, k=3),
            ask("noon", tides, k=0),
        ]
        together = engine.search(asks)
        for one, answer in zip(asks, together, strict=True):
            alone = answered(engine.search([one]))
            assert isinstance(answer, Answer)
            assert (answer.found, answer.vector) == (alone.found, alone.vector)
        assert [len(answer.found) for answer in together if isinstance(answer, Answer)] == [1, 5, 2, 3, 0]

    def test_a_question_by_vector_is_the_one_by_text(self, blobs: MemoryBlobs) -> None:
        engine, tides = self.engine(blobs), TIDES.manifest.cid()
        by_text = answered(engine.search([ask("tide table", tides, k=3)]))
        by_vector = answered(engine.search([ask("", tides, k=3, vector=by_text.vector)]))
        assert (by_vector.found, by_vector.vector) == (by_text.found, by_text.vector)

    def test_one_that_retrieval_cannot_take_is_refused_by_itself(self, blobs: MemoryBlobs) -> None:
        engine = toy_engine(blobs)
        engine.open([given(TIDES)], quiet)
        good = ask("tide", TIDES.manifest.cid(), k=2)
        impossible = [
            replace(good, options=replace(PLAIN, diversity=1), k=DIVERSE_MAX + 1),
            replace(good, text="", vector=ToyEmbedder().embed_queries(["tide"])[0].tobytes(), options=RERANKED),
            replace(good, options=RERANKED),
        ]
        (alone,) = engine.search([good])
        first, *between, last = engine.search([good, *impossible, good])
        assert [answered([one]).found for one in (first, last)] == [answered([alone]).found] * 2
        assert [type(one) for one in between] == [MalformedObject] * len(impossible)

    @pytest.mark.parametrize(
        "vector",
        [b"", bytes(4 * DIMENSION), bytes(4), bytes(4 * DIMENSION + 1), b"\x00\x00\xc0\x7f" * DIMENSION,
         np.full(DIMENSION, 1.01 / 8, dtype="<f4").tobytes()],
        ids=["none", "zero", "short", "odd", "nan", "too long"],
    )  # fmt: skip
    def test_a_bad_vector_is_refused_by_itself(self, blobs: MemoryBlobs, vector: bytes) -> None:
        engine, tides = self.engine(blobs), TIDES.manifest.cid()
        good = ask("tide table", tides, k=1)
        bad = ask("", tides, k=1, vector=vector) if vector else ask("", seeded_cid(), k=1)
        refusal, answer = engine.search([bad, good])
        assert isinstance(refusal, MalformedObject if vector else AccessDenied)
        assert isinstance(answer, Answer)
        assert len(answer.found) == 1


def seeded_cid() -> Cid:
    return Cid.of(RAW, b"a dataset that is not open")
