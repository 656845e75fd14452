"""What several end-to-end tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from enclave.grounds import Grounds
from tests.deployment import deployed
from tests.enclaves import Clock
from tests.end_to_end.live_scene import CREDIT, Scene
from tests.toy import InProcessEngine
from tests.versions import versions


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made, is_held = versions(), [False]
    made.world = replace(made.world, clock=Clock())

    def start() -> InProcessEngine:
        engine = InProcessEngine(made.world.blobs)
        return engine.hold_opening() if is_held[0] else engine

    with deployed(tmp_path, made.world, start_engine=start) as deployment:
        deployment.add_credit(CREDIT)
        yield Scene(made, deployment, is_held)


@pytest.fixture
def grounds(scene: Scene) -> Grounds:
    return scene.enclave.instance.last_grounds()
