"""The engine's own process: what it answers, to whom, and what ends with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvloop

from enclave.found import Dataset, Recall
from enclave.worker import WorkerEngine
from storage.directory import DirectoryBlobs
from tests.builders import TEXTS
from tests.enclaves import World, world
from tests.toy import GatedEngine, answered, ask, toy_engine, toy_engine_in
from vault.errors import AccessDenied, ServiceUnavailable, TamperedSegment
from vault.keys import SecretKey


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(blobs=DirectoryBlobs(tmp_path_factory.mktemp("blocks")))


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


@pytest.fixture
async def worker(setting: World, gate: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WorkerEngine]:
    folder = Path(setting.blobs.name.removeprefix("directory "))
    engine = WorkerEngine(partial(GatedEngine, folder, gate))
    yield engine
    engine.end()


def dataset(setting: World) -> Dataset:
    return Dataset(manifest=setting.dataset.manifest, key=setting.dataset.data_key)


async def opened(worker: WorkerEngine, setting: World) -> WorkerEngine:
    await worker.open([dataset(setting)], lambda done, total: None)
    return worker


async def test_it_answers_as_an_engine_in_this_process_does(worker: WorkerEngine, setting: World) -> None:
    steps: list[tuple[int, int]] = []
    await worker.open([dataset(setting)], lambda done, total: steps.append((done, total)))
    local, manifest = toy_engine(setting.blobs), setting.dataset.manifest.cid()
    local.open([dataset(setting)], lambda done, total: None)
    asked = [ask("tide table", manifest, k=3)]
    far, near = answered(await worker.search(asked)), answered(local.search(asked))
    assert (far.found, far.vector) == (near.found, near.vector)
    again = Recall(
        places=tuple((found.manifest, found.index) for found in far.found),
        scores=tuple(found.score for found in far.found),
    )
    assert answered(await worker.search([again])).found == far.found
    assert (steps[0], steps[-1]) == ((0, 3), (3, 3))


async def test_which_passages_count_as_one_comes_along(tmp_path: Path) -> None:
    """Or budgets would count every copy of a passage anew (rule O1)."""
    twice = world(blobs=DirectoryBlobs(tmp_path), texts=("The tide  table for May.", *TEXTS))
    local, asked = toy_engine(twice.blobs), [ask("tide table", twice.dataset.manifest.cid(), k=4)]
    local.open([dataset(twice)], lambda done, total: None)
    worker = WorkerEngine(partial(toy_engine_in, tmp_path))
    try:
        await opened(worker, twice)
        far, near = answered(await worker.search(asked)), answered(local.search(asked))
    finally:
        worker.end()
    assert far.found == near.found
    assert len({one.lasting for one in far.found}) == len(far.found) - 1


async def test_its_refusals_come_back_as_they_are(worker: WorkerEngine, setting: World) -> None:
    wrong = Dataset(manifest=setting.dataset.manifest, key=SecretKey(bytes(32)))
    with pytest.raises(TamperedSegment):
        await worker.open([wrong], lambda done, total: None)
    (refusal,) = await worker.search([ask("tide", setting.dataset.manifest.cid(), k=1)])
    assert isinstance(refusal, AccessDenied)
    await opened(worker, setting)
    with pytest.raises(ServiceUnavailable, match="failed with TypeError"):  # a bug, told by its type alone
        await worker.search([None])  # type: ignore[list-item]


async def test_a_caller_that_went_away_leaves_its_answer_to_nobody(
    worker: WorkerEngine, setting: World, gate: Path
) -> None:
    """Or the next caller would be shown, and charged for, what somebody else asked."""
    await opened(worker, setting)
    manifest = setting.dataset.manifest.cid()
    os.mkfifo(gate)
    abandoned = asyncio.create_task(worker.search([ask("tide table", manifest, k=1)]))
    writer = await asyncio.to_thread(gate.open, "wb")  # returns once the search has come to the gate
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    gate.unlink()
    following = asyncio.create_task(worker.search([ask("harbor closed at noon", manifest, k=1)]))
    await asyncio.sleep(0)
    writer.close()
    assert answered(await following).found[0].text == "The harbor closed at noon."


async def test_when_it_is_killed_midway_the_caller_is_told_at_once(
    worker: WorkerEngine, setting: World, gate: Path
) -> None:
    await opened(worker, setting)
    os.mkfifo(gate)
    waiting = asyncio.create_task(worker.search([ask("tide table", setting.dataset.manifest.cid(), k=1)]))
    noticed = asyncio.create_task(worker.ended())
    with await asyncio.to_thread(gate.open, "wb"):
        assert worker.is_alive
        assert worker.pid is not None
        os.kill(worker.pid, 9)
        with pytest.raises(ServiceUnavailable, match="has ended"):
            await waiting
        await noticed


async def test_ended_it_refuses_and_may_be_ended_again(worker: WorkerEngine) -> None:
    worker.end()
    with pytest.raises(ServiceUnavailable):
        await worker.search([])
    worker.end()
    await worker.ended()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_an_answer_larger_than_a_pipe_comes_whole_on_either_loop(tmp_path: Path, loop: Any) -> None:
    texts = tuple(f"tide {number} " * 3_000 for number in range(40))  # over a megabyte, where a pipe holds 64 kB
    large = world(blobs=DirectoryBlobs(tmp_path), texts=texts)
    manifest = large.dataset.manifest.cid()

    async def texts_found() -> list[str]:
        engine = WorkerEngine(partial(toy_engine_in, tmp_path))
        try:
            await opened(engine, large)
            answers = [answered(await engine.search([ask("tide", manifest, k=40)])) for _ in range(3)]
        finally:
            engine.end()
        return sorted(found.text for found in answers[-1].found)

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(texts_found()) == sorted(texts)
