"""Places that lie or hang in a race: the right block still comes, the liar is named, and nothing piles up."""

import time

import pytest

from storage.cid import RAW, Cid
from storage.errors import NothingAgreed
from storage.memory import MemoryBlobs
from storage.racing import IN_FLIGHT_MAX, RacingBlobs
from tests.faults import Counted, Faulty, FlippedBit, Missing, Swapped, Truncated
from tests.storage.stuck import stuck

BLOCK = b"the right block"
CID = Cid.of(RAW, BLOCK)


FEW = 5  # reads of thirty that a busy machine may make so slow that the next place is asked too


def until_found_out(race: RacingBlobs) -> None:
    """Wait for the answer of the first place, which nobody else waits for."""
    deadline = time.monotonic() + 20
    while race.standings()[0].lies == 0:
        assert time.monotonic() < deadline


def held() -> MemoryBlobs:
    blobs = MemoryBlobs()
    blobs.put(CID, BLOCK)
    return blobs


def test_who_lies_is_named_and_asked_last() -> None:
    liar = Counted(FlippedBit(held()))
    race = RacingBlobs([liar, held()])
    assert [race.get(CID) for _ in range(30)] == [BLOCK] * 30
    until_found_out(race)
    standing, honest = race.standings()
    assert (honest.lies, honest.reads > 0) == (0, True)
    assert "FlippedBit" in standing.last_fault
    assert honest.last_fault == ""
    assert liar.gets <= FEW


def test_a_place_that_is_right_only_at_first_is_found_out() -> None:
    class RightOnce(FlippedBit):
        reads = 0

        def wrong(self, block: bytes) -> bytes:
            self.reads += 1
            return block if self.reads == 1 else super().wrong(block)

    turncoat = RightOnce(held())
    assert turncoat.get(CID) == BLOCK
    race = RacingBlobs([turncoat, held()])
    assert [race.get(CID) for _ in range(10)] == [BLOCK] * 10
    until_found_out(race)


def test_two_places_with_different_wrong_answers_are_both_named() -> None:
    race = RacingBlobs([FlippedBit(held()), Swapped(held(), b"another block"), Truncated(held())])
    with pytest.raises(NothingAgreed, match=r"FlippedBit.*Swapped.*Truncated"):
        race.get(CID)
    assert [standing.lies for standing in race.standings()] == [1, 1, 1]


def test_a_liar_is_still_asked_when_nobody_else_has_it() -> None:
    liar = FlippedBit(held(), only=[Cid.of(RAW, b"other")])
    liar.blobs.put(Cid.of(RAW, b"other"), b"other")
    race = RacingBlobs([liar, MemoryBlobs()])
    with pytest.raises(NothingAgreed):
        race.get(Cid.of(RAW, b"other"))
    assert race.get(CID) == BLOCK


def test_a_hanging_place_costs_a_bounded_number_of_threads() -> None:
    with stuck(held()) as slow:
        race = RacingBlobs([slow], timeout_s=0.01)
        for _ in range(IN_FLIGHT_MAX + 20):
            with pytest.raises(NothingAgreed):
                race.get(CID)
        assert slow.gets <= IN_FLIGHT_MAX


def test_who_lied_once_is_asked_last_for_good_however_fast_it_is() -> None:
    class LiesOnce(FlippedBit):
        gets = 0

        def wrong(self, block: bytes) -> bytes:
            self.gets += 1
            return super().wrong(block) if self.gets == 1 else block

    class Clocked(Faulty):
        """Takes a second of the race's own clock for each block, and no time at all."""

        def get(self, cid: Cid) -> bytes:
            try:
                return super().get(cid)
            finally:
                seconds.append(1.0)

    seconds: list[float] = []
    liar, only_there = LiesOnce(held()), b"only the liar has it"
    liar.blobs.put(Cid.of(RAW, only_there), only_there)
    race = RacingBlobs([liar, Clocked(held())], clock=lambda: sum(seconds))
    assert race.get(CID) == BLOCK
    until_found_out(race)
    assert race.get(Cid.of(RAW, only_there)) == only_there
    asked = liar.gets
    assert [race.get(CID) for _ in range(10)] == [BLOCK] * 10
    assert liar.gets == asked
    assert race.standings()[0].failures_in_row == 0


def test_who_is_told_of_lies_hears_of_each_and_of_nothing_else() -> None:
    told: list[tuple[int, str]] = []
    race = RacingBlobs([held(), FlippedBit(held()), Missing(held())], blame=lambda *lie: told.append(lie))
    assert race.get(CID) == BLOCK
    deadline = time.monotonic() + 20
    while not told:
        assert time.monotonic() < deadline
    ((place, fault),) = told
    assert place == 1
    assert "are not the block" in fault
