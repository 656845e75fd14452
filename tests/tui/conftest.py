"""A person at the terminal, beside services that really run on the loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli import wiring
from cli.home import Settings
from tests.deployment import Deployment, deployed
from tests.tui.party import desk_of, home_beside, with_credential
from tui.app import CofferApp


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> Iterator[None]:
    """Keep the settings of whoever runs the tests out of them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("COFFER_") and "TEST" not in name]:
            patch.delenv(name)
        yield


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    with deployed(tmp_path) as running:
        monkeypatch.setattr(wiring, "clock", running.world.clock)
        yield running


@pytest.fixture
def settings(deployment: Deployment, tmp_path: Path) -> Settings:
    return home_beside(deployment, tmp_path)


@pytest.fixture
def licensee(deployment: Deployment, settings: Settings) -> Settings:
    with_credential(deployment, settings)
    return settings


@pytest.fixture
def app_of(deployment: Deployment, settings: Settings, tmp_path: Path) -> Callable[..., CofferApp]:
    """The app over the home; refreshed by hand unless `beat_s` says otherwise."""

    def make(first: str = "overview", *, beat_s: float = 3600) -> CofferApp:
        return CofferApp(
            lambda job: desk_of(deployment, settings),
            clock=deployment.world.clock,
            beat_s=beat_s,
            first=first,
            browse_from=str(tmp_path),
        )

    return make
