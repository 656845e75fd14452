"""A DAO whose policy means the latest version of a dataset, and the versions that its owner publishes one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from storage.memory import MemoryBlobs
from storage.model import Blobs
from storage.unixfs import add_file
from tests import builders
from tests.builders import SealedDataset, published, sealed_dataset, wallet
from tests.enclaves import PRICE, TEE, World, configuration, dao
from vault.dataset import DatasetRef
from vault.history import History
from vault.policy import Policy

FIRST = ("The tide table for May.", "The harbor closed at noon.", "Rain on the coast.")
SECOND = (*FIRST[:2], "Gulls on the pier.")


@dataclass(kw_only=True)
class Versions:
    """The world, and every version so far."""

    world: World
    sealed: list[SealedDataset] = field(default_factory=list)

    def next(self, texts: Sequence[str] = SECOND, *, is_stored: bool = True, **fields: Any) -> SealedDataset:
        """Seal the next version, and publish its segments unless told not to."""
        number = len(self.sealed) + 1
        before = self.sealed[-1].manifest.cid()
        made = sealed_dataset(self.world.dao, texts, version=number, previous=before, **fields)
        self.sealed.append(made)
        if is_stored:
            store(self.world.blobs, made)
        return made

    def adopting(self, *datasets: SealedDataset, **fields: Any) -> tuple[History, Policy]:
        """Return the history after the adoption of one more policy, on these datasets, and the policy."""
        references = tuple(DatasetRef.latest(one.manifest) for one in datasets)
        more = replace(self.world.policy, title="More", datasets=references, **fields)
        return self.world.decided(builders.carried(self.world.history, builders.adopting(more), more), more), more


def versions(texts: Sequence[str] = FIRST, *, blobs: Blobs | None = None, **policy: Any) -> Versions:
    """Return a world whose policy means the latest version of its dataset."""
    made = dao(3)
    first = sealed_dataset(made, texts)
    fields: dict[str, Any] = {
        "datasets": (DatasetRef.latest(first.manifest),),
        "tees": (TEE,),
        "configurations": (configuration(made.genesis),),
        "price_per_query": PRICE,
    }
    adopted = builders.policy(made.genesis, **(fields | policy))
    blobs = MemoryBlobs() if blobs is None else blobs
    store(blobs, first)
    history = published(blobs, made.history, builders.carried(made.history, builders.adopting(adopted), adopted))
    return Versions(world=World(dao=made, dataset=first, policy=adopted, history=history, blobs=blobs), sealed=[first])


def of_another_owner(world: World, texts: Sequence[str] = ("Lamps in the lighthouse.",)) -> SealedDataset:
    """Return a dataset of somebody else's, published."""
    made = sealed_dataset(world.dao, texts, owner=wallet("another owner"))
    store(world.blobs, made)
    return made


def store(blobs: Blobs, dataset: SealedDataset) -> None:
    """Publish a dataset's segments."""
    for segment in dataset.segments:
        add_file(blobs, segment)
