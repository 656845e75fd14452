"""A home in which something has happened, beside running services: what screens have to show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from cli import wiring
from cli.home import Settings, settings_from
from tests.deployment import Deployment, deployed
from tests.people import wallet
from tests.tui.party import CREDIT, PASSWORD, desk_of, home_beside, proposed, sealed, with_credential
from tui.app import CofferApp
from vault.ballot import Support
from vault.statement import SHOWN_MIN

EPOCH_S = 40  # royalty epochs close while somebody asks


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """The services, and the home's settings."""

    deployment: Deployment
    settings: Settings
    folder: Path

    def app(self, first: str = "overview", *, beat_s: float = 3600) -> CofferApp:
        """Return the app over the home; refreshed by hand unless `beat_s` says otherwise."""
        return self._app(self.settings, first, beat_s)

    def new_app(self) -> CofferApp:
        """Return the app over a home that is not there yet."""
        return self._app(settings_from(home=self.folder / "fresh"), "overview", 3600)

    def _app(self, settings: Settings, first: str, beat_s: float) -> CofferApp:
        return CofferApp(
            lambda job: desk_of(self.deployment, settings),
            clock=self.deployment.world.clock,
            beat_s=beat_s,
            first=first,
            browse_from=str(self.folder),
        )


@contextmanager
def lived_in(folder: Path) -> Iterator[Lived]:
    """Run services, and live in a home beside them: datasets, a credential, questions, two epochs, an open proposal."""
    with deployed(folder, epoch_s=EPOCH_S) as deployment, pytest.MonkeyPatch.context() as patch:
        patch.setattr(wiring, "clock", deployment.world.clock)
        server, thread = start_http_server(0, addr="127.0.0.1", registry=deployment.enclave.metrics.registry)
        try:
            settings = home_beside(deployment, folder).model_copy(update={"metrics": f"127.0.0.1:{server.server_port}"})
            _live(deployment, settings, folder)
            yield Lived(deployment=deployment, settings=settings, folder=folder)
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _live(deployment: Deployment, settings: Settings, folder: Path) -> None:
    with_credential(deployment, settings)
    letters, logbook = folder / "letters", folder / "logbook"
    for place, count in ((letters, 3), (logbook, 5)):
        place.mkdir()
        for number in range(count):
            (place / f"{number}.txt").write_text(f"Entry {number} of {place.name}. " + "The wind turned west. " * 40)
    desk = desk_of(deployment, settings)
    first = sealed(desk, letters, "Letters of the keeper")
    desk.sealing.confirm_paper(first.manifest)
    deployment.world.clock.advance(60)
    sealed(desk, logbook, "Logbook 1998", is_published=False)
    desk.asking.open("harbor.credential", PASSWORD)
    app = wallet("app")
    deployment.add_credit(CREDIT, app)
    with deployment.client(deployment.credential(app)) as client:
        for question in ("tide table", "rain on the coast", "when does the harbor close", "harbor"):
            desk.asking.ask("harbor.credential", question, k=2, mode="dense")
            for _ in range(SHOWN_MIN):
                client.search(question, k=1)
            deployment.world.clock.advance(EPOCH_S // 2)
            if question == "rain on the coast":
                desk.earning.fetch("owner", lambda *_: None)
    desk.earning.fetch("owner", lambda *_: None)
    desk.close()
    proposed(deployment, ("member 1", Support.FOR), ("member 2", Support.AGAINST))
