"""A member's and a guardian's whole way through a decision, at the terminal, with a custodian on loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from cli import wiring
from cli.home import Settings
from tests.deployment import Deployment, deployed
from tests.enclaves import world
from tests.people import DAY_S, wallet
from tests.tui.looking import shown, until
from tests.tui.party import PASSWORD, home_beside, proposed
from tui.app import CofferApp
from vault.ballot import Support

App = Callable[..., CofferApp]
SIZE = (140, 45)
GUARDIAN = "guardian 0"


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    setting = world(guardians=(wallet(GUARDIAN).address,), guardian_signatures=1)
    with deployed(tmp_path, setting) as running:
        monkeypatch.setattr(wiring, "clock", running.world.clock)
        yield running


@pytest.fixture
def settings(deployment: Deployment, tmp_path: Path) -> Settings:
    return home_beside(deployment, tmp_path, wallets=("member 0", GUARDIAN))


async def vote(pilot: Pilot[Any], key: str, reason: str) -> None:
    await pilot.press(key)
    await shown(pilot, "You vote", "Enter votes")
    pilot.app.screen.query_one("#reason", Input).value = reason
    await pilot.press("enter")


async def give_password(pilot: Pilot[Any]) -> None:
    await shown(pilot, "Password")
    pilot.app.screen.query_one("#password", Input).value = PASSWORD
    await pilot.press("enter")


async def test_a_member_reads_votes_closes_and_carries_out(app_of: App, deployment: Deployment) -> None:
    proposed(deployment, ("member 1", Support.FOR))
    async with app_of("governance").run_test(size=SIZE) as pilot:
        await shown(
            pilot, "● open", "price per query goes from 100 to 500 micro-USDC", "quorum", "threshold", "so it be"
        )
        await vote(pilot, "f", "fair enough")
        await give_password(pilot)
        await shown(pilot, "(you)", "fair enough", "✓ met", "for 2")
        await vote(pilot, "a", "on second thought")  # the wallet stays open: no password is asked for again
        await shown(pilot, "on second thought", "against 1")
        await vote(pilot, "f", "no, it is fair")
        await shown(pilot, "no, it is fair", "for 2")
        deployment.world.clock.advance(DAY_S + 2)
        await shown(pilot, "◐ closed")
        await pilot.press("c")
        await shown(pilot, "▶ ready", "press x to carry it out")
        await pilot.press("x")
        await shown(pilot, "✓ executed", "epoch 2")
        await pilot.press("h")
        screen = await shown(pilot, "all of it holds")
        assert screen.count("✓") >= 5
        assert "epoch 2: adopt policy" in screen


async def test_a_guardian_cancels_a_grant_after_being_asked(app_of: App, deployment: Deployment) -> None:
    proposed(deployment)
    async with app_of("governance").run_test(size=SIZE) as pilot:
        await shown(pilot, "● open")
        await pilot.press("k")
        await shown(pilot, "Cancel a grant", "Do it (y)")
        await pilot.press("n")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1, "the dialog stayed")
        await pilot.press("k", "y")
        await give_password(pilot)
        await shown(pilot, "✗ canceled")


async def test_a_guardian_revokes_at_once(app_of: App, deployment: Deployment) -> None:
    async with app_of("governance").run_test(size=SIZE) as pilot:
        await shown(pilot, "✓ executed", "epoch 1")
        await pilot.press("e")
        await shown(pilot, "policy Tides", "dataset", "everything")
        await pilot.press("enter")
        await shown(pilot, "Emergency revocation", "takes effect at once")
        await pilot.press("y")
        await give_password(pilot)
        await shown(pilot, "Harbor epoch 2")


async def test_an_answer_given_too_late_is_refused_with_the_time(app_of: App, deployment: Deployment) -> None:
    proposed(deployment)
    async with app_of("governance").run_test(size=SIZE) as pilot:
        await shown(pilot, "● open")
        await pilot.press("f")
        await shown(pilot, "You vote")
        deployment.world.clock.advance(DAY_S + 2)
        await pilot.press("enter")
        await give_password(pilot)
        await shown(pilot, "✗ voting closed at")
