"""Which version of which dataset a policy means: one pinned, or the latest that its owner registered (rule B4)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from storage.memory import MemoryBlobs
from storage.unixfs import add_file
from tests import builders
from tests.attacks.release.asking import Asking
from tests.builders import SealedDataset, published, sealed_dataset, wallet
from tests.deployment import deployed
from tests.enclaves import PRICE, TEE, Custodians, World, configuration, dao, world
from vault.dataset import DatasetRef
from vault.errors import AccessDenied, NotYet

OLD, NEW = ("the old tide table",), ("the new tide table", "rain on the coast")


def versions() -> tuple[World, SealedDataset]:
    """Return a world whose policy means the latest version of its dataset, and the second version."""
    made = dao(3)
    first = sealed_dataset(made, OLD)
    second = sealed_dataset(made, NEW, version=2, previous=first.manifest.cid())
    adopted = builders.policy(
        made.genesis,
        datasets=(DatasetRef.latest(first.manifest),),
        tees=(TEE,),
        configurations=(configuration(made.genesis),),
        price_per_query=PRICE,
    )
    blobs = MemoryBlobs()
    for segment in (*first.segments, *second.segments):
        add_file(blobs, segment)
    history = published(blobs, made.history, builders.carried(made.history, builders.adopting(adopted), adopted))
    return World(dao=made, dataset=first, policy=adopted, history=history, blobs=blobs), second


class TestPinned:
    @pytest.mark.parametrize("field", ["owner", "dataset"])
    def test_a_manifest_of_another_owner_or_dataset_releases_nothing(self, tmp_path: Path, field: str) -> None:
        """Named as somebody else's, a manifest would escape its own revocations and budgets."""
        honest = world()
        wrong: dict[str, Any] = {"owner": wallet("mallory").address, "dataset": bytes(32)}
        reference = replace(DatasetRef.pinned(honest.dataset.manifest), **{field: wrong[field]})
        policy = replace(honest.policy, datasets=(reference,))
        bundle = builders.carried(honest.dao.history, builders.adopting(policy), policy)
        setting = replace(honest, policy=policy, history=published(honest.blobs, honest.dao.history, bundle))
        with Custodians(setting, tmp_path) as custodians, pytest.raises(AccessDenied, match="and the policy names"):
            Asking(setting, custodians).release()

    def test_a_later_version_does_not_take_its_place(self, tmp_path: Path) -> None:
        setting, second = versions()
        policy = replace(setting.policy, datasets=(DatasetRef.pinned(setting.dataset.manifest),))
        bundle = builders.carried(setting.dao.history, builders.adopting(policy), policy)
        pinned = replace(setting, policy=policy, history=published(setting.blobs, setting.dao.history, bundle))
        with Custodians(pinned, tmp_path) as custodians:
            custodians.deposit(second)
            released = Asking(pinned, custodians).release()
        assert released.lease.terms.manifests == (setting.dataset.manifest.cid(),)


class TestLatest:
    def test_what_nobody_registered_is_not_released(self, tmp_path: Path) -> None:
        setting, _ = versions()
        with Custodians(setting, tmp_path, has_deposits=False) as custodians, pytest.raises(NotYet, match="deposited"):
            Asking(setting, custodians).release()

    def test_the_version_registered_last_is_leased(self, tmp_path: Path) -> None:
        setting, second = versions()
        with Custodians(setting, tmp_path) as custodians:
            custodians.deposit(second)
            assert Asking(setting, custodians).release().lease.terms.manifests == (second.manifest.cid(),)

    def test_an_earlier_one_is_where_it_is_the_last(self, tmp_path: Path) -> None:
        setting, _ = versions()
        with Custodians(setting, tmp_path) as custodians:
            assert Asking(setting, custodians).release().lease.terms.manifests == (setting.dataset.manifest.cid(),)

    def test_an_owner_adds_a_version_while_questions_are_answered(self, tmp_path: Path) -> None:
        setting, second = versions()
        with deployed(tmp_path, setting) as deployment:
            deployment.add_credit(10_000)
            with deployment.client() as client:
                before = client.search("tide table", k=1)
            deployment.custodies.deposit(second)
            deployment.until_serving()
            opened = (second.manifest.cid(),)
            deployment.until(lambda: deployment.enclave.instance.serving().terms.manifests == opened)
            with deployment.client() as client:
                after = client.search("tide table", k=1)
            assert [one.results[0].passage.text for one in (before, after)] == [OLD[0], NEW[0]]
            assert [one.results[0].manifest for one in (before, after)] == [
                setting.dataset.manifest.cid(),
                second.manifest.cid(),
            ]
            assert after.receipt.budget_left == before.receipt.budget_left - 1  # a new version resets nothing
