"""Versions that follow one another in processes of their own: only what is new is embedded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enclave.engine import LocalEngine
from enclave.worker import WorkerEngine
from rag.faiss_index import FaissFlatIndex
from storage.directory import DirectoryBlobs
from tests.deployment import deployed
from tests.end_to_end.live_scene import CREDIT, NEW, Scene
from tests.toy import ToyEmbedder
from tests.versions import FIRST, SECOND, versions


class CountingEmbedder(ToyEmbedder):
    """One that writes down the texts it embeds."""

    def __init__(self, said: Path) -> None:
        self._said = said

    def embed_passages(
        self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        with self._said.open("a") as file:
            file.writelines(f"{text}\n" for text in texts)
        return super().embed_passages(texts, progress=progress)


def counting_engine(folder: Path, said: Path) -> LocalEngine:
    """Return an engine over the blocks in a folder; a child process imports this by name."""
    return LocalEngine(CountingEmbedder(said), FaissFlatIndex, DirectoryBlobs(folder))


def test_in_processes_of_their_own_only_new_passages_are_embedded(tmp_path: Path) -> None:
    blocks, said = tmp_path / "blocks", tmp_path / "said"
    made = versions(blobs=DirectoryBlobs(blocks))
    start = partial(WorkerEngine, partial(counting_engine, blocks, said))
    with deployed(tmp_path, made.world, start_engine=start) as deployment:
        deployment.add_credit(CREDIT)
        scene = Scene(made, deployment, [False])
        assert said.read_text().splitlines() == list(FIRST)
        with scene.deployment.client() as client:
            before = {result.passage.text: result.score for result in client.search("harbor", k=3).results}
            for texts in (SECOND, (FIRST[2], *SECOND)):
                version = made.next(texts)
                scene.publish(version)
                scene.until_served(version)
            results = client.search("harbor", k=4).results
        assert said.read_text().splitlines() == [*FIRST, NEW, FIRST[2]]  # dropped with the second version, then back
        after = {result.passage.text: result.score for result in results}
        assert after.keys() == {*FIRST, NEW}
        assert all(after[text] == score for text, score in before.items())
        deployment.until(lambda: [engine.is_alive for engine in scene.engines] == [False, False, True])


def test_an_old_engine_that_dies_lends_nothing_and_stops_nothing(tmp_path: Path) -> None:
    blocks, said = tmp_path / "blocks", tmp_path / "said"
    made = versions(blobs=DirectoryBlobs(blocks))
    start = partial(WorkerEngine, partial(counting_engine, blocks, said))
    with deployed(tmp_path, made.world, start_engine=start) as deployment:
        scene = Scene(made, deployment, [False])
        old, second = scene.engines[0], made.next()
        new = deployment.loop.call(_started(start))
        deployment.enclave.on_loop(old.end)
        from enclave.found import Dataset

        opened = [Dataset(manifest=second.manifest, key=second.data_key)]
        deployment.loop.call(new.open(opened, lambda done, total: None, beside=old))
        assert said.read_text().splitlines() == [*FIRST, *SECOND]
        deployment.enclave.on_loop(new.end)


async def _started(start: Callable[[], WorkerEngine]) -> WorkerEngine:
    return start()
