"""A dataset of several blocks, copies at places that a test can break, and a keeper whose clock it moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random

from storage.cid import Cid
from storage.memory import MemoryBlobs
from storage.model import Blobs
from storage.unixfs import add_file
from tests.datasets import SealedDataset, sealed_dataset
from tests.people import NOW, dao, seeded
from vault.copies.block_place import BlockPlace
from vault.copies.keeping import Keeper, Plan
from vault.copies.model import Copy, Kind, Place
from vault.manifest import Manifest
from vault.publishing import dataset_blocks
from vault.records.copies import CopyRecords
from vault.records.database import Records

PLAN = Plan(every_s=1000, blocks=8, whole_every_s=100_000, pending_every_s=10, renew_before_s=5000)


@cache
def dataset() -> SealedDataset:
    """Return two segments of two leaves and a root each."""
    texts = [seeded(f"text {number}", 15_000).hex() for number in range(80)]
    return sealed_dataset(dao(), texts, per_segment=40)


@cache
def blocks() -> dict[Cid, bytes]:
    """Return all blocks of the dataset: the manifest's first."""
    held = MemoryBlobs()
    put(held)
    return dict(dataset_blocks(held, dataset().manifest))


def put(blobs: Blobs, sealed: SealedDataset | None = None) -> None:
    """Put a dataset somewhere."""
    sealed = sealed or dataset()
    for segment in sealed.segments:
        add_file(blobs, segment)
    blobs.put(sealed.manifest.cid(), sealed.manifest.encoded())


def holding() -> MemoryBlobs:
    """Return a place in memory that has the dataset."""
    blobs = MemoryBlobs()
    for cid, block in blocks().items():
        blobs.put(cid, block)
    return blobs


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Kept:
    """A keeper, and what a test moves."""

    keeper: Keeper
    clock: Clock
    published: list[Cid] = field(default_factory=list)

    @property
    def manifest(self) -> Cid:
        """Return the dataset's CID."""
        return dataset().manifest.cid()

    def copy(self, place: str) -> Copy:
        """Return a copy as the records have it."""
        found = self.keeper.records.get(self.manifest, place)
        assert found is not None
        return found

    def look(self, place: str, *, is_whole: bool = False) -> Copy:
        """Look at one copy now."""
        return self.keeper.look(self.copy(place), is_whole=is_whole)


def kept(
    records: Records,
    places: Mapping[str, Blobs] | Sequence[Place],
    *,
    wanted: int = 2,
    plan: Plan = PLAN,
    readers: Mapping[str, Blobs] | None = None,
    clock: Clock | None = None,
) -> Kept:
    """Return a keeper of the dataset with a pending copy at each place; Blobs make folders of these names."""
    if isinstance(places, Mapping):
        places = [BlockPlace(name, Kind.DIRECTORY, blobs) for name, blobs in places.items()]
    copies = CopyRecords(records)
    clock = clock or Clock()
    published: list[Cid] = []
    copies.want(dataset().manifest.cid(), wanted)
    for place in places:
        copies.add(Copy(manifest=dataset().manifest.cid(), place=place.name, kind=place.kind))
    keeper = Keeper(
        copies,
        places,
        manifest_of=manifest_of,
        clock=clock,
        random=Random(7),  # noqa: S311 - the same on every run
        plan=plan,
        readers=readers,
        published=published.append,
    )
    return Kept(keeper, clock, published)


def manifest_of(cid: Cid) -> Manifest:
    """Return the dataset's manifest."""
    assert cid == dataset().manifest.cid()
    return dataset().manifest
