"""Worlds with two owners under one policy, and licenses that licensees sign themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from enclave.credential import Credential
from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests import builders
from tests.builders import SealedDataset, dao, published, resigned, sealed_dataset, wallet
from tests.deployment import Deployment, deployed
from tests.enclaves import PRICE, TEE, World, configuration, credential, license_of
from vault.dataset import DatasetRef
from vault.license import License
from vault.licensees import Licensees
from vault.signing import SigningKey

FIRST = ("rope anchor", "rope beacon", "rope cable", "rope dinghy")
SECOND = ("sail anchor", "sail beacon", "sail cable", "sail dinghy")
ANYONE = {"licensees": Licensees.anyone()}


def two_owners(
    first: Sequence[str] = FIRST, second: Sequence[str] = SECOND, **policy: Any
) -> tuple[World, SealedDataset]:
    """Return a world whose policy is on two owners' datasets, and the second one's dataset."""
    made = dao(3)
    one, two = sealed_dataset(made, first), sealed_dataset(made, second, owner=wallet("second owner"))
    fields: dict[str, Any] = {
        "datasets": (DatasetRef.pinned(one.manifest), DatasetRef.pinned(two.manifest)),
        "tees": (TEE,),
        "price_per_query": PRICE,
        "configurations": (configuration(made.genesis),),
        "queries_per_minute": 10_000,
    }
    adopted = builders.policy(made.genesis, **(fields | policy))
    blobs = MemoryBlobs()
    for segment in (*one.segments, *two.segments):
        add_file(blobs, segment)
    history = published(blobs, made.history, builders.carried(made.history, builders.adopting(adopted), adopted))
    return World(dao=made, dataset=one, policy=adopted, history=history, blobs=blobs), two


@contextmanager
def serving(folder: Path, setting: tuple[World, SealedDataset]) -> Iterator[Deployment]:
    """Serve a world of two owners until the block ends."""
    world, second = setting
    with deployed(folder, world, is_started=False) as deployment:
        deployment.custodies.deposit(second)
        deployment.enclave = deployment.start_enclave()
        deployment.enclave.settle()
        deployment.enclave.instance.serving()
        yield deployment


def self_licensed(world: World, key: SigningKey, **fields: Any) -> License:
    """Return the license that a licensee signs for itself."""
    made: License = resigned(
        world.history, key, replace(license_of(world, key), issuer=key.address, signature=bytes(65)), **fields
    )
    return made


def own_credential(world: World, key: SigningKey, **fields: Any) -> Credential:
    """Return what a licensee asks with that licensed itself."""
    return credential(world, key, license=self_licensed(world, key, **fields))
