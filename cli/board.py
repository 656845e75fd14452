"""`coffer board`: keep a board for DAOs: proposals, votes, decisions and heads, for everyone to read and to check."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import wiring
from cli.console import reported, say, show_json
from cli.home import Home, Settings, settings_from
from cli.options import HomeOption, JsonOption, ListenOption, cid_option
from cli.serving import STOP_GRACE_S, run_service, until_stopped
from storage.cid import Cid
from vault.errors import MalformedObject

app = typer.Typer(help="Keep a board where DAOs pin up what they decide. It decides nothing and signs nothing.")
RecordsOption = Annotated[str | None, typer.Option(help="Database URL; SQLite in the home folder by default.")]


@app.command("init")
def init(home: HomeOption = None, records: RecordsOption = None, json: JsonOption = False) -> None:
    """Make the home folder of a board, and its records. A board has no keys."""
    with reported():
        settings = settings_from(home=home, records=records)
        place = Home(settings.home)
        place.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with wiring.open_database(settings):
            pass
        if json:
            show_json({"home": str(place.path)})
        else:
            say(f"a board at {place.path}\nnext: coffer board serve --listen HOST:PORT --dao GENESIS")


@app.command("serve")
def serve(
    home: HomeOption = None,
    listen: ListenOption = "127.0.0.1:0",
    records: RecordsOption = None,
    dao: Annotated[
        list[str] | None, typer.Option("--dao", help="A DAO it is for: its genesis CID; give it once per DAO.")
    ] = None,
    is_open: Annotated[bool, typer.Option("--open", help="For any DAO that comes, up to 1000.")] = False,
    json: JsonOption = False,
) -> None:
    """Serve until stopped. Whoever reads verifies again, so anyone may keep a board for anyone.

    What is handed in is checked, so that only members, guardians and custodians can add to it, and only so much.
    """
    with reported():
        if bool(dao) == is_open:
            raise MalformedObject("say for whom the board is: --dao GENESIS, once per DAO, or --open for all")
        only = None if is_open else frozenset(cid_option(text) for text in dao or ())
        settings = settings_from(home=home, records=records)
        Home(settings.home).path.mkdir(mode=0o700, parents=True, exist_ok=True)
        run_service(_serve(settings, listen, only, json=json))


async def _serve(settings: Settings, listen: str, only: frozenset[Cid] | None, *, json: bool) -> None:
    from enclave.hardening import harden
    from vault.board_server import board_server
    from vault.pinboard import Pinboard
    from vault.records.board import Board
    from vault.tls import TlsIdentity

    harden()
    with wiring.open_database(settings) as records:
        board = Board(records)
        pinboard = Pinboard(board, clock=wiring.clock, only=only)
        server = await board_server(board, pinboard, TlsIdentity.fresh(), listen)
        address = f"{listen.rpartition(':')[0]}:{server.port}"
        if json:
            show_json({"listening": address, "daos": len(only) if only is not None else None})
        else:
            whose = "any DAO" if only is None else ", ".join(map(str, sorted(only)))
            say(f"board listening on {address} for {whose}")
        await until_stopped()
        await server.stop(STOP_GRACE_S)
