"""`coffer custodian`: keep keys for enclaves that prove themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import typer

from cli import custodian_backup, wiring
from cli.console import password_for, reported, say, show_json, tee_text
from cli.home import Home, Settings, settings_from
from cli.options import HomeOption, JsonOption, ListenOption, cid_option
from cli.serving import STOP_GRACE_S, run_service, until_stopped
from storage.cid import Cid
from vault.errors import MalformedObject

app = typer.Typer(help="Keep shares of data keys, and give them only to enclaves the DAO's policy accepts.")
app.command("backup")(custodian_backup.backup)
app.command("restore")(custodian_backup.restore)
PeerOption = Annotated[
    list[str] | None, typer.Option("--peer", help="Another custodian's host:port; give it once per custodian.")
]
BoardOption = Annotated[
    list[str] | None, typer.Option("--board", help="A board's host:port to look at; give it twice at most.")
]


@app.command("init")
def init(home: HomeOption = None, json: JsonOption = False) -> None:
    """Make this custodian's keys and print what a charter says of it.

    The keys are sealed under a password (COFFER_PASSWORD, or asked for).
    """
    with reported():
        settings = settings_from(home=home)
        place = Home(settings.home)
        if place.custodian_key.exists():
            raise FileExistsError(f"there are custodian keys at {place.custodian_key} already")
        keys = wiring.make_custodian_keys(place, password_for("the custodian's keys", settings.password))
        record = keys.public()
        if json:
            show_json({"custodian": record.key.hex(), "record": record.encoded().hex()})
        else:
            say(f"custodian [bold]{record.key.hex()}[/]\nkeys sealed in {place.custodian_key}")


@app.command("serve")
def serve(
    home: HomeOption = None,
    listen: ListenOption = "127.0.0.1:0",
    json: JsonOption = False,
    records: Annotated[str | None, typer.Option(help="Database URL; SQLite in the home folder by default.")] = None,
    peer: PeerOption = None,
    board: BoardOption = None,
    dao: Annotated[
        list[str] | None, typer.Option("--dao", help="A DAO it serves: its genesis CID; give it once per DAO.")
    ] = None,
    is_open: Annotated[
        bool, typer.Option("--open", help="For any DAO whose charter names it, up to 1000; so it is without --dao.")
    ] = False,
) -> None:
    """Serve until stopped. Makes keys on first start. Anyone may submit heads; it verifies them itself.

    A charter names its custodians' keys, so they are made before the DAO's CID is known: without --dao, any DAO that
    names this custodian is served, and strangers can found a thousand. Name yours with --dao once it is founded.

    New heads are handed on to every --peer. A restored custodian signs nothing until they told it what came since.
    What it finds on a --board it takes as if somebody had handed it in.
    """
    with reported():
        if dao and is_open:
            raise MalformedObject("either --dao GENESIS, once per DAO, or --open for any DAO that names this custodian")
        only = frozenset(cid_option(text) for text in dao) if dao else None
        settings = settings_from(home=home, records=records, peers=tuple(peer or ()))
        place = Home(settings.home)
        password = password_for("the custodian's keys", settings.password)
        if not place.custodian_key.exists():
            wiring.make_custodian_keys(place, password)
        run_service(_serve(settings, password, listen, tuple(board or ()), only, is_open=is_open, json=json))


async def _keep_in_touch(*tasks: Callable[[], Awaitable[None]]) -> None:
    await asyncio.gather(*(task() for task in tasks))


async def _serve(
    settings: Settings,
    password: str,
    listen: str,
    boards: tuple[str, ...],
    only: frozenset[Cid] | None,
    *,
    is_open: bool,
    json: bool,
) -> None:
    from enclave.hardening import harden
    from vault.board_follower import BoardFollower
    from vault.custody_server import custody_server
    from vault.custody_sync import CustodySync
    from vault.rate import names_of
    from vault.tls import TlsIdentity
    from vault.vote_sync import VoteSync

    harden()
    keys = wiring.open_custodian_keys(Home(settings.home), password)
    with wiring.open_database(settings) as records:
        custody = wiring.make_custody(settings, keys, records, only=only)
        sync = CustodySync(custody, settings.peers, every_s=settings.peers_every_s)
        votes = VoteSync(custody, settings.peers)
        follower = BoardFollower(custody, boards)
        await sync.start()
        await votes.start()
        await follower.start()
        friends = await asyncio.to_thread(names_of, settings.peers)
        server, port = await custody_server(custody, TlsIdentity.fresh(), listen, friends=friends)
        address = f"{listen.rpartition(':')[0]}:{port}"
        if json:
            show_json({"listening": address, "custodian": keys.signing.public.hex()})
        else:
            accepts = "refused" if settings.production else tee_text("simulated") + " where policy and owner allow it"
            say(f"custodian [bold]{keys.signing.public.hex()}[/] listening on {address}; simulated TEEs: {accepts}")
            if only is None and not is_open:
                say("it serves any DAO whose charter names it; once yours is founded, name it with --dao GENESIS")
            if custody.catching_up.is_waiting:
                say(
                    "[yellow]restored:[/] it signs nothing for a DAO until the other custodians told it what came since"
                )
        is_in_touch = bool(settings.peers or boards)
        await until_stopped(partial(_keep_in_touch, sync.run, votes.run, follower.run) if is_in_touch else None)
        await follower.close()
        await votes.close()
        await sync.close()
        await server.stop(STOP_GRACE_S)
