"""The overview against a real enclave on loopback, driven as a person would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Static

from storage.cid import DAG_CBOR, Cid
from tests.deployment import Deployment, deployed
from tests.enclaves import APPRAISER
from tui.app import CofferApp

LOOKS_MAX = 200


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    with deployed(tmp_path) as running:
        yield running


def app_of(deployment: Deployment, genesis: Cid | None = None) -> CofferApp:
    address, clock = deployment.enclave.address, deployment.world.clock
    return CofferApp(address, genesis or deployment.world.genesis, APPRAISER, clock=clock)


def text_of(app: CofferApp, widget: str) -> str:
    return str(app.query_one(widget, Static).render())


async def shown(pilot: Pilot[None], app: CofferApp, widget: str, words: str) -> str:
    for _ in range(LOOKS_MAX):
        await app.workers.wait_for_complete()
        await pilot.pause()
        if words in text_of(app, widget):
            return text_of(app, widget)
    raise AssertionError(f"{words!r} is not in {text_of(app, widget)!r}")


async def test_a_serving_enclave_is_shown_with_its_policies_and_datasets(deployment: Deployment) -> None:
    app = app_of(deployment)
    async with app.run_test(size=(80, 24)) as pilot:
        assert "TEE SIMULATED" in await shown(pilot, app, "#state", "serving")
        assert "proved" in await shown(pilot, app, "#proof", "measurement")
        assert app.query_one("#policies", DataTable).row_count == 1
        assert app.query_one("#datasets", DataTable).row_count == 1


async def test_an_enclave_of_another_dao_is_not_shown_as_proved(deployment: Deployment) -> None:
    app = app_of(deployment, Cid.of(DAG_CBOR, b"another DAO"))
    async with app.run_test(size=(80, 24)) as pilot:
        assert "another DAO" in await shown(pilot, app, "#proof", "not proved")
        assert app.query_one("#policies", DataTable).row_count == 0


async def test_a_lost_enclave_is_said_and_what_was_shown_stays(deployment: Deployment) -> None:
    app = app_of(deployment)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, app, "#state", "serving")
        deployment.enclave.kill()
        await pilot.press("r")
        assert "Trying again" in await shown(pilot, app, "#state", "lost")
        assert app.query_one("#policies", DataTable).row_count == 1


async def test_the_theme_can_be_changed_with_a_key(deployment: Deployment) -> None:
    app = app_of(deployment)
    async with app.run_test(size=(80, 24)) as pilot:
        await shown(pilot, app, "#state", "serving")
        before = app.theme
        await pilot.press("d")
        assert app.theme != before
