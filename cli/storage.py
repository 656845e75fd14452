"""`coffer storage`: the places where copies are kept, their tokens, and the keeper that watches over all copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from cli import places, wiring
from cli.console import FAILED, MISUSED, fail, foreign, out, reported, say, show_json
from cli.dataset_copies import copy_json
from cli.home import Home, Settings
from cli.options import HomeOption, JsonOption, host_and_port
from cli.place_settings import MAIN
from cli.quantities import seconds_from
from cli.serving import run_service, until_stopped
from cli.tables import show_table
from cli.tokens import seal_token, token_of, variable_of
from cli.workplace import opened_home
from vault.copies.model import Copy, CopyState, Kind
from vault.errors import MalformedObject
from vault.plain_text import counted
from vault.utc import time_text

if TYPE_CHECKING:
    from cli.keeper_metrics import KeeperMetrics
    from vault.copies.keeping import Keeper, Plan
    from vault.copies.status import DatasetCopies

app = typer.Typer(help="See where copies are kept, and keep watch over them.")


@app.command("places")
def list_places(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the places of the settings, and whether each that needs a token has one."""
    with reported():
        settings, place = opened_home(home)
        main = settings.storage or str(place.blocks)
        rows = [(MAIN, "ipfs" if wiring.names_a_node(settings.storage) else "directory", main, "-")]
        rows += [
            (name, str(one.kind), one.at, _token_word(settings, name, one.kind))
            for name, one in settings.places.items()
        ]
        header = ("place", "kind", "at", "token")
        if json:
            show_json({"places": [dict(zip(header, row, strict=True)) for row in rows]})
        else:
            show_table(header, rows)


@app.command("token")
def token(
    place: Annotated[str, typer.Argument(help="The place's name in the settings.")], home: HomeOption = None
) -> None:
    """Seal a place's token in the home, under its password; it is asked for, or read from stdin."""
    with reported():
        settings, _ = opened_home(home)
        if place not in settings.places:
            raise MalformedObject(f"no place is called {place!r}; add [places.{place}] to the settings first")
        seal_token(settings, place)
        token_of(settings, place)
        say(f"the token of {foreign(place)} is sealed in {foreign(str(Home(settings.home).token(place)))}")


@app.command("watch")
def watch(
    once: Annotated[bool, typer.Option("--once", help="Look at every copy now, then end.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="With --once: read all of each copy.")] = False,
    every: Annotated[str, typer.Option(help="From one look at a copy to the next, on average.")] = "6h",
    blocks: Annotated[int, typer.Option(min=1, max=10_000, help="Blocks read at random each time.")] = 16,
    whole_every: Annotated[str, typer.Option(help="From one reading of all of a copy to the next.")] = "30d",
    renew_before: Annotated[str, typer.Option(help="How long before it lapses a copy is renewed.")] = "7d",
    metrics: Annotated[
        str | None, typer.Option(help="host:port to answer Prometheus on, e.g. 127.0.0.1:9465; none by default.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Sample every copy at random, repair what broke from good copies, and renew what is about to lapse.

    It runs until stopped, and may be killed at any moment. With --once, exit code 1 says that copies are missing.
    """
    from vault.copies.keeping import Plan

    with reported():
        settings, _ = opened_home(home)
        plan = Plan(
            every_s=seconds_from(every),
            blocks=blocks,
            whole_every_s=seconds_from(whole_every),
            renew_before_s=seconds_from(renew_before),
        )
        if once and metrics is not None:
            fail("--metrics is for a watch that goes on; leave out --once, or --metrics", MISUSED)
        if whole and not once:
            fail("--whole is for one look at all copies; add --once, or set how often with --whole-every", MISUSED)
        if metrics is not None and find_spec("prometheus_client") is None:
            fail("metrics need prometheus-client; install it with: pip install 'coffer[server]'", MISUSED)
        with wiring.open_database(settings) as records:
            keeper = places.make_keeper(settings, records, plan=plan)
            if once:
                found = _looked_once(keeper, json=json, is_whole=whole)
            else:
                run_service(_watch(keeper, plan, metrics, json=json))
                return
        if not all(one.is_met for one in found):
            raise typer.Exit(FAILED)


def _looked_once(keeper: Keeper, *, json: bool, is_whole: bool) -> list[DatasetCopies]:
    from vault.copies.status import copies_of

    told = _teller(json=json)
    known = [copy for copy in keeper.records.copies() if copy.place in keeper.places]
    by_place = [[copy for copy in known if copy.place == name] for name in keeper.places]
    with ThreadPoolExecutor(len(by_place), thread_name_prefix="coffer-look") as pool:  # one that hangs holds up none
        for looked in pool.map(lambda copies: [keeper.look(copy, is_whole=is_whole) for copy in copies], by_place):
            for copy in looked:
                told(copy)
    return copies_of(keeper.records, places=keeper.places)


async def _watch(keeper: Keeper, plan: Plan, metrics: str | None, *, json: bool) -> None:
    from vault.copies.watching import watch as watch_copies

    counters, told = _metrics(metrics), _teller(json=json)
    number = len(keeper.records.copies())
    if json:
        show_json({"watching": number, "metrics": counters[1] if counters else None})
    else:
        say(f"watching over {counted(number, 'copy') if number == 1 else f'{number} copies'}, ^C ends it")
        if counters:
            say(f"metrics on http://{counters[1]}/metrics")

    def seen(copy: Copy) -> None:
        told(copy)
        if counters:
            counters[0].seen(copy)
            _show(counters[0], keeper)

    if counters:
        _show(counters[0], keeper)
    await until_stopped(lambda: watch_copies(keeper, clock=wiring.clock, seen=seen))


def _metrics(address: str | None) -> tuple[KeeperMetrics, str] | None:
    if address is None:
        return None
    from cli.keeper_metrics import KeeperMetrics

    counters = KeeperMetrics()
    return counters, counters.serve(*host_and_port(address))


def _show(counters: KeeperMetrics, keeper: Keeper) -> None:
    from vault.copies.status import copies_of

    counters.show(copies_of(keeper.records, places=keeper.places))


def _teller(*, json: bool) -> Callable[[Copy], None]:
    """Return what prints one line for each copy that was looked at."""

    def line(copy: Copy) -> None:
        if json:
            show_json({"manifest": str(copy.manifest)} | copy_json(copy))
            return
        color = "green" if copy.state in (CopyState.VERIFIED, CopyState.GONE) else "yellow"
        at = time_text(wiring.clock())
        wrong = f": {foreign(copy.fault)}" if copy.fault else ""
        out.print(f"{at}  {copy.manifest}  {foreign(copy.place)}  [{color}]{copy.state}[/]{wrong}", soft_wrap=True)

    return line


def _token_word(settings: Settings, name: str, kind: Kind) -> str:
    if variable_of(name) in os.environ:
        return variable_of(name)
    if Home(settings.home).token(name).exists():
        return "sealed"
    return "missing" if kind is Kind.PINNING else "-"
