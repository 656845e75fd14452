"""Keeping copies: none counts before it was read back, what breaks is found, named and put right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from storage.errors import BlockNotFound, RateLimited, StorageUnavailable
from storage.memory import MemoryBlobs
from storage.model import Blobs
from tests.copies import PLAN, Clock, Kept, blocks, dataset, holding, kept
from tests.faults import Counted, Faulty, FlippedBit, Forgetful, Full, Missing, Swapped, Unavailable
from tests.migrated import opened_records
from tests.people import NOW
from tests.storage.stuck import stuck
from vault.copies.model import CopyState, Kind
from vault.copies.sampling import read_sample
from vault.copies.status import copies_of
from vault.copies.watching import watch
from vault.errors import StaleState
from vault.records.database import Records


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with opened_records(tmp_path / "records.db") as records:
        yield records


class Mendable(Faulty):
    """Is as `blobs` is, which a test replaces."""


def two(records: Records, second: Blobs | None = None) -> tuple[Kept, Mendable]:
    """Return a keeper of a good copy at `first`, already looked at, and of one still pending at `second`."""
    place = Mendable(MemoryBlobs() if second is None else second)
    it = kept(records, {"first": holding(), "second": place})
    assert it.look("first").state is CopyState.VERIFIED
    return it, place


def test_a_copy_counts_once_all_of_it_was_read_back(records: Records) -> None:
    it, place = two(records)
    assert it.copy("second").state is CopyState.PENDING
    assert it.published == []
    looked = it.look("second")
    assert looked == it.copy("second")
    assert (looked.state, looked.since, looked.verified_at, looked.whole_at) == (CopyState.VERIFIED, NOW, NOW, NOW)
    assert (looked.fault, looked.repairs, looked.month_cost) == ("", 0, None)
    assert {cid: place.get(cid) for cid in place.cids()} == blocks()
    assert it.published == [it.manifest]


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (Forgetful(MemoryBlobs()), CopyState.PENDING),
        (Missing(MemoryBlobs(), [list(blocks())[3]]), CopyState.PENDING),
        (FlippedBit(MemoryBlobs(), [list(blocks())[3]]), CopyState.DAMAGED),
        (Full(MemoryBlobs()), CopyState.PENDING),
        (Unavailable(MemoryBlobs()), CopyState.PENDING),
        (Unavailable(MemoryBlobs(), calls=9), CopyState.PENDING),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Faulty) else "",
)
def test_what_does_not_come_back_is_not_counted_and_goes_on_once_mended(
    records: Records, fault: Faulty, state: CopyState
) -> None:
    it, place = two(records, fault)
    looked = it.look("second")
    assert (looked.state, looked.since, it.published) == (state, None, [])
    assert looked.fault != ""
    place.blobs = MemoryBlobs()
    assert it.look("second").state is CopyState.VERIFIED


def test_a_sample_is_enough_until_all_of_it_is_due(records: Records) -> None:
    it, place = two(records)
    it.look("second")
    counted = Counted(place.blobs)
    place.blobs = counted
    it.clock.now += 1000
    sampled = it.look("second")
    assert (sampled.whole_at, sampled.verified_at, sampled.since) == (NOW, NOW + 1000, NOW)
    assert 1 + PLAN.blocks <= counted.gets <= 1 + 2 * PLAN.blocks
    it.clock.now += PLAN.whole_every_s
    assert it.look("second").whole_at == it.clock.now


@pytest.mark.parametrize("fault", [FlippedBit, Missing, lambda blobs: Swapped(blobs, b"another")])
def test_a_copy_that_broke_is_found_out_and_repaired_from_the_other(records: Records, fault: type[Faulty]) -> None:
    it, place = two(records)
    it.look("second")
    good = place.blobs

    class Once(Faulty):
        """Wrong until it is written to."""

        def __init__(self) -> None:
            super().__init__(fault(good))

        def put(self, cid, block):  # type: ignore[no-untyped-def]
            self.blobs = good
            good.delete(cid)
            good.put(cid, block)

    place.blobs = Once()
    it.clock.now += 1000
    looked = it.look("second")
    assert (looked.state, looked.repairs, looked.since, looked.fault) == (CopyState.VERIFIED, 1, NOW, "")
    assert looked.whole_at == it.clock.now
    lies = copies_of(it.keeper.records)[0].standings
    assert ("second" in lies) == (fault is not Missing)


def test_who_lied_is_recorded_with_what_was_wrong(records: Records) -> None:
    it, place = two(records)
    it.look("second")
    place.blobs = FlippedBit(place.blobs)
    looked = it.look("second")
    assert looked.state is CopyState.DAMAGED
    standing = it.keeper.records.standings()["second"]
    assert standing.lies >= 1
    assert (standing.last_lie_at, "are not the block" in standing.last_lie) == (NOW, True)
    assert "first" not in it.keeper.records.standings()


def test_a_place_that_does_not_answer_is_not_taken_for_a_loss(records: Records) -> None:
    it, place = two(records)
    it.look("second")
    good, place.blobs = place.blobs, Unavailable(place.blobs)
    looked = it.look("second")
    assert (looked.state, looked.since) == (CopyState.UNREACHABLE, NOW)
    assert "does not answer" in looked.fault
    assert not copies_of(it.keeper.records)[0].is_met
    place.blobs = good
    assert it.look("second").state is CopyState.VERIFIED
    assert copies_of(it.keeper.records)[0].is_met


def test_a_repair_reads_from_what_each_copy_still_has(records: Records) -> None:
    cids = list(blocks())
    first, second = Mendable(holding()), Mendable(holding())
    it = kept(records, {"first": first, "second": second})
    assert {it.look(place).state for place in ("first", "second")} == {CopyState.VERIFIED}
    for cid in cids[1:4]:
        first.delete(cid)
    second.delete(cids[5])
    for place in ("second", "first"):
        looked = it.look(place, is_whole=True)
        assert (looked.state, looked.repairs) == (CopyState.VERIFIED, 1)
    assert set(first.cids()) == set(second.cids()) == set(cids)


def test_where_nobody_has_a_block_the_damage_stays_and_says_so(records: Records) -> None:
    lost = list(blocks())[2]
    it, place = two(records)
    it.look("second")
    for blobs in (place.blobs, it.keeper.places["first"].reads(None)):  # type: ignore[arg-type]
        blobs.delete(lost)
    looked = it.look("second", is_whole=True)
    assert looked.state is CopyState.DAMAGED
    assert str(lost) in looked.fault
    assert not copies_of(it.keeper.records)[0].is_met


def test_a_gateway_helps_to_repair(records: Records) -> None:
    it = kept(records, {"only": holding()}, wanted=1, readers={"gateway": holding()})
    it.look("only")
    it.keeper.places["only"].reads(None).delete(list(blocks())[2])  # type: ignore[arg-type]
    looked = it.look("only", is_whole=True)
    assert (looked.state, looked.repairs) == (CopyState.VERIFIED, 1)


def test_a_pending_copy_waits_for_a_source(records: Records) -> None:
    it = kept(records, {"one": MemoryBlobs(), "other": MemoryBlobs()})
    looked = it.look("one")
    assert looked.state is CopyState.PENDING
    assert "cannot be made" in looked.fault


def test_each_wait_is_drawn_so_that_nobody_knows_when(records: Records) -> None:
    it, _ = two(records)
    waits = {it.look("first").due_at - NOW for _ in range(20)}
    assert len(waits) > 10
    assert all(PLAN.every_s / 2 <= wait <= PLAN.every_s * 1.5 for wait in waits)


def test_a_place_that_was_asked_too_often_is_left_for_as_long_as_it_says(records: Records) -> None:
    class Busy(Faulty):
        def put(self, cid, block):  # type: ignore[no-untyped-def]
            raise RateLimited("asked too often", retry_after_s=5000)

    it, _ = two(records, Busy(MemoryBlobs()))
    assert it.look("second").due_at - NOW >= 5000


def test_only_what_is_due_and_configured_is_looked_at(records: Records) -> None:
    it, _ = two(records)
    assert [copy.place for copy in it.keeper.due()] == ["second"]
    it.look("second")
    assert it.keeper.due() == []
    due_at = it.keeper.next_due_at()
    assert due_at == min(it.copy(place).due_at for place in ("first", "second"))
    it.clock.now = due_at
    assert len(it.keeper.due()) == 1
    it.keeper.places.clear()
    assert (it.keeper.due(), it.keeper.next_due_at()) == ([], None)


def test_what_an_owner_sees_names_what_is_not_looked_at(records: Records) -> None:
    it, _ = two(records)
    it.look("second")
    told = copies_of(it.keeper.records, it.manifest, places=["first"])[0]
    assert (told.wanted, told.verified, told.is_met, told.unknown) == (2, 1, False, {"second"})
    assert copies_of(it.keeper.records, it.manifest)[0].is_met
    assert told.month_cost is None


@pytest.mark.parametrize("missing", range(1, 7))
def test_a_sample_of_enough_blocks_finds_any_one_that_is_gone(missing: int) -> None:
    blobs = Missing(holding(), [list(blocks())[missing]])
    with pytest.raises(BlockNotFound):
        for seed in range(20):
            read_sample(dataset().manifest, blobs, random=Random(seed), blocks=16)  # noqa: S311


def test_a_sample_asks_for_blocks_at_all_positions() -> None:
    counted: set[object] = set()

    class Watched(Faulty):
        def get(self, cid):  # type: ignore[no-untyped-def]
            counted.add(cid)
            return super().get(cid)

    read_sample(dataset().manifest, Watched(holding()), random=Random(1), blocks=60)  # noqa: S311
    assert counted == set(blocks())


async def test_the_watch_puts_everything_right_and_says_what_it_saw(records: Records) -> None:
    it = kept(records, {"first": holding(), "second": MemoryBlobs(), "third": MemoryBlobs()}, wanted=3)
    seen = []
    for _ in range(3):  # a copy that was looked at before its source was good is due again later
        await watch(it.keeper, clock=it.clock, seen=seen.append, rounds_max=1)
        it.clock.now += 20
    assert {copy.state for copy in it.keeper.records.copies()} == {CopyState.VERIFIED}
    assert {copy.place for copy in seen} == {"first", "second", "third"}
    assert set(it.published) == {it.manifest}  # each of those looked at together may find that all are there


async def test_a_place_that_hangs_holds_up_no_other(records: Records) -> None:
    with stuck(holding()) as hanging:
        it = kept(records, {"first": holding(), "hanging": hanging, "second": MemoryBlobs()}, wanted=2)

        async def sleep(seconds: float) -> None:
            it.clock.now += 20
            await asyncio.sleep(0.01)

        async def until_met() -> None:
            while not copies_of(it.keeper.records)[0].is_met:
                await asyncio.sleep(0.01)

        watching = asyncio.ensure_future(watch(it.keeper, clock=it.clock, sleep=sleep))
        await asyncio.wait_for(until_met(), 30)
        assert it.copy("hanging").state is CopyState.PENDING
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


async def test_records_that_go_away_end_the_watch(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    it = kept(records, {"first": holding()}, wanted=1)

    def gone(copy: object) -> None:
        raise StorageUnavailable("gone")

    monkeypatch.setattr(it.keeper, "look", gone)
    with pytest.raises(StorageUnavailable):
        await watch(it.keeper, clock=Clock(), rounds_max=1)


def test_a_copy_that_was_forgotten_meanwhile_stays_so_and_ends_no_watch(records: Records) -> None:
    it, _ = two(records)
    copy = it.copy("second")
    it.keeper.records.forget(copy.manifest, "second")
    with pytest.raises(StaleState, match="forgotten"):
        it.keeper.look(copy)
    it.keeper.due = lambda: [copy]  # type: ignore[method-assign]
    asyncio.run(watch(it.keeper, clock=it.clock, rounds_max=1))
    assert it.keeper.records.get(copy.manifest, "second") is None


def test_a_name_that_means_another_kind_of_place_begins_anew(records: Records) -> None:
    it, place = two(records)
    it.look("second")
    before = it.keeper.records.change(it.manifest, "second", kind=Kind.PINNING, note=b"its pin")
    place.blobs = MemoryBlobs()
    it.clock.now += 5
    after = it.keeper.look(before)
    assert (after.kind, after.state, after.since, after.note) == (Kind.DIRECTORY, CopyState.VERIFIED, NOW + 5, b"")
    assert set(place.cids()) == set(blocks())
