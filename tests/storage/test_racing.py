"""Races: the first right block wins, whoever is dead, slow or lying."""

import threading

import pytest

from storage.cid import RAW, Cid
from storage.errors import BlockNotFound, NothingAgreed, StorageUnavailable
from storage.memory import MemoryBlobs
from storage.model import Blobs
from storage.racing import RacingBlobs
from storage.unixfs import add_file, read_file
from tests.faults import FlippedBit, Missing, Unavailable
from tests.storage.stuck import stuck

BLOCK = b"the right block"
CID = Cid.of(RAW, BLOCK)


def held() -> MemoryBlobs:
    blobs = MemoryBlobs()
    blobs.put(CID, BLOCK)
    return blobs


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_dead_and_a_stuck_place_are_not_waited_for(position: int) -> None:
    good = held()
    with stuck(held()) as slow:
        places: list[Blobs] = [Unavailable(held()), slow]
        places.insert(position, good)
        race = RacingBlobs(places, timeout_s=30)
        assert [race.get(CID) for _ in range(50)] == [BLOCK] * 50
        assert slow.gets <= 5  # the first read asks all of them; later ones only where a busy machine makes them slow


def test_a_file_is_read_through_a_race() -> None:
    blobs = MemoryBlobs()
    data = bytes(range(256)) * 2**14
    cid = add_file(blobs, data)
    with stuck(blobs) as slow:
        race = RacingBlobs([slow, FlippedBit(blobs), blobs])
        assert read_file(race, cid, bytes_max=len(data)) == data


def test_what_no_place_has_is_not_found() -> None:
    race = RacingBlobs([MemoryBlobs(), Missing(held())])
    with pytest.raises(BlockNotFound):
        race.get(CID)
    assert all(standing.lies == 0 and standing.last_fault == "" for standing in race.standings())


def test_a_silent_place_may_have_it_so_it_is_not_called_absent() -> None:
    with pytest.raises(NothingAgreed):
        RacingBlobs([MemoryBlobs(), Unavailable(held())]).get(CID)


def test_the_only_place_that_has_it_is_waited_for() -> None:
    with stuck(held()) as slow:
        race = RacingBlobs([MemoryBlobs(), slow, Unavailable(held())], timeout_s=30)
        reader = threading.Thread(target=lambda: read.append(race.get(CID)))
        read: list[bytes] = []
        reader.start()
        assert slow.asked.acquire(timeout=20)
        slow.let_go.set()
        reader.join(20)
        assert read == [BLOCK]


def test_a_place_that_never_answers_ends_with_the_timeout() -> None:
    with stuck(held()) as slow, pytest.raises(NothingAgreed, match="within"):
        RacingBlobs([slow], timeout_s=0.05).get(CID)


def test_it_claims_what_any_place_claims_and_lists_each_once() -> None:
    other = Cid.of(RAW, b"other")
    second = held()
    second.put(other, b"other")
    race = RacingBlobs([held(), second])
    assert race.has(other)
    assert not race.has(Cid.of(RAW, b"absent"))
    assert sorted(race.cids()) == sorted([CID, other])
    with pytest.raises(StorageUnavailable):
        RacingBlobs([held(), Unavailable(second)]).has(other)
    assert RacingBlobs([Unavailable(second), held()]).has(CID)


def test_it_is_for_reading_only() -> None:
    race = RacingBlobs([MemoryBlobs()])
    with pytest.raises(StorageUnavailable):
        race.put(CID, BLOCK)
    with pytest.raises(StorageUnavailable):
        race.delete(CID)


def test_no_places_are_no_race() -> None:
    with pytest.raises(ValueError, match="place"):
        RacingBlobs([])
