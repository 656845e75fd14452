"""Copies that are being stored and repaired by a process that is killed, at random moments, over and over.

After each kill every copy is either verified or shown as not, what was verified is still whole, and no file is torn.
"""

from __future__ import annotations

import multiprocessing
import random
import signal
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from storage.cid import Cid
from storage.directory import DirectoryBlobs
from storage.errors import BlockMismatch, BlockNotFound
from tests.copies import blocks, dataset, put
from tests.killed_keeper import PLACES, is_done, keep, records_in
from vault.copies.model import Copy, CopyState, Kind
from vault.copies.status import copies_of
from vault.records.copies import CopyRecords

ALIVE_S = 0.4  # at most, before it is killed


@pytest.fixture(scope="module")
def processes() -> Iterator[ForkServerContext]:
    """Yield what starts processes that have everything imported, so that most of their life is work."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.killed_keeper"])
    yield context


def prepared(folder: Path) -> None:
    """Put a good copy into the first folder, and want three."""
    put(DirectoryBlobs(folder / "first"))
    with records_in(folder) as records:
        copies, manifest = CopyRecords(records), dataset().manifest.cid()
        copies.want(manifest, len(PLACES))
        for place in PLACES:
            copies.add(Copy(manifest=manifest, place=place, kind=Kind.DIRECTORY))


def killed(processes: ForkServerContext, folder: Path, now: int, chance: random.Random) -> None:
    begun = processes.Event()
    process = processes.Process(target=keep, args=(folder, now, begun))
    process.start()
    assert begun.wait(60)
    process.join(chance.uniform(0, ALIVE_S))
    process.kill()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)


def damaged(folder: Path, chance: random.Random) -> set[Cid]:
    """Break a few blocks of a copy: gone, changed or cut."""
    hit = set()
    for path in list(folder.rglob("baf*")):
        how = chance.choice(["leave", "leave", "remove", "flip", "cut"])
        content = path.read_bytes()
        if how == "remove":
            path.unlink()
        elif how == "flip":
            path.write_bytes(bytes((content[0] ^ 1,)) + content[1:])
        elif how == "cut":
            path.write_bytes(content[: len(content) // 2])
        if how != "leave":
            hit.add(Cid.parse(path.name))
    return hit


def whole(folder: Path) -> dict[Cid, bool]:
    """Return which blocks of the dataset a folder has; any other answer than right, wrong and none fails the test."""
    found, blobs = {}, DirectoryBlobs(folder)
    for cid in blocks():
        try:
            found[cid] = blobs.get(cid) == blocks()[cid]
        except (BlockNotFound, BlockMismatch):
            found[cid] = False
    blobs.close()
    return found


@pytest.mark.parametrize(
    "kills", [8, pytest.param(100, marks=pytest.mark.slow)], ids=["eight times", "a hundred times"]
)
def test_killed_while_storing_and_repairing_nothing_verified_is_lost(
    processes: ForkServerContext, tmp_path: Path, kills: int
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")  # noqa: T201  # to play it again
    chance = random.Random(seed)  # noqa: S311
    prepared(tmp_path)
    hurt: dict[str, set[Cid]] = {}
    for now in range(1, kills + 1):
        killed(processes, tmp_path, now, chance)
        held = {place: whole(tmp_path / place) for place in PLACES}
        assert all(held["first"].values())
        with records_in(tmp_path) as records:
            for copy in CopyRecords(records).copies():
                if is_done(copy.state, copy.whole_at, now):
                    assert all(held[copy.place].values()), copy
                    hurt.pop(copy.place, None)
                if copy.state is CopyState.VERIFIED and copy.place not in hurt:
                    assert all(held[copy.place].values()), copy
        place = chance.choice(PLACES[1:])
        hurt.setdefault(place, set()).update(damaged(tmp_path / place, chance))
    begun = processes.Event()
    last = processes.Process(target=keep, args=(tmp_path, kills + 1, begun))
    last.start()
    last.join(120)
    assert last.exitcode == 0
    assert all(all(whole(tmp_path / place).values()) for place in PLACES)
    with records_in(tmp_path) as records:
        (told,) = copies_of(CopyRecords(records))
    assert (told.verified, told.is_met) == (3, True)
