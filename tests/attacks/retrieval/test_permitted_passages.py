"""What a policy does not let be found (rule O4): no answer, score, order, count or error says anything of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.client import Answer
from enclave.engine import LocalEngine
from enclave.found import Dataset
from enclave.replay import ReplayEngine, replayed
from rag.chosen import IndexChoice, made_index
from rag.exact import TileIndex
from rag.index_plan import Kind
from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests import builders
from tests.builders import dao, published, sealed_dataset
from tests.deployment import Deployment, deployed
from tests.enclaves import APPRAISER, PRICE, TEE, World, configuration
from tests.toy import InProcessEngine, ToyEmbedder
from vault.codec import encode
from vault.dataset import DatasetRef
from vault.envelope import Passage
from vault.errors import InvalidReceipt
from vault.output_rules import EVERYTHING
from vault.question import PLAIN, Mode, Options
from vault.receipt import verified_receipt
from vault.receipt_check import verify_receipt_file
from vault.receipt_links import check_passages

OPEN = tuple(
    Passage("log.txt", 40 * n, 40 * n + 30, f"harbor log {n} wind {n * n}", {"tags": ["open"], "time": 1000 + n})
    for n in range(6)
)
HIDDEN = tuple(
    Passage("log.txt", 40 * n + 10, 40 * n + 35, f"harbor log {n} secret wind", {"tags": ["closed"], "time": 2000 + n})
    for n in range(9)
)
BETWEEN = tuple(one for n in range(9) for one in (*OPEN[n : n + 1], HIDDEN[n]))  # in one document, one after another
ONLY = encode({"key": "tags", "equals": "open"})
COUNTING = replace(EVERYTHING, counts_from=5)
QUESTIONS: tuple[Options, ...] = (
    PLAIN,
    replace(PLAIN, mode=Mode.KEYWORD),
    replace(PLAIN, mode=Mode.HYBRID),
    replace(PLAIN, distinct=True),
    replace(PLAIN, diversity=500),
    replace(PLAIN, mode=Mode.HYBRID, diversity=300, distinct=True),
    replace(PLAIN, where=encode({"key": "time", "range": {"gte": 1002}})),
    replace(PLAIN, mode=Mode.KEYWORD, where=encode({"must_not": [{"key": "time", "equals": 1001}]})),
)


def setting(texts: Sequence[Passage], only: bytes = b"", **policy: Any) -> World:
    """Return a world whose policy lets only passages that meet a filter be found."""
    made = dao(3)
    sealed = sealed_dataset(made, texts)
    fields = {
        "datasets": (replace(DatasetRef.pinned(sealed.manifest), only=only),),
        "tees": (TEE,),
        "price_per_query": PRICE,
        "configurations": (configuration(made.genesis),),
        "queries_per_minute": 10_000,
        "output": COUNTING,
        "k_max": 20,
    }
    adopted = builders.policy(made.genesis, **(fields | policy))
    blobs = MemoryBlobs()
    for segment in sealed.segments:
        add_file(blobs, segment)
    history = published(blobs, made.history, builders.carried(made.history, builders.adopting(adopted), adopted))
    return World(dao=made, dataset=sealed, policy=adopted, history=history, blobs=blobs)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("beside"), setting(BETWEEN, ONLY)) as deployment:
        deployment.add_credit(1_000_000)
        yield deployment


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with deployed(tmp_path_factory.mktemp("alone"), setting(OPEN)) as deployment:
        deployment.add_credit(1_000_000)
        yield deployment


def asked(deployment: Deployment, text: str, options: Options, k: int = 4) -> Answer:
    with deployment.client() as client:
        return client.search(text, k=k, options=options)


def told(answer: Answer) -> tuple[object, ...]:
    shown = [(one.text, one.score, one.metadata) for one in answer.results]
    return shown, answer.is_partial, answer.receipt.price


@pytest.mark.parametrize("options", QUESTIONS, ids=str)
def test_every_kind_of_question_is_answered_as_if_the_others_were_not_there(
    beside: Deployment, alone: Deployment, options: Options
) -> None:
    for text in ("harbor log 3", "secret wind", "log 5 secret"):
        for k in (2, 20):
            assert told(asked(beside, text, options, k)) == told(asked(alone, text, options, k))


def test_a_neighbor_that_may_not_be_found_is_none(beside: Deployment) -> None:
    answer = asked(beside, "harbor log 3", replace(PLAIN, neighbors=2), k=3)
    assert answer.results
    assert all(list(one.metadata["tags"]) == ["open"] for one in answer.results)


def test_counts_are_of_what_may_be_found(beside: Deployment, alone: Deployment) -> None:
    for where in (
        {"key": "time", "exists": True},
        {"key": "tags", "equals": "closed"},
        {"must_not": [{"key": "x", "exists": True}]},
    ):
        with beside.client() as one, alone.client() as other:
            assert one.count(encode(where)).count == other.count(encode(where)).count


def test_a_description_says_so(beside: Deployment, alone: Deployment) -> None:
    for deployment, only in ((beside, ONLY), (alone, b"")):
        with deployment.client() as client:
            assert [one.only for one in client.describe().datasets] == [only]


def test_an_approximate_index_does_not_answer_such_questions(tmp_path: Path) -> None:
    """What may not be found has shaped its links."""
    many = tuple(
        Passage(
            f"{n}.txt",
            0,
            30,
            f"station {n % 31} reads {n * 7919 % 1009}",
            {"tags": ["open" if n % 50 == 0 else "closed"]},
        )
        for n in range(1100)
    )
    choice = IndexChoice(kind=Kind.HNSW, recall_ppm=900_000, passages_from=1000)
    made = setting(many, ONLY)
    engine = LocalEngine(ToyEmbedder(), lambda vectors: made_index(vectors, choice), made.blobs)
    with deployed(tmp_path, made, start_engine=lambda: InProcessEngine(made.blobs, engine)) as deployment:
        deployment.add_credit(10_000)
        answer = asked(deployment, "station 7 reads", PLAIN, k=20)
    texts = [one.text for one in many[::50]]
    best = sorted((ToyEmbedder().embed_passages(texts) @ ToyEmbedder().embed_queries(["station 7 reads"])[0]).tolist())
    assert [one.score for one in answer.results] == pytest.approx(best[::-1][:20], abs=1e-6)


def test_where_facts_cannot_be_asked_nothing_passes_a_filter_on_them(tmp_path: Path) -> None:
    """An owner's own program may seal more keys than filters take: then `must_not` lets nothing through."""
    keys = tuple(Passage(f"{n}.txt", 0, 9, f"log {n}", {f"key {n} {m}": 1 for m in range(30)}) for n in range(40))
    not_closed = encode({"must_not": [{"key": "tags", "equals": "closed"}]})
    with deployed(tmp_path, setting(keys, not_closed)) as deployment:
        deployment.add_credit(10_000)
        assert asked(deployment, "log 3", PLAIN).results == ()


def test_a_receipt_holds_only_with_passages_that_the_policy_lets_be_found(beside: Deployment) -> None:
    answer, genesis = asked(beside, "harbor log 3", PLAIN), beside.world.genesis
    list(verify_receipt_file(answer.file, genesis=genesis, appraiser=APPRAISER, allow_simulated=True))
    manifests = {one.cid(): one for one in answer.file.manifests}
    check_passages(answer.file, answer.receipt, manifests)
    (reference,) = answer.file.policy.datasets
    stricter = replace(reference, only=encode({"key": "tags", "equals": "nothing"}))
    forged = replace(answer.file, policy=replace(answer.file.policy, datasets=(stricter,)))
    with pytest.raises(InvalidReceipt, match="not one that the policy lets be found"):
        check_passages(forged, answer.receipt, manifests)


def test_it_is_replayed_among_them_alone(beside: Deployment) -> None:
    world = beside.world
    engine = ReplayEngine(ToyEmbedder(), TileIndex, world.blobs)
    engine.open_one(Dataset(manifest=world.dataset.manifest, key=world.dataset.data_key), None)
    (cid,) = (world.dataset.manifest.cid(),)
    for options in (PLAIN, replace(PLAIN, mode=Mode.KEYWORD)):
        file = asked(beside, "secret wind", options).file
        receipt = verified_receipt(file.message, file.binding.receipt_key)
        said = list(replayed(file, receipt, engine, asked=[cid], opened=[cid], within=0))
        assert any("byte for byte" in one for one in said)
