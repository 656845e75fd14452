"""What several end-to-end tests begin with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from enclave.grounds import Grounds
from tests.clients import client_world
from tests.deployment import Deployment, deployed
from tests.enclaves import Clock
from tests.end_to_end import drivers
from tests.end_to_end.drivers import Driver, Make
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


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path, client_world()) as deployment:
        deployment.add_credit(drivers.CREDIT)
        yield deployment


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest, deployment: Deployment) -> Iterator[Make]:
    made: list[Driver] = []

    def driver(**options: Any) -> Driver:
        made.append(Driver(deployment, request.param, **options))
        return made[-1]

    yield driver
    for one in made:
        one.end()
