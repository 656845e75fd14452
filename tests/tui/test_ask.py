"""Asking from the terminal under a policy whose price depends on how much was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from cli import wiring
from cli.home import Settings
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from tests.tui.looking import shown
from tests.tui.party import PASSWORD
from tui.app import CofferApp
from vault.pricing import Tier


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    prices = {"free_queries": 3, "tiers": (Tier(after=5, price_per_query=40, price_per_passage=1),)}
    with deployed(tmp_path, world(policy=prices)) as running:
        monkeypatch.setattr(wiring, "clock", running.world.clock)
        yield running


async def test_what_is_free_and_other_prices_by_volume_stand_with_the_terms(
    app_of: Callable[..., CofferApp], licensee: Settings
) -> None:
    async with app_of("ask").run_test(size=(140, 45)) as pilot:
        await shown(pilot, "is sealed")
        await pilot.press("c")
        await shown(pilot, "Password")
        pilot.app.screen.query_one("#password", Input).value = PASSWORD
        await pilot.press("enter")
        await shown(
            pilot,
            "each licensee's first 3 answers are free",
            "after 5 answers, a query costs 40 micro-USDC and 1 a passage",
            on="#terms",
        )
