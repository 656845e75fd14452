"""Questions with options: filters, words, distinct and diverse passages, neighbors; each within its own datasets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from enclave.engine import LocalEngine
from enclave.found import Answer, Dataset
from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests.builders import SealedDataset, dao, sealed_dataset, wallet
from tests.toy import answered, ask, refused, toy_engine
from vault.codec import encode
from vault.envelope import Passage
from vault.errors import MalformedObject
from vault.question import PLAIN, Mode, Options

DAO = dao(3)
PASSAGES = [
    Passage("a.txt", 0, 9, "gulls eat fish", {"tags": ["birds", "food"], "time": 100}),
    Passage("a.txt", 10, 19, "fish swim in shoals", {"tags": ["birds", "food"], "time": 100}),
    Passage("a.txt", 20, 29, "shoals follow the tide", {"tags": ["birds", "food"], "time": 100}),
    Passage("b.txt", 0, 9, "the tide turns at noon", {"time": 200, "draft": True}),
    Passage("b.txt", 10, 19, "The tide turns at noon!", {"time": 200, "draft": True}),
    Passage("c.txt", 0, 9, "noon is for sleeping gulls"),
]
TIDES = sealed_dataset(DAO, PASSAGES)
OTHERS = sealed_dataset(DAO, [Passage("z.txt", 0, 9, "gulls gulls gulls at noon")], owner=wallet("other"))


def given(sealed: SealedDataset) -> Dataset:
    return Dataset(manifest=sealed.manifest, key=sealed.data_key)


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    blobs = MemoryBlobs()
    for sealed in (TIDES, OTHERS):
        for segment in sealed.segments:
            add_file(blobs, segment)
    engine = toy_engine(blobs)
    engine.open([given(TIDES), given(OTHERS)], lambda done, total: None)
    return engine


def asked(engine: LocalEngine, text: str, k: int, *sealed: SealedDataset, **options: Any) -> Answer:
    cids = [one.manifest.cid() for one in sealed or (TIDES,)]
    return answered(engine.search([ask(text, *cids, k=k, options=replace(PLAIN, **options))]))


def texts(answer: Answer) -> list[str]:
    return [found.text for found in answer.found]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"key": "document", "equals": "b.txt"}, {3, 4}),
        ({"key": "tags", "in": ["birds", "none"]}, {0, 1, 2}),
        ({"key": "time", "range": {"gt": 100}}, {3, 4}),
        ({"key": "draft", "exists": True}, {3, 4}),
        ({"must_not": [{"key": "time", "exists": True}]}, {5}),
        ({"should": [{"key": "document", "equals": "c.txt"}, {"key": "draft", "equals": True}]}, {3, 4, 5}),
        ({"key": "owner", "equals": f"0x{TIDES.manifest.owner.hex()}"}, {0, 1, 2, 3, 4, 5}),
        ({"key": "owner", "equals": "0xsomebody"}, set()),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_filter_leaves_only_what_meets_it(engine: LocalEngine, where: Any, expected: set[int], mode: Mode) -> None:
    answer = asked(engine, "noon tide gulls fish shoals", 10, mode=mode, where=encode(where))
    assert {found.index for found in answer.found} == expected


@pytest.mark.parametrize("where", [b"\xff", encode({"key": "a"}), encode([]), encode({"must": []})])
def test_a_bad_filter_is_refused_and_quotes_nothing(engine: LocalEngine, where: bytes) -> None:
    bad = ask("tide", TIDES.manifest.cid(), k=1, options=replace(PLAIN, where=where))
    answers = engine.search([bad, ask("tide", TIDES.manifest.cid(), k=1)])
    assert refused(answers[:1], MalformedObject)
    assert len(answered(answers[1:]).found) == 1


def test_words_rank_by_bm25_and_both_by_their_ranks(engine: LocalEngine) -> None:
    by_words = asked(engine, "shoals", 3, mode=Mode.KEYWORD)
    assert {found.index for found in by_words.found} == {1, 2}
    assert by_words.vector == b""  # nothing was embedded
    fused = asked(engine, "shoals", 6, mode=Mode.HYBRID)
    assert {found.index for found in fused.found[:2]} == {1, 2}
    assert len(fused.vector) > 0


def test_words_are_counted_over_all_datasets_that_are_asked_and_no_others(engine: LocalEngine) -> None:
    alone = asked(engine, "gulls noon", 5, mode=Mode.KEYWORD)
    together = asked(engine, "gulls noon", 5, TIDES, OTHERS, mode=Mode.KEYWORD)
    assert together.found[0].manifest == OTHERS.manifest.cid()
    of_tides = [(found.index, found.score) for found in together.found if found.manifest == TIDES.manifest.cid()]
    assert of_tides != [(found.index, found.score) for found in alone.found]  # other statistics, since more is allowed


def test_neighbors_follow_their_passage_in_reading_order_and_none_comes_twice(engine: LocalEngine) -> None:
    answer = asked(engine, "fish swim shoals", 1, neighbors=1)
    assert [found.index for found in answer.found] == [1, 0, 2]
    answer = asked(engine, "fish swim in shoals", 2, neighbors=1)
    indexes = [found.index for found in answer.found]
    assert len(indexes) == len(set(indexes))


def test_neighbors_are_of_what_the_filter_leaves(engine: LocalEngine) -> None:
    where = encode({"key": "document", "equals": "c.txt"})
    assert [found.index for found in asked(engine, "noon", 1, neighbors=2, where=where).found] == [5]


def test_near_identical_passages_count_as_one(engine: LocalEngine) -> None:
    plain, distinct = (
        asked(engine, "the tide turns at noon", 2),
        asked(engine, "the tide turns at noon", 2, distinct=True),
    )
    assert {found.index for found in plain.found} == {3, 4}
    assert len({found.index for found in distinct.found} & {3, 4}) == 1


def test_full_diversity_passes_over_a_twin(engine: LocalEngine) -> None:
    assert len({found.index for found in asked(engine, "the tide turns at noon", 2, diversity=900).found} & {3, 4}) == 1


def test_reranking_is_refused_where_there_is_no_cross_encoder(engine: LocalEngine) -> None:
    asks = [ask("tide", TIDES.manifest.cid(), k=1, options=replace(PLAIN, rerank=True))]
    assert refused(engine.search(asks), MalformedObject)


def test_options_of_one_ask_change_no_other(engine: LocalEngine) -> None:
    options: Sequence[Options] = [
        PLAIN,
        replace(PLAIN, mode=Mode.HYBRID),
        replace(PLAIN, mode=Mode.KEYWORD, distinct=True),
        replace(PLAIN, where=encode({"key": "document", "equals": "a.txt"}), neighbors=1),
        replace(PLAIN, diversity=300),
    ]
    asks = [ask("tide at noon", TIDES.manifest.cid(), OTHERS.manifest.cid(), k=3, options=one) for one in options]
    for one, answer in zip(asks, engine.search(asks), strict=True):
        assert isinstance(answer, Answer)
        assert answer.found == answered(engine.search([one])).found


def test_facts_that_no_filter_can_ask_for_spoil_nobody_elses_questions() -> None:
    """An owner whose own program seals what ours would not."""
    hostile = sealed_dataset(DAO, [Passage("a.txt", 0, 4, "tide", {"time": "late", "tags": "none"})])
    blobs = MemoryBlobs()
    for segment in hostile.segments:
        add_file(blobs, segment)
    engine = toy_engine(blobs)
    engine.open([given(hostile)], lambda done, total: None)
    where = encode({"key": "document", "equals": "a.txt"})
    answer = answered(engine.search([ask("tide", hostile.manifest.cid(), k=1, options=replace(PLAIN, where=where))]))
    assert texts(answer) == ["tide"]
