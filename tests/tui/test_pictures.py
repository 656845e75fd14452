"""Every screen as a picture, at the least size and at a large one; the README shows them.

They hold nothing real: fixed people, a fixed clock, and hashes replaced (see `snapshots`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import start_http_server
from textual.pilot import Pilot
from textual.widgets import Input, TabbedContent

from cli import wiring
from cli.home import Settings, settings_from
from tests.deployment import Deployment, deployed
from tests.people import wallet
from tests.tui.looking import shown, text_on, until
from tests.tui.party import CREDIT, PASSWORD, desk_of, home_beside, proposed, sealed, with_credential
from tests.tui.snapshots import compare
from tui.app import CofferApp
from tui.pages import PAGES
from vault.ballot import Support
from vault.statement import SHOWN_MIN

EPOCH_S = 40
SIZES = ((80, 24), (140, 45))
App = Callable[..., CofferApp]
sizes = pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """Services whose royalty epochs are short."""
    with deployed(tmp_path, epoch_s=EPOCH_S) as running:
        monkeypatch.setattr(wiring, "clock", running.world.clock)
        yield running


@pytest.fixture
def settings(deployment: Deployment, tmp_path: Path) -> Iterator[Settings]:
    """A home that knows where the enclave's metrics are."""
    home = home_beside(deployment, tmp_path)
    server, thread = start_http_server(0, addr="127.0.0.1", registry=deployment.enclave.metrics.registry)
    yield home.model_copy(update={"metrics": f"127.0.0.1:{server.server_port}"})
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def lived_in(deployment: Deployment, settings: Settings, tmp_path: Path) -> Settings:
    """A home in which something has happened: datasets, a credential, questions, two epochs, an open proposal."""
    with_credential(deployment, settings)
    letters, logbook = tmp_path / "letters", tmp_path / "logbook"
    for folder, count in ((letters, 3), (logbook, 5)):
        folder.mkdir()
        for number in range(count):
            (folder / f"{number}.txt").write_text(f"Entry {number} of {folder.name}. " + "The wind turned west. " * 40)
    desk = desk_of(deployment, settings)
    first = sealed(desk, letters, "Letters of the keeper")
    desk.sealing.confirm_paper(first.manifest)
    deployment.world.clock.advance(60)
    sealed(desk, logbook, "Logbook 1998", is_published=False)
    desk.asking.open("harbor.credential", PASSWORD)
    app = wallet("app")
    deployment.add_credit(CREDIT, app)
    for question in ("tide table", "rain on the coast", "when does the harbor close", "harbor"):
        desk.asking.ask("harbor.credential", question, k=2, mode="dense")
        with deployment.client(deployment.credential(app)) as client:
            for _ in range(SHOWN_MIN):
                client.search(question, k=1)
        deployment.world.clock.advance(EPOCH_S // 2)
        if question == "rain on the coast":
            desk.earning.fetch("owner", lambda *_: None)
    desk.earning.fetch("owner", lambda *_: None)
    desk.close()
    proposed(deployment, ("member 1", Support.FOR), ("member 2", Support.AGAINST))
    return settings


async def settled(pilot: Pilot[Any], *words: str) -> None:
    """Wait until the words are there and no work goes on; without a blinking cursor or a notice."""
    await shown(pilot, *words)
    pilot.app.clear_notifications()
    for field in pilot.app.screen.query(Input):
        field.cursor_blink = False
    await until(pilot, lambda: not [work for work in pilot.app.workers if work.group != "pulse"], "work goes on")
    await shown(pilot, *words)


async def go(pilot: Pilot[Any], page: str) -> None:
    await pilot.press("escape", str([entry.name for entry in PAGES].index(page) + 1))


@sizes
async def test_every_screen_looks_as_it_did(app_of: App, lived_in: Settings, size: tuple[int, int]) -> None:
    async with app_of().run_test(size=size) as pilot:
        await settled(pilot, "✓ proved", "open proposal", "Harbor")
        compare(pilot, "overview")
        await pilot.press("d")
        compare(pilot, "overview-light")
        await pilot.press("d", "question_mark")
        await settled(pilot, "Help", "Key")
        compare(pilot, "help")
        await pilot.press("escape")

        await go(pilot, "datasets")
        await settled(pilot, "Logbook 1998", "sealed only")
        compare(pilot, "datasets")

        await go(pilot, "governance")
        await settled(pilot, "● open", "left to vote", "█ for 1")
        compare(pilot, "governance")

        await go(pilot, "earnings")
        await settled(pilot, "earned in all", "By dataset")
        compare(pilot, "earnings")
        await pilot.press("v")
        await settled(pilot, "✓ holds", "adds up")
        compare(pilot, "statement")

        await go(pilot, "ask")
        await settled(pilot, "is sealed")
        await pilot.press("c")
        await shown(pilot, "Password")
        pilot.app.screen.query_one("#password", Input).value = PASSWORD
        await pilot.press("enter")
        await shown(pilot, "passages left")
        await pilot.press("slash", *"tide table for May", "enter")
        await settled(pilot, "receipt 5")
        compare(pilot, "ask")
        pilot.app.screen.query_one("#results", TabbedContent).active = "receipt-tab"
        await settled(pilot, "what it says", "its check")
        assert PASSWORD not in text_on(pilot)
        compare(pilot, "receipt")

        await go(pilot, "live")
        await settled(pilot, "25 answered", "0 refused", "in all")
        compare(pilot, "live")

        await go(pilot, "attestation")
        await settled(pilot, "✓ accepted", "measurement")
        compare(pilot, "attestation")


@sizes
async def test_the_first_start_looks_as_it_did(deployment: Deployment, tmp_path: Path, size: tuple[int, int]) -> None:
    settings = settings_from(home=tmp_path / "fresh")
    app = CofferApp(lambda job: desk_of(deployment, settings), clock=deployment.world.clock, beat_s=3600)
    async with app.run_test(size=size) as pilot:
        await settled(pilot, "Welcome to Coffer", "1. A wallet")
        compare(pilot, "first")
