"""Every screen as a picture, at the least size and at a large one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli.home import Settings
from tests.tui.looking import shown, until
from tests.tui.party import PASSWORD
from tests.tui.snapshots import compare
from tui.app import CofferApp

SIZES = ((80, 24), (140, 45))
App = Callable[..., CofferApp]
sizes = pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])


@sizes
async def test_overview(app_of: App, licensee: Settings, size: tuple[int, int]) -> None:
    async with app_of().run_test(size=size) as pilot:
        await shown(pilot, "✓ proved", "Harbor")
        await until(pilot, lambda: not pilot.app.workers, "work goes on")
        compare(pilot, "overview")


@sizes
async def test_attestation(app_of: App, size: tuple[int, int]) -> None:
    async with app_of("attestation").run_test(size=size) as pilot:
        await shown(pilot, "✓ accepted", "measurement")
        compare(pilot, "attestation")


@sizes
async def test_ask(app_of: App, licensee: Settings, size: tuple[int, int]) -> None:
    async with app_of("ask").run_test(size=size) as pilot:
        await shown(pilot, "is sealed")
        await pilot.press("c")
        await shown(pilot, "Password")
        await pilot.press(*PASSWORD.replace(" ", "_").replace("_", " "), "enter")
        await shown(pilot, "Tides", "passages left")
        await pilot.press("slash", *"tide table", "enter")
        await shown(pilot, "0.0001 USDC", "receipt 1")
        compare(pilot, "ask")
