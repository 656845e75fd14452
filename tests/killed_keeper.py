"""A keeper in a process of its own, to be killed: copies in three folders, whose records are beside them."""

from __future__ import annotations

from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random

from storage.directory import DirectoryBlobs
from tests.copies import PLAN
from vault.copies.block_place import BlockPlace
from vault.copies.keeping import Keeper
from vault.copies.model import CopyState, Kind
from vault.delivery import manifest_at
from vault.records.copies import CopyRecords
from vault.records.database import Records, open_records

PLACES = ("first", "second", "third")


def records_in(folder: Path) -> Records:
    """Open the records."""
    return open_records(f"sqlite:///{folder}/records.db")


def keeper_over(folder: Path, records: Records, now: int) -> Keeper:
    """Return a keeper of the three folders, for whom it is always `now`."""
    folders = {name: DirectoryBlobs(folder / name) for name in PLACES}
    places = [BlockPlace(name, Kind.DIRECTORY, blobs) for name, blobs in folders.items()]
    return Keeper(
        CopyRecords(records),
        places,
        manifest_of=lambda cid: manifest_at(cid, folders["first"]),
        clock=lambda: now,
        random=Random(now),  # noqa: S311
        plan=PLAN,
    )


def keep(folder: Path, now: int, begun: Event) -> None:
    """Read all of every copy and put it right, until all are verified as of now."""
    with records_in(folder) as records:
        keeper = keeper_over(folder, records, now)
        begun.set()
        while True:
            copies = [copy for copy in keeper.records.copies() if not is_done(copy.state, copy.whole_at, now)]
            if not copies:
                return
            for copy in copies:
                keeper.look(copy, is_whole=True)


def is_done(state: CopyState, whole_at: int | None, now: int) -> bool:
    """Say whether a copy is verified as of now."""
    return state is CopyState.VERIFIED and whole_at == now
