"""What crosses between the front process and the engine's arrives as it left, field by field."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from enclave.crossing import crossed, crossed_asks, crossing, crossing_asks
from enclave.engine import LocalEngine
from enclave.found import Answer, Ask, Found, Recall, Shaping
from enclave.worker import WorkerEngine
from rag.exact import TileIndex
from storage.cid import DAG_CBOR, Cid
from storage.directory import DirectoryBlobs
from tests.deployment import deployed
from tests.enclaves import world
from tests.toy import ToyEmbedder
from vault.envelope import Passage
from vault.errors import AccessDenied
from vault.output_rules import Redaction
from vault.question import Mode, Options

MANIFESTS = Cid.of(DAG_CBOR, b"one"), Cid.of(DAG_CBOR, b"two")
SHAPING = Shaping(redacts=(Redaction.EMAIL,), score_decimals=3)
FOUND = Found(
    manifest=MANIFESTS[0],
    index=7,
    score=0.25,
    owner=b"owner",
    commitment=b"commitment",
    proof=b"proof",
    sent=b"sent",
    shaping=SHAPING,
    words="words of another",
)
ANSWER = Answer(found=(FOUND, FOUND), vector=b"vector", embed_s=0.5, search_s=0.75, matching=((b"owner", 3),))
ASK = Ask(
    text="tide",
    vector=b"vector",
    datasets=MANIFESTS,
    k=3,
    options=Options(mode=Mode.HYBRID, where=b"w", distinct=True, diversity=4, neighbors=2, rerank=True),
    shaping=SHAPING,
    only=(b"", b"filter"),
)
RECALL = Recall(places=((MANIFESTS[1], 4),), scores=(0.5,), shaping=SHAPING)
COPIES = tuple(
    Passage(f"{n}.txt", 0, 90, f"the tide gauge in the old harbor is read at noon by the keeper and by nobody else {n}")
    for n in range(4)
)


@pytest.mark.parametrize("whole", [FOUND, ANSWER, ASK, RECALL], ids=lambda one: type(one).__name__)
def test_these_examples_leave_no_field_at_its_default(whole: Any) -> None:
    """Otherwise a field that does not cross would not show below."""
    for one in fields(whole):
        assert one.default is MISSING or getattr(whole, one.name) != one.default, one.name


def test_answers_and_refusals_arrive_as_they_left() -> None:
    refusal = AccessDenied("why")
    assert crossed(crossing([ANSWER, refusal])) == [ANSWER, refusal]


def test_asks_arrive_as_they_left() -> None:
    assert crossed_asks(crossing_asks([ASK, RECALL])) == [ASK, RECALL]


def engine_over(folder: Path) -> LocalEngine:
    return LocalEngine(ToyEmbedder(), TileIndex, DirectoryBlobs(folder))


def test_an_engine_in_a_process_of_its_own_says_which_passages_count_as_one(tmp_path: Path) -> None:
    """Rule O1: to a budget, passages that nearly repeat one another are one."""
    blocks = tmp_path / "blocks"
    setting = world(texts=COPIES, policy={"passages_max": 10}, blobs=DirectoryBlobs(blocks))
    start = partial(WorkerEngine, partial(engine_over, blocks))
    with deployed(tmp_path, setting, start_engine=start) as deployment:
        deployment.add_credit(10_000)
        with deployment.client() as client:
            answer = client.search("tide gauge", k=4)
            assert len(answer.results) == 4
            assert answer.receipt.budget_left == 9
