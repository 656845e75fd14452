"""The overview against real services on loopback, driven as a person would."""

from __future__ import annotations

from collections.abc import Callable

from tests.deployment import Deployment
from tests.tui.looking import shown
from tui.app import CofferApp

App = Callable[..., CofferApp]


async def test_a_serving_enclave_is_shown_with_what_it_proves(app_of: App) -> None:
    async with app_of().run_test(size=(140, 45)) as pilot:
        screen = await shown(pilot, "serving", "✓ proved", "TEE SIMULATED", "Harbor", "Tides", "follows epoch")
        assert "lease ends in" in screen


async def test_a_lost_enclave_is_said_and_what_was_shown_stays(app_of: App, deployment: Deployment) -> None:
    async with app_of(beat_s=0.1).run_test(size=(140, 45)) as pilot:
        await shown(pilot, "✓ proved", "Tides")
        deployment.enclave.kill()
        screen = await shown(pilot, "enclave lost", "asking again")
        assert "Tides" in screen
        await shown(pilot, "the enclave is lost", on="#attention")
