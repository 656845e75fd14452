"""`coffer dao serve --web`: a page where members vote with the wallet in their browser."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cli import wiring
from cli.console import reported, say, show_json
from cli.home import Settings
from cli.options import CustodianOption, GenesisOption, HomeOption, JsonOption, ListenOption, host_and_port
from cli.quantities import seconds_from
from cli.serving import run_service, until_stopped
from cli.workplace import dao_meant, opened_home
from storage.cid import Cid
from vault.errors import MalformedObject, ServiceUnavailable

if TYPE_CHECKING:
    from cli.voting_page.shown import Page

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def serve(
    web: Annotated[bool, typer.Option("--web", help="The page; there is nothing else to serve.")] = False,
    listen: ListenOption = "127.0.0.1:8090",
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A host name the page is reached by, besides the loopback's.")
    ] = None,
    every: Annotated[str, typer.Option(help="How often the custodians are asked for news.")] = "30s",
    custodian: CustodianOption = None,
    dao: GenesisOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Serve a page that lists proposals in words and lets members vote with the wallet in their browser.

    It listens on the loopback unless told otherwise. It holds no keys: what a wallet signs is checked here and by every
    custodian. Who does not run it has to trust what it shows; each member can run their own.
    """
    with reported():
        if not web:
            raise MalformedObject(
                "say what to serve: --web is the voting page; a board is served by: coffer board serve"
            )
        settings, _ = opened_home(home, custodians=tuple(custodian or ()))
        genesis = _known(settings, dao)
        hosts = [*LOOPBACK, *(name or ())]
        run_service(_serve(settings, genesis, listen, hosts, seconds_from(every), json=json))


def _known(settings: Settings, dao: str | None) -> Cid:
    """Return the DAO that is meant; raise where this home's board does not have it."""
    from vault.assembly import tip_of
    from vault.records.board import Board

    with wiring.open_database(settings) as records:
        board = Board(records)
        genesis = dao_meant(board, dao)
        tip_of(board, genesis)
    return genesis


async def _serve(settings: Settings, genesis: Cid, listen: str, hosts: list[str], every_s: int, *, json: bool) -> None:
    try:
        from cli.voting_page.app import voting_app
        from cli.voting_page.serving import page_served
    except ImportError as error:
        raise ServiceUnavailable(f"{error.name} is not installed; pip install 'coffer[web]' adds the page") from error
    from cli.voting_page.shown import Page
    from vault.rate import PeerLimit

    page = Page(settings, genesis)
    with listening(listen) as bound:
        address = "{}:{}".format(*bound.getsockname()[:2])
        if json:
            show_json({"listening": address, "genesis": str(genesis)})
        else:
            say(f"the voting page of {genesis}: http://{address}/")
        async with page_served(voting_app(page, hosts=hosts, limit=PeerLimit()), bound):
            refreshing = asyncio.create_task(_refreshed(page, every_s))
            try:
                await until_stopped()
            finally:
                refreshing.cancel()


async def _refreshed(page: Page, every_s: int) -> None:
    """Keep the board up to date with the custodians."""
    while True:
        await asyncio.to_thread(page.refresh)
        await asyncio.sleep(every_s)


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Bind a TCP socket to `host:port`; raise `ServiceUnavailable` where that cannot be."""
    host, port = host_and_port(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServiceUnavailable(f"cannot listen at {address}: {error.strerror}") from error
    with bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(place)
            bound.listen()  # whoever is told the address can connect at once
        except OSError as error:
            raise ServiceUnavailable(f"cannot listen at {address}: {error.strerror}; name another --listen") from error
        yield bound
