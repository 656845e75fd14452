"""Copies of a dataset at the command line: storing them when it is published, and saying how each one is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import places, wiring
from cli.console import FAILED, foreign, reported, say, show_json
from cli.home import Settings
from cli.options import HomeOption, JsonOption, cid_option
from cli.place_settings import MAIN
from cli.tables import show_table
from cli.workplace import opened_home
from storage.cid import Cid
from storage.model import Blobs
from vault.copies.model import COPIES_MAX, Copy, CopyState, Place
from vault.errors import MalformedObject
from vault.plain_text import counted
from vault.utc import time_text

if TYPE_CHECKING:
    from vault.copies.keeping import Keeper
    from vault.copies.status import DatasetCopies
    from vault.records.copies import CopyRecords
    from vault.records.database import Records
    from vault.records.model import DatasetRow

PLACES_OPTION: Final = "--place"
PlaceOption = Annotated[
    list[str] | None,
    typer.Option(PLACES_OPTION, help="A place of the settings to copy to, beside the main storage; all by default."),
]
CopiesOption = Annotated[
    int | None,
    typer.Option("--copies", min=1, max=COPIES_MAX, help="Verified copies that are wanted; one at every place."),
]
WaitOption = Annotated[
    int, typer.Option("--wait", min=0, help="Seconds to wait for copies that a place is still taking in.")
]
POLL_S: Final = (2.0, 30.0)  # the first pause, and the longest


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Where a dataset is to be copied to, and at what cost, before anything is sent."""

    names: tuple[str, ...]
    wanted: int
    month_costs: dict[str, int]  # micro-dollars, where known


def planned(settings: Settings, names: Sequence[str] | None, copies: int | None, sealed_bytes: int) -> Planned:
    """Return where copies go, having asked what they cost and told it. Raises `OverLimit` before anything is paid."""
    chosen = places.named(settings, names or ())
    wanted = copies or (settings.copies if not names else 0) or len(chosen)
    if wanted > len(chosen):
        raise MalformedObject(
            f"{wanted} copies are wanted and {counted(len(chosen), 'place')} named ({', '.join(chosen)}); "
            "add places to the settings, or want fewer"
        )
    opened: list[Place] = [places.open_place(settings, name) for name in chosen if name != MAIN]
    costs = {place.name: place.month_cost(sealed_bytes) for place in opened}
    return Planned(
        names=tuple(chosen),
        wanted=wanted,
        month_costs={name: cost for name, cost in costs.items() if cost is not None},
    )


def show_costs(plan: Planned) -> None:
    """Say what the copies will cost, before they do."""
    from vault.copies.piece_place import dollars

    for name, cost in plan.month_costs.items():
        say(f"a copy at {name} costs {dollars(cost)} a month, within your limit")


def stored(settings: Settings, records: Records, manifest: Cid, plan: Planned, *, wait_s: int) -> DatasetCopies:
    """Note the main copy, which was just fetched back, bring the others to their places, and return how all stand."""
    from vault.copies.status import copies_of

    keeper = places.make_keeper(settings, records, names=plan.names)
    keeper.records.want(manifest, plan.wanted)
    now = wiring.clock()
    for place in keeper.places.values():
        keeper.records.add(Copy(manifest=manifest, place=place.name, kind=place.kind, due_at=now))
    keeper.note_whole(manifest, MAIN)
    _bring(keeper, manifest, [name for name in plan.names if name != MAIN], wait_s)
    return copies_of(keeper.records, manifest, places=places.named(settings, ()))[0]


def states(records: Records, rows: Sequence[DatasetRow]) -> dict[Cid, str]:
    """Return how far each dataset has come: sealed, pending while copies are missing, published."""
    from vault.records.copies import CopyRecords

    begun = set(CopyRecords(records).datasets())
    return {row.manifest: "pending" if row.state == "sealed" and row.manifest in begun else row.state for row in rows}


def let_go(settings: Settings, copies: CopyRecords, manifests: Sequence[Cid]) -> list[Copy]:
    """Have every place let go of deleted datasets; return the copies that are leaving or gone, with what that leaves.

    The watch goes on with those that are leaving. Nobody repairs any of them from here on.
    """
    from vault.copies.leaving import let_go

    for manifest in manifests:
        copies.unwant(manifest)
    left = []
    for copy in [copy for manifest in manifests for copy in copies.copies(manifest)]:
        if is_named(settings, copy.place):
            opened = partial(places.open_place, settings, copy.place)
            left.append(let_go(copies, copy, opened, at=wiring.clock()))
        else:
            copies.forget(copy.manifest, copy.place)
            told = "the settings do not name this place any more, so it was told nothing"
            left.append(replace(copy, state=CopyState.GONE, fault=told))
    return left


def is_named(settings: Settings, place: str) -> bool:
    """Say whether the settings name a place."""
    return place == MAIN or place in settings.places


@contextmanager
def blaming(settings: Settings) -> Iterator[Blobs]:
    """Yield the blocks of all places together; who sends a wrong one is recorded."""
    if not settings.places:
        yield wiring.open_reading(settings)
        return
    from vault.records.copies import CopyRecords

    with wiring.open_database(settings) as records:
        copies = CopyRecords(records)
        yield wiring.open_reading(settings, lambda place, fault: copies.blame(place, fault, at=wiring.clock()))


def _bring(keeper: Keeper, manifest: Cid, names: Sequence[str], wait_s: int) -> None:
    """Look after the copies at these places, all at a time, until they are verified or the wait is over."""
    deadline, pause = time.monotonic() + wait_s, POLL_S[0]
    while names:
        with ThreadPoolExecutor(len(names), thread_name_prefix="coffer-copy") as pool:
            known = [copy for name in names if (copy := keeper.records.get(manifest, name)) is not None]
            looked = list(pool.map(keeper.look, known))
        names = [copy.place for copy in looked if copy.state is not CopyState.VERIFIED]
        if time.monotonic() + pause > deadline:
            return
        if names:
            time.sleep(pause)
            pause = min(2 * pause, POLL_S[1])


def status(
    manifest: Annotated[str | None, typer.Argument(help="The dataset's CID; all by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say of each copy where it is, since when, when it was last verified, what it costs and what is wrong.

    It asks nobody: it shows what publishing and `coffer storage watch` saw. Exit code 1 where fewer copies are
    verified than are wanted.
    """
    from vault.copies.status import copies_of, leaving
    from vault.records.copies import CopyRecords

    with reported():
        settings, _ = opened_home(home)
        cid = cid_option(manifest) if manifest is not None else None
        with wiring.open_database(settings) as records:
            copies = CopyRecords(records)
            found, left = copies_of(copies, cid, places=places.named(settings, ())), leaving(copies, cid)
            if cid is not None and not left and not copies.wanted(cid):
                raise MalformedObject(_unpublished(records, cid))
        found = [one for one in found if one.wanted]
        if json:
            shown = [{"manifest": str(copy.manifest)} | copy_json(copy) for copy in left]
            show_json({"datasets": [dataset_json(one) for one in found], "leaving": shown})
        elif not found and not left:
            say("no dataset was published from this home yet; publish one with: coffer dataset publish")
        for one in () if json else found:
            show_copies(one)
        for copy in () if json else left:
            say(f"[bold]{copy.manifest}[/] was deleted, and {foreign(copy.place)} has not let go of it yet")
            say(f"[yellow]{foreign(copy.place)}[/]: {foreign(copy.fault)}")
        if not all(one.is_met for one in found):
            raise typer.Exit(FAILED)


def _unpublished(records: Records, cid: Cid) -> str:
    from vault.records.catalog import Catalog

    if Catalog(records).get(cid) is None:
        return f"dataset {cid} is not known in this home; coffer dataset list prints those that are"
    return f"no copy of dataset {cid} is recorded; store it with: coffer dataset publish {cid} --owner W"


def show_copies(one: DatasetCopies) -> None:
    """Print a dataset's copies."""
    from vault.copies.piece_place import dollars

    say(f"[bold]{one.manifest}[/]: {told(one)}")
    header = ("place", "kind", "state", "since", "last verified", "lapses", "a month")
    rows = [
        (
            copy.place,
            str(copy.kind),
            str(copy.state),
            *(_time(at) for at in (copy.since, copy.verified_at, copy.lapses_at)),
            "-" if copy.month_cost is None else dollars(copy.month_cost),
        )
        for copy in one.copies
    ]
    if rows:
        show_table(header, rows)
    for copy in one.copies:
        if copy.place in one.unknown:
            say(
                f"[yellow]{foreign(copy.place)}[/]: the settings do not name this place any more, so nobody looks there"
            )
        if copy.fault:
            say(f"[yellow]{foreign(copy.place)}[/]: {foreign(copy.fault)}")
    for name, standing in one.standings.items():
        if standing.lies:
            often = f"sent {counted(standing.lies, 'wrong answer')}, last at {_time(standing.last_lie_at)}"
            say(f"[red]{foreign(name)}[/] {often}: {foreign(standing.last_lie)}")


def told(one: DatasetCopies) -> str:
    """Return in a few words whether there are enough copies."""
    if not one.wanted:
        return "[yellow]its copies are not recorded; publish it again[/]"
    color = "green" if one.is_met else "yellow"
    return f"[{color}]{one.verified} of {one.wanted} wanted copies verified[/]"


def dataset_json(one: DatasetCopies) -> dict[str, Any]:
    """Return a dataset's copies for programs."""
    return {
        "manifest": str(one.manifest),
        "wanted": one.wanted,
        "verified": one.verified,
        "met": one.is_met,
        "month_cost_micro_usd": one.month_cost,
        "copies": [copy_json(copy) | _standing_json(one, copy.place) for copy in one.copies],
    }


def copy_json(copy: Copy) -> dict[str, Any]:
    """Return one copy for programs; times are UTC seconds."""
    return {
        "place": copy.place,
        "kind": str(copy.kind),
        "state": str(copy.state),
        "since": copy.since,
        "verified_at": copy.verified_at,
        "whole_at": copy.whole_at,
        "due_at": copy.due_at,
        "lapses_at": copy.lapses_at,
        "month_cost_micro_usd": copy.month_cost,
        "fault": copy.fault,
        "repairs": copy.repairs,
    }


def _standing_json(one: DatasetCopies, place: str) -> dict[str, Any]:
    standing = one.standings.get(place)
    lies = {"lies": standing.lies, "last_lie": standing.last_lie} if standing else {"lies": 0, "last_lie": ""}
    return {"known_place": place not in one.unknown, **lies}


def _time(at: int | None) -> str:
    return "-" if at is None else time_text(at)
