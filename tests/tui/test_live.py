"""Queries as they happen: an enclave that counts, its metrics over HTTP, and a home with open credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from cli.home import Settings, settings_from
from cli.sealed_files import write_private
from tests.deployment import Deployment
from tests.tui.looking import shown, text_on, until
from tests.tui.party import PASSWORD, desk_of, with_credential
from tui.app import CofferApp
from tui.desk import Desk
from vault.errors import CreditExhausted

SIZE = (140, 45)
QUESTION = "zanzibar lighthouse"


@pytest.fixture
def metrics(deployment: Deployment) -> Iterator[str]:
    """Serve the enclave's metrics as `coffer enclave serve --metrics` does; return where."""
    server, thread = start_http_server(0, addr="127.0.0.1", registry=deployment.enclave.metrics.registry)
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def watching(deployment: Deployment, settings: Settings, metrics: str) -> Settings:
    """A home that knows where the metrics are, and has a credential."""
    with_credential(deployment, settings)
    place = settings.home / "coffer.toml"
    write_private(place, place.read_bytes() + f'metrics = "{metrics}"\n'.encode())
    return settings_from(home=settings.home)


def app_with(deployment: Deployment, settings: Settings, desks: list[Desk], beat_s: float) -> CofferApp:
    def opened(_: object) -> Desk:
        desks.append(desk_of(deployment, settings))
        return desks[0]

    return CofferApp(opened, clock=deployment.world.clock, beat_s=beat_s, first="live")


async def test_questions_are_seen_as_they_happen_without_their_words(
    deployment: Deployment, watching: Settings
) -> None:
    desks: list[Desk] = []
    async with app_with(deployment, watching, desks, 0.1).run_test(size=SIZE) as pilot:
        await shown(pilot, "0 answered", "0 refused", "questions a second", "harbor.credential is sealed")
        desks[0].asking.open("harbor.credential", PASSWORD)
        desks[0].asking.ask("harbor.credential", QUESTION, k=2, mode="dense")
        screen = await shown(
            pilot, "1 answered", "2 passages", "1 answered; 2 passages", "commit", "1 question", "of 1,000 passages"
        )
        assert "bafyrei" in text_on(pilot, "#asked") and "0.0001 USDC" in text_on(pilot, "#asked")
        assert "in all" in text_on(pilot, "#budgets")
        assert not any(word in screen for word in QUESTION.split())


async def test_refusals_are_told_by_reason(deployment: Deployment, settings: Settings, watching: Settings) -> None:
    credential = deployment.credential(spend_cap=1)
    with deployment.client(credential) as client, pytest.raises(CreditExhausted):
        client.search(QUESTION, k=1)
    async with app_with(deployment, watching, [], 0.1).run_test(size=SIZE) as pilot:
        await shown(pilot, "credit exhausted", "1  █", on="#refused")
        await shown(pilot, "1 refused", on="#happening")


async def test_lost_metrics_are_said_and_what_was_shown_stays(deployment: Deployment, settings: Settings) -> None:
    server, thread = start_http_server(0, addr="127.0.0.1", registry=deployment.enclave.metrics.registry)
    known = settings.model_copy(update={"metrics": f"127.0.0.1:{server.server_port}"})
    async with app_with(deployment, known, [], 0.1).run_test(size=SIZE) as pilot:
        await shown(pilot, "0 answered", "queue")
        server.shutdown()
        server.server_close()
        thread.join()
        await shown(pilot, "✗ metrics at 127.0.0.1", "asking again", "queue")


async def test_without_metrics_it_says_how_to_have_them(deployment: Deployment, settings: Settings) -> None:
    async with app_with(deployment, settings, [], 3600).run_test(size=SIZE) as pilot:
        screen = await shown(pilot, "no metrics are configured", "--metrics", "no credential is in this home")
        assert "name no license, dataset or word" in screen


async def test_something_else_at_the_address_is_no_enclave(
    deployment: Deployment, settings: Settings, tmp_path: Path, pages: Callable[[bytes], str]
) -> None:
    known = settings.model_copy(update={"metrics": pages(b"<html>not metrics</html>")})
    async with app_with(deployment, known, [], 3600).run_test(size=SIZE) as pilot:
        await shown(pilot, "✗ these are no metrics of an enclave")
        await until(pilot, lambda: "asking again" in text_on(pilot), "nothing is asked again")


@pytest.fixture
def pages() -> Iterator[Callable[[bytes], str]]:
    """Serve one page over HTTP, whatever is asked for."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    running: list[tuple[HTTPServer, Thread]] = []

    def serve(page: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()
